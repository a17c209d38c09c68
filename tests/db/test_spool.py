"""The spool: bytes come back as they were written, space is watched, nothing from the network becomes a path."""

import errno
import hashlib
import os
import stat
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from db import spool as spool_module
from db.spool import Spool
from domain.errors import OutOfSpaceError, PermanentError, TransientError, UnnameableError
from domain.instances import Header, Place
from tests.db.nouns import CALLER, META, found, header, put


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_what_was_written_in_fragments_is_seen_as_one_file_and_the_digest_is_of_the_data_set_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    fragments = [b"a" * 10, b"b" * 70_000, b"", b"c" * 200_000, b"d"]
    writer = spool.writer("a1", CALLER, header(), META)
    for fragment in fragments:
        writer.write(memoryview(fragment))
    place, digest = writer.commit()
    view = spool.view(place)
    assert view == META + b"".join(fragments)
    assert view.readonly
    assert digest == hashlib.sha256(b"".join(fragments)).hexdigest()


def test_a_reused_receive_buffer_does_not_change_what_was_written(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    buffer = bytearray(b"first")
    writer = spool.writer("a1", CALLER, header(), META)
    writer.write(memoryview(buffer))
    buffer[:] = b"other"
    place, _ = writer.commit()
    assert spool.view(place) == META + b"first"


def test_an_older_view_stays_good_while_the_pack_grows(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    first, _ = put(spool, b"one" * 1000, 1)
    view = spool.view(first)
    second, _ = put(spool, b"two" * 100_000, 2)
    assert first.pack == second.pack
    assert spool.view(second) == META + b"two" * 100_000
    assert view == META + b"one" * 1000


def test_the_number_of_memory_maps_is_bounded_and_every_pack_can_still_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "_MAPS", 3)
    spool = Spool(tmp_path)
    places = [put(spool, bytes([number]) * 50, number, study=f"1.2.{number}")[0] for number in range(10)]
    views = [spool.view(place) for place in places]
    assert [view[-1] for view in views] == list(range(10))
    assert len(spool._maps) == 3


def test_a_study_uid_that_looks_like_a_path_stays_inside_the_spool(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    place, _ = put(spool, b"x", study="../../etc/passwd")
    assert {path.name for path in tmp_path.iterdir()} == {"spool"}
    assert (tmp_path / "spool" / place.pack).resolve().is_relative_to(tmp_path / "spool")
    assert "etc" not in place.pack


@pytest.mark.parametrize("association", ["", "../a", "a/b", ".hidden", "a" * 65])
def test_an_association_id_that_is_no_plain_name_is_refused(tmp_path: Path, association: str) -> None:
    with pytest.raises(PermanentError):
        Spool(tmp_path).writer(association, CALLER, header(), META)


def test_absurdly_long_identifiers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnnameableError):
        Spool(tmp_path).writer("a1", CALLER, Header("1" * 9000, "1", "1", "1", "1"), META)


def test_only_the_node_itself_may_look_into_the_spool(tmp_path: Path) -> None:
    root = tmp_path / "spool"
    place, _ = put(Spool(root), b"x")
    assert stat.S_IMODE((root / place.pack).stat().st_mode) == 0o600
    for folder in (root, (root / place.pack).parent, (root / place.pack).parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_discarded_record_leaves_no_byte_behind_and_the_next_takes_its_place(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    first, _ = put(spool, b"kept", 1)
    writer = spool.writer("a1", CALLER, header(2), META)
    writer.write(b"gone" * 100_000)
    writer.discard()
    writer.discard()
    assert (tmp_path / first.pack).stat().st_size == first.offset + first.length
    third, _ = put(spool, b"after", 3)
    assert spool.view(third) == META + b"after"
    assert [each.header.sop_instance_uid for each in found(spool)[0]] == [header(1).sop_instance_uid, header(3).sop_instance_uid]


def test_nothing_can_be_written_behind_the_end_of_a_record(tmp_path: Path) -> None:
    writer = Spool(tmp_path).writer("a1", CALLER, header(), META)
    writer.commit()
    with pytest.raises(TransientError):
        writer.write(b"late")
    with pytest.raises(TransientError):
        writer.commit()


def test_an_association_that_only_discarded_leaves_no_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    writer = spool.writer("a1", CALLER, header(), META)
    writer.write(b"x" * 100_000)
    writer.discard()
    spool.close("a1")
    assert not list(tmp_path.rglob("*.pack"))


def test_two_writers_at_once_get_two_packs_and_both_records_are_recovered(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    one, two = (spool.writer("a1", CALLER, header(number), META) for number in (1, 2))
    one.write(b"1" * 100_000)
    two.write(b"2" * 100_000)
    places = [two.commit()[0], one.commit()[0]]
    assert len({place.pack for place in places}) == 2
    assert put(spool, b"3", 3)[0].pack in {place.pack for place in places}
    recovered, torn = found(Spool(tmp_path))
    assert len(recovered) == 3
    assert not torn


def test_an_association_id_used_again_after_a_restart_gets_a_new_pack(tmp_path: Path) -> None:
    first, _ = put(Spool(tmp_path), b"before")
    second, _ = put(Spool(tmp_path), b"after", 2)
    assert first.pack != second.pack
    assert len(found(Spool(tmp_path))[0]) == 2


def test_an_association_that_mixes_many_studies_keeps_few_files_open(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    before = open_files()
    for turn in range(2):
        for number in range(40):
            put(spool, b"x" * 100, 100 * turn + number, study=f"1.2.{number}")
    assert open_files() - before <= 10
    assert len(list(tmp_path.rglob("*.pack"))) == 40
    spool.close("a1")
    assert open_files() == before
    assert len(found(spool)[0]) == 80


def test_closing_an_association_waits_for_its_open_writer(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    before = open_files()
    writer = spool.writer("a1", CALLER, header(), META)
    spool.close("a1")
    place, _ = writer.commit()
    assert open_files() == before
    assert spool.view(place) == META


def test_below_the_reserve_nothing_is_begun(tmp_path: Path) -> None:
    with pytest.raises(OutOfSpaceError):
        Spool(tmp_path, reserve_bytes=1 << 62).writer("a1", CALLER, header(), META)


def test_space_is_watched_while_a_large_object_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path, reserve_bytes=1)
    first, _ = put(spool, b"kept")
    writer = spool.writer("a1", CALLER, header(2), META)
    monkeypatch.setattr(writer, "_reserve_bytes", 1 << 62)
    with pytest.raises(OutOfSpaceError):
        for _ in range(20):
            writer.write(bytes(1 << 20))
    assert (tmp_path / first.pack).stat().st_size == first.offset + first.length


@pytest.mark.parametrize("call", ["pwritev", "fdatasync"])
def test_a_full_disk_is_told_to_the_sender_and_what_was_there_before_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    spool = Spool(tmp_path)
    first, _ = put(spool, b"kept")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no space")

    writer = spool.writer("a1", CALLER, header(2), META)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OutOfSpaceError):
            writer.write(b"x" * 100_000)
            writer.commit()
    assert (tmp_path / first.pack).stat().st_size == first.offset + first.length
    assert spool.view(put(spool, b"later", 3)[0]) == META + b"later"
    assert len(found(spool)[0]) == 2


def test_a_write_that_the_disk_takes_in_pieces_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda fd, parts, at: whole(fd, [parts[0][:1000]], at))
    spool = Spool(tmp_path)
    payload = os.urandom(100_000)
    place, _ = put(spool, payload)
    assert spool.view(place) == META + payload


def test_a_place_that_is_not_there_is_an_error_and_no_bus_error(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    place, _ = put(spool, b"x")
    with pytest.raises(PermanentError):
        spool.view(Place(place.pack, place.offset, 10_000))
    with pytest.raises(PermanentError):
        spool.view(Place("00/none/a1.pack", 0, 1))


def test_memory_stays_the_same_however_large_the_object_is(tmp_path: Path) -> None:
    fragment = bytes(1 << 18)
    tracemalloc.start()
    try:
        writer = Spool(tmp_path).writer("a1", CALLER, header(), META)
        for _ in range(128):
            writer.write(fragment)
        place, _ = writer.commit()
        assert tracemalloc.get_traced_memory()[1] < 1 << 18
    finally:
        tracemalloc.stop()
    assert place.length == len(META) + 128 * len(fragment)


def test_many_associations_write_at_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path)

    def send(association: int) -> None:
        for number in range(25):
            put(spool, bytes([association]) * (number * 3000), 100 * association + number, association=f"a{association}")
        spool.close(f"a{association}")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(send, range(4)))
    recovered, torn = found(spool)
    assert not torn
    assert {each.header.sop_instance_uid for each in recovered} == {
        header(100 * association + number).sop_instance_uid for association in range(4) for number in range(25)
    }


def test_zeros_are_written_ahead_of_small_records_in_numbers_and_cut_off_at_the_end(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    places = [put(spool, b"%d" % number * 100, number)[0] for number in range(10)]
    pack = tmp_path / places[0].pack
    assert pack.stat().st_size == places[-1].offset + places[-1].length  # a few are not worth it
    places += [put(spool, b"%d" % number * 100, number)[0] for number in range(10, 100)]
    assert pack.stat().st_size > 1 << 20
    large, _ = put(spool, b"large" * 400_000, 100)
    small, _ = put(spool, b"small", 101)
    assert spool.view(large) == META + b"large" * 400_000
    spool.close("a1")
    assert pack.stat().st_size == small.offset + small.length
    assert all(spool.view(place) == META + b"%d" % number * 100 for number, place in enumerate(places))
    assert [each.place for each in found(Spool(tmp_path))[0]] == [*places, large, small]


def test_no_space_for_zeros_is_no_reason_to_refuse_a_small_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pwritev

    def pwritev(fd: int, parts: list[memoryview], at: int) -> int:
        if sum(len(part) for part in parts) >= 1 << 20:
            raise OSError(errno.ENOSPC, "no space")
        return whole(fd, parts, at)

    monkeypatch.setattr(os, "pwritev", pwritev)
    spool = Spool(tmp_path)
    places = [put(spool, b"x%d" % number, number)[0] for number in range(50)]
    spool.close("a1")
    assert [each.place for each in found(Spool(tmp_path))[0]] == places
    assert (tmp_path / places[0].pack).stat().st_size == places[-1].offset + places[-1].length


def test_a_writer_that_is_not_durable_leaves_the_sync_to_the_association(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool, synced = Spool(tmp_path), []
    whole = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (synced.append(fd), whole(fd)))
    places = []
    for number in range(20):
        writer = spool.writer("a1", CALLER, header(number), META, durable=False)
        writer.write(b"y" * 10_000 * number)
        places.append(writer.commit()[0])
    assert not synced
    spool.sync("a1")
    spool.sync("a1")  # nothing is left
    spool.sync("a2")
    assert len(synced) == 1
    assert [each.place for each in found(Spool(tmp_path))[0]] == places


def test_a_sync_of_another_thread_does_not_disturb_the_writer_and_leaves_no_file_open(tmp_path: Path) -> None:
    spool, before = Spool(tmp_path), open_files()

    def write() -> None:
        for number in range(200):
            writer = spool.writer("a1", CALLER, header(number, f"1.2.{number % 11}"), META, durable=False)
            writer.write(b"z" * 1000)
            writer.commit()

    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(write)
        while not done.done():
            spool.sync("a1")
        done.result()
    spool.sync("a1")
    spool.close("a1")
    assert open_files() == before
    assert len(found(Spool(tmp_path))[0]) == 200
