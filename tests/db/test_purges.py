"""A study that is done with gives its space back: never too early, never the bytes of somebody who still sends, and for good."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from db.audit import verify
from db.spool import Spool
from db.store import Store
from domain.audit import Event
from domain.destinations import Sent
from domain.errors import PermanentError
from domain.evidence import Commitment, Evidence, Member, Source
from domain.instances import Instance, Receipt
from domain.jobs import JobKind, Outcome
from domain.moves import JobState, StudyState
from domain.retention import WAIVABLE, Ground, Left
from tests.db.nouns import CALLER, CT, Clock, answer, claimed, events, header, instance, model, new_store, put, settled
from tests.db.test_crash import start_up

STUDY = "1.2.3"
WHO = "operator:somebody"
ACCEPTED = [Sent("2.25.2", 0x0000, "")]


def grounds(store: Store, committing: tuple[str, ...] = ()) -> list[Ground]:
    return [keep.ground for keep in store.sight(STUDY, committing).keeps]


def answered(store: Store, clock: Clock, *, commit: bool = False, status: int = 0) -> None:
    """One image, one answer, sent to the PACS, which said ``status``."""
    settled(store, clock, model())
    store.finish(claimed(store), answer())
    store.sent(claimed(store, JobKind.DELIVER), [Sent("2.25.2", status, "")], commit=commit)


def keep(spool: Spool, store: Store, number: int, association: str, payload: bytes = b"") -> Receipt:
    place, digest = put(spool, payload or b"pixels %d" % number * 500, number, association=association)
    return store.received(Instance(header(number), place, digest, CALLER, association, Clock()()), 30, 600)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    yield Spool(tmp_path / "spool")


@pytest.fixture
def stored(store: Store, spool: Spool, clock: Clock) -> list[Path]:
    """A complete study that no rule wanted: four images of two associations, and one sent twice. Its packs."""
    for association, numbers in (("a1", (1, 2, 3)), ("a2", (4,)), ("a3", (1,))):
        store.opened(association, CALLER)
        for number in numbers:
            keep(spool, store, number, association)
        spool.close(association)
        store.closed(association, "released", 30)
    clock.forward(31)
    assert store.settle(STUDY, 1, [])
    return packs(spool)


def packs(spool: Spool) -> list[Path]:
    return sorted(spool._root.rglob("*.pack"))


def purge(store: Store, spool: Spool) -> None:
    """What the node does: rows, then files, then the list."""
    store.purge(STUDY, WHO)
    found = store.leftovers()
    spool.delete([one.path for one in found if one.kind is Left.PACK])
    store.removed(found)


def test_what_is_deleted_and_what_stays(store: Store, clock: Clock) -> None:
    answered(store, clock)
    (job,) = store.jobs(kind=JobKind.INFER)
    weight = store.purge(STUDY, WHO)
    assert (weight.images, weight.packs, weight.results) == (1, 1, 0)
    study = store.study(STUDY)
    assert study is not None and (study.state, study.revision, study.instances) == (StudyState.PURGED, 1, 0)
    assert store.instances(STUDY) == [] and store.job(job.job_id) == job
    assert [artifact.role for artifact in store.artifacts(job.job_id)] == ["sr"]
    (row,) = store.audit(event="purged")
    assert (row.actor, row.study_uid) == (WHO, STUDY)
    assert json.loads(row.details) == {"bytes": weight.size, "images": 1, "results": 0, "revision": 1}
    gone = store.last_purge(STUDY)
    assert gone is not None and (gone.revision, gone.images, gone.actor, gone.at) == (1, 1, WHO, clock())
    assert verify(store).broken_seq is None


def test_all_packs_of_the_study_go_also_those_that_hold_only_duplicates(store: Store, spool: Spool, stored: list[Path]) -> None:
    assert len(stored) == 3
    other, _ = put(spool, b"another study", 9, study="9.9", association="b1")
    sight = store.sight(STUDY)
    assert sight.keeps == () and (sight.weight.images, sight.weight.packs) == (4, 3)
    assert sight.weight.size == sum(pack.stat().st_size for pack in stored)
    view = spool.view(store.instances(STUDY)[0].place)
    purge(store, spool)
    assert packs(spool) == [spool._root / other.pack] and not stored[0].parent.exists()
    assert bytes(view).endswith(b"pixels 1" * 500)  # whoever reads still may
    assert store.leftovers() == [] and store.indexed() == {}
    assert list(spool.recover(store.indexed(), elsewhere=["b1"])) == []


@pytest.mark.parametrize("files", ["there", "half", "gone"])
def test_a_process_that_ends_in_the_middle_leaves_a_purged_study_and_start_up_finishes(
    store: Store, spool: Spool, stored: list[Path], files: str, clock: Clock, tmp_path: Path
) -> None:
    store.purge(STUDY, WHO)
    for pack in {"there": [], "half": stored[:1], "gone": stored}[files]:
        pack.unlink()
    store.close()
    again = new_store(tmp_path, clock)
    found = again.leftovers()
    assert {one.path for one in found} == {pack.relative_to(spool._root).as_posix() for pack in stored}
    spool.delete([one.path for one in found])
    again.removed(found)
    assert start_up(Spool(tmp_path / "spool"), again) == [] and packs(spool) == []
    study = again.study(STUDY)
    assert study is not None and study.state is StudyState.PURGED
    assert "torn" not in events(again) and "recovered" not in events(again)
    again.close()


def test_a_pack_that_cannot_be_deleted_yet_is_not_indexed_again(
    store: Store, spool: Spool, stored: list[Path], tmp_path: Path
) -> None:
    store.purge(STUDY, WHO)
    assert start_up(Spool(tmp_path / "spool"), store) == [] and packs(spool) == stored
    study = store.study(STUDY)
    assert study is not None and study.state is StudyState.PURGED


def test_a_whole_study_sent_again_is_stored_and_analysed_like_a_new_one(store: Store, spool: Spool, clock: Clock) -> None:
    def send(association: str) -> list[Receipt]:
        store.opened(association, CALLER)
        receipts = [keep(spool, store, number, association) for number in (1, 2)]
        spool.close(association)
        store.closed(association, "released", 30)
        clock.forward(31)
        return receipts

    assert send("a1") == [Receipt.STORED] * 2
    assert store.settle(STUDY, 1, [model()])
    store.finish(claimed(store), answer())
    store.sent(claimed(store, JobKind.DELIVER), ACCEPTED)
    purge(store, spool)
    assert send("a2") == [Receipt.STORED] * 2
    study = store.study(STUDY)
    assert study is not None and (study.state, study.revision, study.instances) == (StudyState.RECEIVING, 2, 2)
    assert all(spool.view(each.place) for each in store.instances(STUDY))
    assert store.settle(STUDY, 2, [model()])
    again, first = store.jobs(kind=JobKind.INFER)
    assert (again.state, again.revision, again.input_digest) == (JobState.QUEUED, 2, first.input_digest)
    assert [artifact.role for artifact in store.predecessors(again)] == ["sr"]
    assert "unchanged" not in events(store)


def test_a_late_image_opens_a_purged_study_and_is_judged_alone(store: Store, clock: Clock) -> None:
    answered(store, clock)
    store.step_created(CALLER, Evidence(Source.MPPS, "1.9", STUDY, True, (Member(CT, "1.2.826.0.1.1"),)))
    store.purge(STUDY, WHO)
    settled(store, clock, model(), number=2)
    study = store.study(STUDY)
    assert study is not None and (study.revision, study.instances, study.state) == (2, 1, StudyState.COMPLETE)
    assert store.jobs(kind=JobKind.INFER)[0].input_digest != store.jobs(kind=JobKind.INFER)[1].input_digest
    assert store.habits()["CT01"].hasty == 0


def test_a_commitment_is_given_only_for_what_is_here(store: Store, clock: Clock) -> None:
    answered(store, clock)
    members = (Member(CT, "1.2.826.0.1.1"), Member(CT, "1.2.826.0.1.2"))
    store.purge(STUDY, WHO)
    asked = Evidence(Source.COMMITMENT, "1.9", "", True, members)
    assert store.commit(CALLER, asked) == Commitment("1.9", (), members)
    settled(store, clock, model(), number=2)
    assert store.commit(CALLER, asked) == Commitment("1.9", members[1:], members[:1])


def test_no_study_goes_before_its_answers_are_there(store: Store, clock: Clock) -> None:
    assert grounds(store) == [Ground.UNKNOWN]
    store.opened("a1", CALLER)
    store.received(instance(), 30, 600)
    assert grounds(store) == [Ground.RECEIVING, Ground.SENDING]
    store.closed("a1", "released", 30)
    clock.forward(31)
    assert store.settle(STUDY, 1, [model()])
    assert grounds(store) == [Ground.WORKING]
    job = claimed(store)
    assert grounds(store) == [Ground.WORKING]
    store.finish(job, answer())
    assert grounds(store) == [Ground.WORKING]
    store.sent(claimed(store, JobKind.DELIVER), ACCEPTED)
    assert grounds(store) == []
    before = events(store)
    store.purge(STUDY, WHO)
    assert events(store) == [*before, "purged"]
    assert grounds(store) == [Ground.PURGED]
    with pytest.raises(PermanentError, match="it was purged already"):
        store.purge(STUDY, WHO)


def test_an_open_association_keeps_a_complete_study(store: Store, spool: Spool, stored: list[Path]) -> None:
    """It has sent nothing but a duplicate so far; what it appends next must not go into a file that is deleted."""
    store.opened("a9", CALLER)
    assert keep(spool, store, 1, "a9") is Receipt.DUPLICATE
    assert grounds(store) == [Ground.SENDING]
    with pytest.raises(PermanentError, match="an association of CT01 that sent images of it is still open"):
        store.purge(STUDY, WHO)
    assert keep(spool, store, 7, "a9") is Receipt.STORED
    assert len(packs(spool)) == len(stored) + 1


def test_a_refused_answer_keeps_the_study_unless_that_is_set_aside(store: Store, clock: Clock) -> None:
    answered(store, clock, status=0xC000)
    (keep,) = store.sight(STUDY).keeps
    assert keep.ground is Ground.UNDELIVERED
    assert keep.words.startswith("the answer of lung was not delivered to pacs (job 2 failed: pacs refused")
    with pytest.raises(PermanentError, match=r"study 1\.2\.3 stays: the answer of lung was not delivered"):
        store.purge(STUDY, WHO)
    store.purge(STUDY, WHO, waived=frozenset({Ground.UNDELIVERED}))
    (row,) = store.audit(event="purged")
    assert json.loads(row.details)["waived"] == ["undelivered"]


def test_what_was_set_aside_once_does_not_keep_what_came_afterwards(store: Store, clock: Clock) -> None:
    answered(store, clock, status=0xC000)
    store.purge(STUDY, WHO, waived=frozenset({Ground.UNDELIVERED}))
    settled(store, clock, model("nodule"), number=2)
    store.finish(claimed(store), answer())
    store.sent(claimed(store, JobKind.DELIVER), ACCEPTED)
    assert grounds(store) == []


@pytest.mark.parametrize("ground", sorted(set(Ground) - WAIVABLE))
def test_nothing_sets_aside_that_a_study_is_in_use(store: Store, clock: Clock, ground: Ground) -> None:
    settled(store, clock, model())
    with pytest.raises(PermanentError, match="jobs of it are not done"):
        store.purge(STUDY, WHO, waived=frozenset({ground}))


def test_an_analysis_without_any_answer_keeps_the_study(store: Store, clock: Clock) -> None:
    settled(store, clock, model())
    store.fail(claimed(store), "the model is not configured any more")
    assert [keep.words for keep in store.sight(STUDY).keeps] == [
        "the answer of lung was not delivered to pacs (job 1 failed: the model is not configured any more)"
    ]


def test_a_newer_answer_that_arrived_stands_for_an_older_one_that_did_not(store: Store, clock: Clock) -> None:
    answered(store, clock, status=0xC000)
    assert grounds(store) == [Ground.UNDELIVERED]
    settled(store, clock, model(), number=2)
    store.finish(claimed(store), answer(Outcome.NOT_ANALYSED))
    store.sent(claimed(store, JobKind.DELIVER), ACCEPTED)
    assert grounds(store) == []


def test_what_an_operator_cancelled_is_not_waited_for(store: Store, clock: Clock) -> None:
    settled(store, clock, model(), model("nodule"))
    store.finish(claimed(store), answer())
    (delivery,) = store.jobs(kind=JobKind.DELIVER)
    (other,) = store.jobs(kind=JobKind.INFER, state=JobState.QUEUED)
    store.cancel(delivery.job_id, WHO)
    store.cancel(other.job_id, WHO)
    assert grounds(store) == []


def test_an_archive_that_is_to_commit_must_have_done_so(store: Store, clock: Clock) -> None:
    answered(store, clock, commit=True)
    assert grounds(store, ("pacs",)) == [Ground.WORKING]
    job = claimed(store, JobKind.COMMIT)
    store.fail(job, "gave up after 72 hours")
    (keep,) = store.sight(STUDY, ("pacs",)).keeps
    assert keep.ground is Ground.UNCOMMITTED
    assert keep.words == "pacs has not committed to the answer of lung (job 3 failed: gave up after 72 hours)"
    assert grounds(store) == []  # it is not asked any more
    store.revive(job.job_id, WHO)
    again = claimed(store, JobKind.COMMIT)
    store.asked(again, "1.77")
    store.promised("PACS@10.0.0.1", Commitment("1.77", tuple(store.to_be_committed(again)), ()))
    assert grounds(store, ("pacs",)) == []


def test_a_delivery_of_before_commitment_was_wanted_keeps_the_study(store: Store, clock: Clock) -> None:
    answered(store, clock)
    assert [keep.words for keep in store.sight(STUDY, ("pacs",)).keeps] == [
        "pacs has not committed to the answer of lung (it was never asked)"
    ]


def test_images_this_node_has_committed_to_stay_and_the_report_must_be_out(store: Store, clock: Clock) -> None:
    answered(store, clock)
    store.commit(CALLER, Evidence(Source.COMMITMENT, "1.9", "", True, (Member(CT, "1.2.826.0.1.1"),)))
    assert grounds(store) == [Ground.REPORT, Ground.PROMISED]
    store.reported(CALLER, "1.9")
    assert [keep.words for keep in store.sight(STUDY).keeps] == [
        "this node has committed to its images (storage commitment, asked by CT01)"
    ]
    store.purge(STUDY, WHO, waived=frozenset({Ground.PROMISED}), proof="c-find at pacs")
    (row,) = store.audit(event="purged")
    assert json.loads(row.details)["proof"] == "c-find at pacs"


def test_jobs_about_what_is_gone_are_not_started_again(store: Store, clock: Clock) -> None:
    answered(store, clock)
    store.purge(STUDY, WHO)
    for job in store.jobs():
        with pytest.raises(PermanentError, match=r"images and results of study 1\.2\.3 were purged on 2026-03-01"):
            store.revive(job.job_id, WHO)
    with pytest.raises(PermanentError, match="a study that is purged cannot rerun"):
        store.rerun(STUDY, 1, 0, [model()], {}, WHO)


def test_the_oldest_studies_that_nobody_touched_come_first_and_page_by_page(store: Store, clock: Clock) -> None:
    for number, study in enumerate(("1.1", "1.2", "1.3", "1.4"), 1):
        settled(store, clock, model(study=study), study=study, number=number)
    clock.forward(86_400)
    store.note(Event.FORGOTTEN, WHO, {}, "1.3")  # somebody did something with this one
    clock.forward(3600)
    day = clock() - timedelta(days=1)
    assert [uid for _, uid in store.untouched(day)] == ["1.1", "1.2", "1.4"]
    first = store.untouched(day, limit=2)
    assert [uid for _, uid in store.untouched(day, first[-1])] == ["1.4"]
    assert store.untouched(clock() - timedelta(days=2)) == []
