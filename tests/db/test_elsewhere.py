"""A start-up beside another process that receives: what that one holds is left alone."""

from pathlib import Path

from db.spool import Spool
from tests.db.nouns import CALLER, META, Clock, found, header, instance, new_store, put


def test_the_unfinished_pack_of_another_process_is_not_cut(tmp_path: Path) -> None:
    visitor = Spool(tmp_path)
    put(visitor, b"first", 1, association="theirs")
    writer = visitor.writer("theirs", CALLER, header(2), META)
    writer.write(b"x" * 200_000)
    both = list(Spool(tmp_path).recover({}, {"theirs"}))
    assert both == []
    writer.write(b"y")
    place, _ = writer.commit()
    assert bytes(visitor.view(place)) == META + b"x" * 200_000 + b"y"


def test_the_empty_pack_of_another_process_is_not_removed_and_others_are(tmp_path: Path) -> None:
    visitor, dead = Spool(tmp_path), Spool(tmp_path)
    writer = visitor.writer("theirs", CALLER, header(1), META)
    dead.writer("dead", CALLER, header(2), META)
    list(Spool(tmp_path).recover({}, {"theirs"}))
    assert [path.name for path in tmp_path.glob("??/*/*.pack")] == ["theirs.pack"]
    writer.write(b"data")
    writer.commit()
    assert [one.header.sop_instance_uid for one in found(Spool(tmp_path))[0]] == [header(1).sop_instance_uid]


def test_second_packs_of_an_association_are_known_by_its_id_and_similar_ids_are_not(tmp_path: Path) -> None:
    visitor = Spool(tmp_path)
    first, second = (visitor.writer("ab", CALLER, header(number), META) for number in (1, 2))
    other = visitor.writer("abc", CALLER, header(3), META)
    for writer in (first, second, other):
        writer.write(b"data")
        writer.commit()
    assert sorted(path.name for path in tmp_path.glob("??/*/*.pack")) == ["ab.1.pack", "ab.pack", "abc.pack"]
    recovered = [one.instance.association_id for one in Spool(tmp_path).recover({}, {"ab"})]  # type: ignore[union-attr]
    assert recovered == ["abc"]


def test_an_association_of_another_process_stays_open_and_keeps_its_study_open(tmp_path: Path) -> None:
    clock = Clock()
    store = new_store(tmp_path, clock)
    for name, number in (("theirs", 1), ("dead", 2)):
        store.opened(name, CALLER)
        store.received(instance(number, study=f"1.2.{number}", association=name), 30, 600)
    assert store.recover(30, {"theirs"}).associations == 1
    clock.forward(31)
    assert [study.study_uid for study in store.due()] == ["1.2.2"]
    store.closed("theirs", "released", 30)
    clock.forward(31)
    assert {study.study_uid for study in store.due()} == {"1.2.1", "1.2.2"}
    assert [row.details for row in store.audit() if row.event == "association-closed"] == [
        '{"association":"dead","how":"lost"}',
        '{"association":"theirs","how":"released"}',
    ]
