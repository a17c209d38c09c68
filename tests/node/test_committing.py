"""Nothing counts as committed before the archive said so, whichever way and however late it says it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from delivery import dicom
from delivery.query import present
from domain.destinations import Destination, Sent
from domain.errors import PermanentError, TransientError
from domain.evidence import Commitment, Member
from domain.instances import Caller
from domain.jobs import Artifact, Job, JobKind
from domain.moves import JobState
from node.committing import BY_QUERY, Word, request
from node.receiving import receiver_for
from node.witness import Witness
from tests import peers
from tests.ct_series import Series, part10
from tests.node.configuration import TEXT
from tests.node.stage import GOOD, SEG, SR, VOLUMES, Stage
from tests.scp.recording_intake import RecordingIntake

ASKING = TEXT.replace('ae_title = "PACS"\n', 'ae_title = "PACS"\ncommitment = true\n')
PACS = Caller("PACS", "ANCILLA", "192.0.2.1")
RESULTS = [SEG.sop_instance_uid, SR.sop_instance_uid, VOLUMES.sop_instance_uid]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, ASKING)


def delivered(stage: Stage) -> Job:
    """A study whose results were sent; the commit job."""
    stage.settled()
    stage.workers.answer()
    stage.turn()
    return commit(stage)


def commit(stage: Stage) -> Job:
    (job, *_) = stage.store.jobs(kind=JobKind.COMMIT)
    return job


def everything(transaction: str, members: Sequence[Member]) -> Word:
    return Word(Commitment(transaction, tuple(members), ()))


def test_an_archive_that_answers_at_once_ends_the_job(stage: Stage) -> None:
    stage.archive.says = everything
    job = delivered(stage)
    assert (job.state, job.reason) == (JobState.DONE, "")
    assert [uids for _, uids in stage.archive.asked] == [RESULTS]
    assert stage.events()[-3:] == ["claimed", "asked", "committed"]


def test_a_report_that_comes_later_on_another_association_ends_the_job(stage: Stage) -> None:
    job = delivered(stage)
    assert job.state is JobState.QUEUED and "has not reported yet" in job.reason
    ((transaction, _),) = stage.archive.asked
    members = tuple(Member(a.sop_class_uid, a.sop_instance_uid) for a in (SEG, SR, VOLUMES))
    witness = Witness(stage.store, lambda: None)
    assert witness.promised(PACS, Commitment(transaction, members, ()))
    assert commit(stage).state is JobState.DONE
    assert witness.promised(PACS, Commitment(transaction, (), members)), "known, but settled already"
    assert commit(stage).state is JobState.DONE
    assert [row.actor for row in stage.store.audit() if row.event == "committed"] == ["PACS@192.0.2.1"]


def test_a_report_of_what_nobody_asked_changes_nothing(stage: Stage) -> None:
    delivered(stage)
    assert not stage.store.promised("PACS@192.0.2.1", Commitment("1.2.3.4", (), ()))
    assert commit(stage).state is JobState.QUEUED


def test_a_report_while_we_still_ask_counts_and_the_late_word_is_dropped(stage: Stage) -> None:
    def reports_meanwhile(transaction: str, members: Sequence[Member]) -> Word:
        assert stage.store.promised("PACS@192.0.2.1", Commitment(transaction, tuple(members), ()))
        return Word(None)

    stage.archive.says = reports_meanwhile
    assert delivered(stage).state is JobState.DONE


def test_an_archive_that_lacks_one_object_is_named_with_the_number(stage: Stage) -> None:
    stage.archive.says = lambda transaction, members: Word(Commitment(transaction, tuple(members[1:]), tuple(members[:1])))
    job = delivered(stage)
    assert (job.state, job.reason) == (JobState.FAILED, "pacs does not commit to 1 of 3 objects")


def lacks_the_first(transaction: str, members: Sequence[Member]) -> Word:
    return Word(Commitment(transaction, tuple(members[1:]), tuple(members[:1])))


def test_what_an_archive_does_not_commit_to_is_sent_again_a_few_times(stage: Stage) -> None:
    stage.archive.says = lacks_the_first
    delivered(stage)
    assert len(stage.pacs.got) == 1, "not at once: an archive may be slow"
    for pause, times in ((61, 2), (121, 3), (100_000, 3)):
        stage.later(pause)
        stage.turn()
        assert len(stage.pacs.got) == times
    assert [job.state for job in stage.store.jobs(kind=JobKind.COMMIT)] == [JobState.FAILED] * 3
    rows = [row for row in stage.store.audit() if row.event == "revived"]
    assert ['"resend":1' in rows[0].details, '"resend":2' in rows[1].details, len(rows)] == [True, True, 2]
    assert "does not commit to 1 of 3 objects" in rows[0].details


def test_an_object_that_was_lost_is_committed_to_after_it_was_sent_again(stage: Stage) -> None:
    stage.archive.says = lacks_the_first
    assert delivered(stage).state is JobState.FAILED
    stage.archive.says = everything
    stage.later(61)
    stage.turn()
    assert commit(stage).state is JobState.DONE and stage.deliveries()[0].state is JobState.DONE
    assert [names for _, names in stage.pacs.got] == [["seg.dcm", "sr.dcm", "sr-volumetric.dcm"]] * 2


def test_what_an_archive_says_nothing_about_is_not_committed(stage: Stage) -> None:
    stage.archive.says = lambda transaction, members: Word(Commitment(transaction, tuple(members[:2]), ()))
    assert delivered(stage).state is JobState.FAILED


def test_a_silent_archive_is_asked_again_with_a_new_transaction_and_given_up_in_the_end(stage: Stage) -> None:
    delivered(stage)
    stage.later(80)
    stage.turn()
    first, second = (transaction for transaction, _ in stage.archive.asked)
    assert first != second
    stage.archive.says = TransientError("pacs cannot be asked: nobody there")
    for _ in range(100):
        stage.later(4000)
        stage.turn()
    assert commit(stage).state is JobState.FAILED and "gave up after 72 hours" in commit(stage).reason
    members = tuple(Member("", uid) for uid in RESULTS)
    assert stage.store.promised("PACS@192.0.2.1", Commitment(first, members, ())), "the first request is still known"


def test_only_what_was_accepted_is_asked_for(stage: Stage) -> None:
    stage.pacs.refuses = {"sr-volumetric.dcm": 0xA900}
    stage.archive.says = everything
    assert delivered(stage).state is JobState.DONE
    assert stage.archive.asked[0][1] == [SEG.sop_instance_uid, SR.sop_instance_uid]


def test_a_destination_that_is_not_to_commit_is_not_asked(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.settled()
    stage.workers.answer()
    stage.turn()
    assert stage.store.jobs(kind=JobKind.COMMIT) == []


def test_a_delivery_asks_for_no_commitment(stage: Stage) -> None:
    delivered(stage)
    with pytest.raises(PermanentError, match="asks for no commitment"):
        stage.store.to_be_committed(stage.deliveries()[0])


def test_a_restart_between_request_and_report_loses_nothing(stage: Stage) -> None:
    delivered(stage)
    ((transaction, _),) = stage.archive.asked
    stage.restart()
    assert stage.store.promised("PACS@192.0.2.1", Commitment(transaction, tuple(Member("", uid) for uid in RESULTS), ()))
    assert commit(stage).state is JobState.DONE


# with a real archive


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    files = []
    for number, ds in enumerate(Series(slices=3).datasets()):
        files.append(tmp_path / f"{number}.dcm")
        files[-1].write_bytes(part10(ds))
    return files


def members_of(series: Series) -> list[Member]:
    return [Member(str(ds.SOPClassUID), str(ds.SOPInstanceUID), str(ds.SeriesInstanceUID)) for ds in series.datasets()]


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[tuple[Stage, peers.Orthanc]]:
    """A stage whose receiver listens for Orthanc, and an Orthanc that knows where it listens."""
    port = peers.free_port()
    text = ASKING.replace("port = 0\n", f"port = {port}\n", 1).replace('ae_title = "CT01"', 'ae_title = "ORTHANC"')
    with peers.orthanc(extra={"DicomModalities": {"node": ["ANCILLA", "127.0.0.1", port]}}) as pacs:
        text = text.replace('ae_title = "PACS"', 'ae_title = "ORTHANC"').replace("port = 4242", f"port = {pacs.port}")
        stage = Stage(tmp_path, text.replace('host = "h"', 'host = "127.0.0.1"').replace('host = "pacs"', 'host = "127.0.0.1"'))
        receiver = receiver_for(stage.settings, RecordingIntake(), Witness(stage.store, lambda: None))
        receiver.start()
        try:
            yield stage, pacs
        finally:
            receiver.stop()


@pytest.mark.peer
def test_orthanc_reports_on_an_association_of_its_own_what_it_has_and_what_not(
    asking: tuple[Stage, peers.Orthanc], images: list[Path]
) -> None:
    stage, pacs = asking
    for file in images:
        pacs.post("/instances", file.read_bytes())
    destination = replace(stage.settings.destinations[0], host="127.0.0.1")
    series = Series(slices=3)
    for members, state in ((members_of(series), JobState.DONE), ([Member("1.2", "1.2.3"), *members_of(series)], JobState.FAILED)):
        job = waiting(stage, members)
        transaction = f"2.25.{job.job_id}"
        stage.store.asked(job, transaction)
        request(destination, "1.2.3", transaction, members)
        peers.wait_for(lambda job=job: stage.store.job(job.job_id).state in (JobState.DONE, JobState.FAILED), "the report")  # type: ignore[misc, union-attr]
        assert stage.store.job(job.job_id).state is state  # type: ignore[union-attr]


def waiting(stage: Stage, members: Sequence[Member]) -> Job:
    """A commit job about these instances."""
    stage.archive.says = lambda transaction, _: Word(None)
    artifacts = tuple(
        replace(SR, role=f"sc-{n}", path=f"results/{n}.dcm", sop_class_uid=m.sop_class_uid, sop_instance_uid=m.sop_instance_uid)
        for n, m in enumerate(members, 1)
    )
    stage.settings = replace(stage.settings, destinations=tuple(replace(d, outputs=("sc",)) for d in stage.settings.destinations))
    stage.restart()
    number = len(stage.store.jobs())
    stage.pacs.more = artifacts
    stage.receive(f"1.2.9.{number}", f"1.2.9.{number}.1")
    stage.later(31)
    stage.turn()
    stage.workers.answer(replace(GOOD, artifacts=artifacts))
    stage.turn()
    return commit(stage)


@pytest.mark.peer
def test_orthanc_gets_again_what_it_lost_and_commits_to_it(asking: tuple[Stage, peers.Orthanc], images: list[Path]) -> None:
    stage, pacs = asking
    lost: list[str] = []

    def to_orthanc(destination: Destination, files: Sequence[Path]) -> list[Sent]:
        sent = dicom.send(destination, files)
        if not lost:
            lost.extend(pacs.instances("CT")[:1])
            pacs.delete(f"/instances/{lost[0]}")
        return sent

    stage.pacs, stage.archive = to_orthanc, request  # type: ignore[assignment]
    job = with_results(stage, images)
    peers.wait_for(lambda: stage.store.job(job.job_id).state is JobState.FAILED, "the report")  # type: ignore[union-attr]
    assert pacs.count() == 2
    stage.later(61)
    stage.turn()
    peers.wait_for(lambda: commit(stage).state is JobState.DONE, "the second report")
    assert pacs.count() == 3 and commit(stage).job_id != job.job_id


def with_results(stage: Stage, files: Sequence[Path]) -> Job:
    """The commit job about these files, delivered as pictures."""
    artifacts = []
    for number, file in enumerate(files, 1):
        ds = pydicom.dcmread(file, stop_before_pixels=True)
        path = stage.settings.node.data_dir / "results" / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.read_bytes())
        uids = (str(ds.SOPClassUID), str(ds.SOPInstanceUID), str(ds.SeriesInstanceUID))
        artifacts.append(Artifact(f"sc-{number}", f"results/{number}.dcm", "aa", 10, *uids))
    stage.settings = replace(stage.settings, destinations=tuple(replace(d, outputs=("sc",)) for d in stage.settings.destinations))
    stage.restart()
    stage.settled()
    stage.workers.answer(replace(GOOD, artifacts=tuple(artifacts)))
    stage.turn()
    return commit(stage)


@pytest.mark.peer
def test_an_archive_without_the_service_is_asked_what_it_has(images: list[Path]) -> None:
    """DCMTK's storescp takes objects and nothing else; its dcmqrscp answers queries and offers no commitment."""
    with peers.storescp() as scp:
        nobody = Destination("pacs", "dicom", "127.0.0.1", scp.port, "ANY", "ANCILLA", timeout_seconds=5)
        with pytest.raises(TransientError, match="took no association for a query"):
            request(nobody, "1.2", "2.25.1", members_of(Series(slices=3)))
    with peers.orthanc(extra={"DicomAlwaysAllowFind": True}) as pacs:
        for file in images[:2]:
            pacs.post("/instances", file.read_bytes())
        series = Series(slices=3)
        archive = Destination("pacs", "dicom", "127.0.0.1", pacs.port, pacs.ae_title, "ANCILLA", timeout_seconds=5)
        members = members_of(series)
        assert present(archive, str(series.datasets()[0].StudyInstanceUID), members) == {
            member.sop_instance_uid for member in members[:2]
        }


def test_a_query_is_a_proof_of_its_own_kind(stage: Stage) -> None:
    stage.archive.says = lambda transaction, members: Word(Commitment(transaction, tuple(members), ()), BY_QUERY)
    assert delivered(stage).state is JobState.DONE
    (row,) = [row for row in stage.store.audit() if row.event == "committed"]
    assert row.actor == "node (c-find)" and '"proof":"c-find"' in row.details
