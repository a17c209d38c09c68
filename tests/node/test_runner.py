"""Every way a job can go, on a real store, with a clock that the test turns."""

import json
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.errors import PackageError, PermanentError, TransientError
from domain.jobs import Answer, JobKind, Outcome, Verdict
from domain.moves import JobState, StudyState
from domain.studies import Study
from node import runner
from node.inferring import LONGEST_PAUSE
from node.pool import WorkerDiedError
from tests.node.configuration import TEXT
from tests.node.stage import GOOD, SEG, SR, STUDY, VOLUMES, Stage

RUNGS = ("gsps", "pdf", "sc", "seg", "sr", "sr-comprehensive", "sr-enhanced")  # nobody knows yet what the PACS takes
FAILED = Answer(Outcome.FAILED, "Not analysed.", (replace(SR, sop_instance_uid="2.25.9"),), "it crashed")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_a_study_goes_from_images_to_a_result_in_the_pacs(stage: Stage) -> None:
    job = stage.settled()
    assert (job.state, job.attempts, job.destinations) == (JobState.RUNNING, 1, ("pacs",))
    order = stage.workers.order
    assert (order.study_uid, order.revision, len(order.instances), order.outputs) == (STUDY, 1, 3, RUNGS)
    assert order.started_at == job.started_at
    assert STUDY not in order.out_dir
    stage.workers.answer(GOOD)
    stage.turn()
    assert stage.infer().state is JobState.DONE and stage.infer().timings == {"infer": 1.5}
    assert stage.pacs.got == [("pacs", ["seg.dcm", "sr.dcm", "sr-volumetric.dcm"])]
    assert [job.state for job in stage.deliveries()] == [JobState.DONE]
    wanted = ["settled", "queued", "claimed", "finished", "queued", "claimed", "sent"]
    assert [event for event in stage.events() if event in wanted] == wanted


def test_nothing_happens_before_a_study_is_quiet(stage: Stage) -> None:
    stage.receive()
    stage.later(29)
    assert not stage.runner.step()
    assert stage.store.study(STUDY).state is StudyState.RECEIVING  # type: ignore[union-attr]
    stage.later(2)
    assert stage.runner.step()
    assert stage.store.study(STUDY).state is StudyState.COMPLETE  # type: ignore[union-attr]


def test_a_loop_that_only_looks_around_asks_for_no_latest_rows(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "IDLE_SECONDS", 0.0)
    awake, hurry, stop = threading.Event(), threading.Event(), threading.Event()
    asked: list[bool] = []

    def due(latest: bool = True) -> list[Study]:
        asked.append(latest)
        if len(asked) == 2:
            hurry.set()
        awake.set()
        if len(asked) == 4:
            stop.set()
        return []

    monkeypatch.setattr(stage.store, "due", due)
    runner.Runner(stage.store, stage.settler, stage.inferring, stage.delivering, awake, hurry=hurry).run(stop)
    assert asked == [False, False, True, False]


def test_the_loop_rests_until_the_next_study_is_due_but_not_for_long(stage: Stage) -> None:
    class Waits(threading.Event):
        """Ends the loop after three rests."""

        def wait(self, timeout: float | None = None) -> bool:
            rests.append(timeout)
            stage.later(1)
            if len(rests) == 3:
                stop.set()
            return False

    rests: list[float | None] = []
    awake, stop = Waits(), threading.Event()
    stage.receive()
    stage.later(28.7)  # of 30
    runner.Runner(stage.store, stage.settler, stage.inferring, stage.delivering, awake).run(stop)
    assert rests == [0.5, pytest.approx(0.3), 0.5]


def test_no_more_jobs_run_than_there_are_workers(stage: Stage) -> None:
    for number in range(4):
        stage.receive(f"1.2.{number}", f"1.2.{number}.1")
    stage.later(31)
    stage.turn()
    assert len(stage.workers.asked) == 2
    stage.workers.answer()
    stage.turn()
    assert len(stage.workers.asked) == 3


def test_a_model_gets_only_the_series_its_rule_wants(stage: Stage) -> None:
    stage.receive(series="1.2.3.1", Modality="MR")
    stage.receive(series="1.2.3.2", Modality="CT")
    stage.later(31)
    stage.turn()
    assert stage.infer().series_uids == ("1.2.3.2",)
    assert {instance.header.series_uid for instance in stage.workers.order.instances} == {"1.2.3.2"}


def test_a_localizer_at_the_front_of_a_series_does_not_speak_for_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path, TEXT.replace('Modality = "CT"', 'ImageType = { excludes = "LOCALIZER" }'))
    stage.receive(images=3, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    stage.headers["1.2.3.1/1"].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]  # type: ignore[union-attr]
    stage.later(31)
    stage.turn()
    assert len(stage.workers.order.instances) == 3


def test_a_study_no_rule_wants_is_said_to_be_unmatched(stage: Stage) -> None:
    stage.receive(Modality="MR")
    stage.later(31)
    stage.turn()
    assert stage.store.jobs() == []
    assert stage.events()[-1] == "unmatched"


def test_a_series_whose_header_cannot_be_read_holds_up_nothing(stage: Stage) -> None:
    stage.receive(series="1.2.3.1")
    stage.receive(series="1.2.3.2")
    stage.headers["1.2.3.1/2"] = None
    stage.later(31)
    stage.turn()
    assert stage.infer().series_uids == ("1.2.3.2",)


def test_a_study_that_raises_what_nobody_foresaw_holds_up_no_other(stage: Stage) -> None:
    stage.receive("1.2.1", "1.2.1.1")
    stage.receive("1.2.2", "1.2.2.1")
    del stage.headers["1.2.1.1/2"]
    stage.later(31)
    stage.turn()
    assert [job.study_uid for job in stage.store.jobs()] == ["1.2.2"]
    assert stage.store.study("1.2.1").state is StudyState.RECEIVING  # type: ignore[union-attr]


def test_input_that_does_not_suit_is_declined_and_still_delivered(stage: Stage) -> None:
    stage.settled()
    stage.workers.answer(Answer(Outcome.NOT_ANALYSED, "Slices are 7 mm thick.", (SR,), "slice-spacing"))
    stage.turn()
    assert (stage.infer().state, stage.infer().reason) == (JobState.DECLINED, "slice-spacing")
    assert stage.pacs.got == [("pacs", ["sr.dcm"])]


def test_a_crashed_worker_is_tried_again_after_a_pause(stage: Stage) -> None:
    stage.settled()
    stage.workers.answer(WorkerDiedError(-11))
    stage.turn()
    job = stage.infer()
    assert (job.state, job.reason) == (JobState.QUEUED, "the worker process died (signal SIGSEGV)")
    assert timedelta(seconds=7) < job.run_at - stage.now < timedelta(seconds=13)
    assert len(stage.workers.asked) == 1
    stage.later(13)
    stage.turn()
    assert len(stage.workers.asked) == 2 and stage.infer().attempts == 2
    assert stage.workers.asked[0][0].started_at == stage.workers.asked[1][0].started_at
    stage.workers.answer(GOOD)
    stage.turn()
    assert stage.infer().state is JobState.DONE


def test_a_poison_job_ends_as_a_report_of_failure_and_only_then_as_failed(stage: Stage) -> None:
    stage.settled()
    for _ in range(3):
        assert stage.workers.order.verdict is None
        stage.workers.answer(WorkerDiedError(-11))
        stage.turn()
        if stage.infer().state is JobState.QUEUED:
            stage.later(LONGEST_PAUSE)
            stage.turn()
    assert len(stage.workers.asked) == 4
    assert stage.workers.order.verdict == Verdict("the worker process died (signal SIGSEGV)")
    assert stage.infer().state is JobState.RUNNING
    assert stage.workers.order.out_dir != stage.workers.asked[0][0].out_dir
    stage.workers.answer(FAILED)
    stage.turn()
    assert (stage.infer().state, stage.infer().outcome) == (JobState.FAILED, Outcome.FAILED)
    assert stage.pacs.got == [("pacs", ["sr.dcm"])]


def test_a_short_limit_for_jobs_does_not_silence_the_report_of_failure(tmp_path: Path) -> None:
    stage = Stage(tmp_path, TEXT.replace("job_timeout_seconds = 100", "job_timeout_seconds = 2").replace("= 3\n", "= 1\n"))
    stage.settled()
    stage.later(3)
    stage.turn()
    assert stage.workers.killed == 1
    assert stage.workers.order.verdict == Verdict("it took longer than 2 seconds and was killed")
    stage.later(100)  # a new worker loads its libraries
    stage.turn()
    assert stage.workers.killed == 1
    stage.workers.answer(FAILED)
    stage.turn()
    assert (stage.infer().state, stage.infer().outcome) == (JobState.FAILED, Outcome.FAILED)
    assert stage.pacs.got == [("pacs", ["sr.dcm"])]


def test_a_report_of_failure_that_hangs_is_killed_too(tmp_path: Path) -> None:
    stage = Stage(tmp_path, TEXT.replace("= 3\n", "= 1\n"))
    stage.settled()
    stage.workers.answer(WorkerDiedError(-11))
    stage.turn()
    stage.later(119)
    stage.turn()
    assert stage.infer().state is JobState.RUNNING
    stage.later(2)
    stage.turn()
    assert stage.infer().state is JobState.FAILED
    assert stage.infer().reason == "it took longer than 120 seconds and was killed while writing the failure report"


def test_what_trying_again_cannot_change_is_told_at_once(stage: Stage) -> None:
    stage.settled()
    stage.workers.answer(PackageError("network.bin was changed"))
    stage.turn()
    assert stage.workers.order.verdict == Verdict("network.bin was changed")


def test_an_error_of_a_library_is_named_by_type_and_place_and_not_quoted(stage: Stage) -> None:
    stage.settled()
    error = ValueError("Doe^John has no pixels")
    error.add_note("inference/volume.py:12")
    stage.workers.answer(error)
    stage.turn()
    assert stage.infer().reason == "ValueError (inference/volume.py:12)"
    assert not any("Doe" in row.details for row in stage.store.audit())


def test_a_failure_report_that_fails_too_ends_the_job(stage: Stage) -> None:
    stage.settled()
    stage.workers.answer(PermanentError("no"))
    stage.turn()
    stage.workers.answer(PermanentError("no header"))
    stage.turn()
    assert (stage.infer().state, stage.infer().reason) == (JobState.FAILED, "no header while writing the failure report")
    assert stage.deliveries() == []


def test_a_stuck_job_is_killed_and_the_others_go_on(stage: Stage) -> None:
    for number in range(2):
        stage.receive(f"1.2.{number}", f"1.2.{number}.1")
        stage.later(31)
        stage.turn()
        stage.later(10)
    stage.later(51)  # 102 seconds for the first, 61 for the second; 100 are allowed
    stage.turn()
    assert stage.workers.killed == 1
    first, second = sorted(stage.store.jobs(), key=lambda job: job.job_id)
    assert (first.state, second.state) == (JobState.QUEUED, JobState.RUNNING)
    assert first.reason == "it took longer than 100 seconds and was killed"


def test_leases_are_renewed_while_a_job_runs(stage: Stage) -> None:
    stage.settled()
    for _ in range(4):
        stage.later(24)
        stage.turn()
    job = stage.infer()
    assert job.state is JobState.RUNNING and job.attempts == 1
    assert "expired" not in stage.events()


def test_a_node_that_slept_longer_than_its_leases_keeps_its_jobs(stage: Stage) -> None:
    stage.settled()
    stage.later(90)
    stage.turn()
    assert stage.infer().state is JobState.RUNNING and stage.workers.killed == 0
    stage.workers.answer(GOOD)
    stage.turn()
    assert stage.infer().state is JobState.DONE


def test_the_job_of_a_node_that_vanished_is_taken_over(stage: Stage) -> None:
    stage.receive()
    stage.later(31)
    stage.settler.settle(stage.store.due()[0])
    assert stage.store.claim(JobKind.INFER, "another node", 60) is not None
    stage.turn()
    assert stage.workers.asked == []
    stage.later(61)
    stage.turn()
    assert len(stage.workers.asked) == 1
    assert "expired" in stage.events()


def test_a_cancelled_job_is_killed_and_its_answer_dropped(stage: Stage) -> None:
    job = stage.settled()
    stage.store.cancel(job.job_id, "operator:test")
    stage.later(25)
    stage.turn()
    assert stage.workers.killed == 1
    assert stage.infer().state is JobState.CANCELLED
    assert stage.deliveries() == []


def test_an_answer_that_comes_after_the_job_was_cancelled_is_dropped(stage: Stage) -> None:
    job = stage.settled()
    stage.store.cancel(job.job_id, "operator:test")
    stage.workers.answer(GOOD)
    stage.turn()
    assert stage.infer().state is JobState.CANCELLED and stage.deliveries() == []


def test_a_power_cut_in_the_middle_of_a_job_starts_it_again(stage: Stage) -> None:
    job = stage.settled()
    stage.restart()
    stage.turn()
    assert stage.workers.order.job_id == job.job_id and stage.workers.order.token > job.token
    assert stage.workers.order.started_at == job.started_at


def test_a_job_that_takes_the_node_down_each_time_is_not_run_for_ever(stage: Stage) -> None:
    stage.settled()
    for _ in range(2):
        stage.restart()
        stage.turn()
        assert stage.workers.order.verdict is None
    stage.restart()
    stage.turn()
    assert stage.workers.order.verdict is not None


def test_a_job_whose_model_is_configured_no_more_fails_with_that_reason(stage: Stage) -> None:
    stage.receive()
    stage.later(31)
    stage.settler.settle(stage.store.due()[0])
    stage.settings = replace(stage.settings, models=())
    stage.restart()
    stage.turn()
    assert (stage.infer().state, stage.infer().reason) == (JobState.FAILED, "the model model-0 is not configured any more")


def test_late_images_make_a_new_revision_with_predecessors(stage: Stage) -> None:
    stage.settled()
    stage.workers.answer(GOOD)
    stage.turn()
    stage.receive(first=10, images=2)
    stage.later(31)
    stage.turn()
    order = stage.workers.order
    assert (order.revision, len(order.instances)) == (2, 5)
    assert {artifact.role for artifact in order.predecessors} >= {"sr", "seg"}


def test_an_unreachable_pacs_is_tried_again_with_growing_pauses(stage: Stage) -> None:
    stage.pacs.says = TransientError("pacs cannot be reached")
    stage.settled()
    stage.workers.answer()
    stage.turn()
    pauses = []
    for attempt in range(1, 6):
        (job,) = stage.deliveries()
        assert (job.state, job.attempts, job.reason) == (JobState.QUEUED, attempt, "pacs cannot be reached")
        pauses.append((job.run_at - stage.now).total_seconds())
        stage.now = job.run_at
        stage.turn()
    assert all(0.75 * 5 * 2**n <= pause <= 1.25 * 5 * 2**n for n, pause in enumerate(pauses))
    stage.pacs.says = 0
    stage.later(900)
    stage.turn()
    assert stage.deliveries()[0].state is JobState.DONE


def test_pauses_survive_a_restart(stage: Stage) -> None:
    stage.pacs.says = TransientError("down")
    stage.settled()
    stage.workers.answer()
    stage.turn()
    due = stage.deliveries()[0].run_at
    sent = len(stage.pacs.got)
    stage.restart()
    stage.turn()
    assert len(stage.pacs.got) == sent and stage.deliveries()[0].run_at == due
    stage.now = due
    stage.turn()
    assert len(stage.pacs.got) == sent + 1 and stage.deliveries()[0].attempts == 2


def test_a_delivery_interrupted_by_a_power_cut_is_sent_again(stage: Stage) -> None:
    stage.settled()
    stage.workers.answer()
    stage.inferring.collect()
    assert stage.store.claim(JobKind.DELIVER, "node", 60) is not None
    stage.restart()
    stage.turn()
    assert stage.pacs.got == [("pacs", ["seg.dcm", "sr.dcm", "sr-volumetric.dcm"])]
    assert stage.deliveries()[0].state is JobState.DONE


def test_an_unreachable_pacs_is_given_up_after_its_hours_and_an_operator_can_start_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path, TEXT + "[delivery]\ngive_up_hours = 0.01\nmax_backoff_seconds = 20\n")
    stage.pacs.says = TransientError("down")
    stage.settled()
    stage.workers.answer()
    stage.turn()
    begin = stage.now
    while (job := stage.deliveries()[0]).state is JobState.QUEUED:
        stage.now = job.run_at
        stage.turn()
    assert (job.state, job.reason) == (JobState.FAILED, "gave up after 0.01 hours: down")
    assert 36 <= (stage.now - begin).total_seconds() <= 60
    stage.later(100_000)
    stage.store.revive(job.job_id, "operator:test")
    stage.turn()
    assert stage.deliveries()[0].state is JobState.QUEUED


def test_a_refused_instance_fails_the_delivery_with_its_status(stage: Stage) -> None:
    stage.pacs.says = 0xA900
    stage.settled()
    stage.workers.answer()
    stage.turn()
    (job,) = stage.deliveries()
    assert job.state is JobState.FAILED and "0xA900" in job.reason
    assert len(stage.pacs.got) == 1


def test_a_pacs_without_space_is_tried_again(stage: Stage) -> None:
    stage.pacs.says = 0xA700
    stage.settled()
    stage.workers.answer()
    stage.turn()
    (job,) = stage.deliveries()
    assert (job.state, job.reason) == (JobState.QUEUED, "pacs answered 0xa700")


def test_a_destination_gets_only_the_outputs_it_wants(tmp_path: Path) -> None:
    more = '[[destination]]\nname = "archive"\nhost = "h"\nae_title = "A"\noutputs = ["seg"]\n'
    stage = Stage(tmp_path, TEXT.replace('["pacs"]', '["pacs", "archive"]') + more)
    stage.settled()
    stage.workers.answer()
    stage.turn()
    assert dict(stage.pacs.got) == {"archive": ["seg.dcm"], "pacs": ["seg.dcm", "sr.dcm", "sr-volumetric.dcm"]}
    assert (SEG.role, SR.role, VOLUMES.role) == ("seg", "sr", "sr-volumetric")


PDF = replace(SR, role="pdf", path="results/pdf.dcm", sop_class_uid="1.2.840.10008.5.1.4.1.1.104.1", sop_instance_uid="2.25.20")
CAPTURE = replace(SR, role="sc-1", path="results/sc-1.dcm", sop_class_uid="1.2.840.10008.5.1.4.1.1.7", sop_instance_uid="2.25.21")
LADDER = replace(GOOD, artifacts=(SEG, SR, PDF, CAPTURE))


def audited(stage: Stage, event: str) -> list[dict[str, Any]]:
    return [json.loads(row.details) for row in stage.store.audit() if row.event == event]


def test_what_a_pacs_takes_is_remembered_and_no_more_written_than_it_needs_for_a_day(stage: Stage) -> None:
    stage.settled()
    stage.workers.answer()
    stage.turn()
    assert {a.sop_class_uid: a.accepted for a in stage.store.acceptances("pacs")} == {
        SR.sop_class_uid: True, SEG.sop_class_uid: True
    }  # fmt: skip
    stage.receive("1.2.4", "1.2.4.1")
    stage.later(31)
    stage.turn()
    assert stage.workers.order.outputs == ("seg", "sr")
    stage.later(86_400)
    stage.receive("1.2.5", "1.2.5.1")
    stage.later(31)
    stage.turn()
    assert stage.workers.order.outputs == RUNGS


def test_the_audit_says_what_was_sent_instead_of_what(stage: Stage) -> None:
    stage.pacs.refuses, stage.pacs.more = {"seg.dcm": 0x0122, "sr.dcm": 0xA901}, (PDF, CAPTURE)
    stage.settled()
    stage.workers.answer(LADDER)
    stage.turn()
    assert stage.pacs.got == [("pacs", ["seg.dcm", "sr.dcm"]), ("pacs", ["pdf.dcm", "sc-1.dcm"])]
    (job,) = stage.deliveries()
    assert job.state is JobState.DONE
    (sent,) = audited(stage, "sent")
    assert sent["instead"] == {"seg": "sc", "sr": "pdf"}
    assert ["2.25.3", "0x0122"] in sent["instances"] and ["2.25.20", "0x0000"] in sent["instances"]


def test_a_pacs_that_takes_a_class_no_more_gets_the_other_forms_written_for_it(stage: Stage) -> None:
    stage.settled()
    stage.workers.answer()
    stage.turn()
    stage.receive("1.2.4", "1.2.4.1")
    stage.later(31)
    stage.turn()
    assert stage.workers.order.outputs == ("seg", "sr")
    stage.pacs.refuses, stage.pacs.more = {"seg.dcm": 0x0122}, (PDF, CAPTURE)
    stage.workers.answer()
    stage.turn()
    assert stage.deliveries()[0].state is JobState.FAILED
    assert "sc" in stage.workers.order.outputs, "the job was queued again, asking for more"
    stage.workers.answer(LADDER)
    stage.turn()
    assert stage.deliveries()[0].state is JobState.DONE
    assert stage.pacs.got[-1] == ("pacs", ["sr.dcm", "sc-1.dcm"]), "what was refused a moment ago is not tried again"


def test_a_predecessor_is_a_report_that_somebody_took(stage: Stage) -> None:
    plain = replace(SR, role="sr-comprehensive", path="results/sr-comprehensive.dcm", sop_instance_uid="2.25.30")
    spare = replace(plain, role="sr-enhanced", path="results/sr-enhanced.dcm", sop_instance_uid="2.25.31")
    stage.pacs.refuses, stage.pacs.more = {"sr.dcm": 0x0122}, (plain, spare)
    stage.settled()
    stage.workers.answer(replace(GOOD, artifacts=(SR, plain, spare)))
    stage.turn()
    stage.receive(first=4, images=1)
    stage.later(31)
    stage.turn()
    assert [artifact.role for artifact in stage.workers.order.predecessors] == ["sr", "sr-comprehensive"]


def test_a_pacs_that_takes_nothing_at_all_is_an_error_and_not_a_loop(stage: Stage) -> None:
    stage.pacs.says, stage.pacs.more = 0x0122, (PDF, CAPTURE)
    stage.settled()
    stage.workers.answer(LADDER)
    stage.turn()
    (job,) = stage.deliveries()
    assert job.state is JobState.FAILED and stage.infer().state is JobState.DONE
    assert [files for _, files in stage.pacs.got] == [["seg.dcm", "sr.dcm"], ["pdf.dcm", "sc-1.dcm"]]


def test_results_go_back_to_the_sender(tmp_path: Path) -> None:
    text = TEXT.replace('["pacs"]', '["sender"]').replace('address = "127.0.0.1"', 'address = "127.0.0.1"\nport = 104', 1)
    stage = Stage(tmp_path, text)
    stage.settled()
    stage.workers.answer()
    stage.turn()
    assert [name for name, _ in stage.pacs.got] == ["sender:CT01@127.0.0.1"]


def test_a_delivery_to_what_is_configured_no_more_fails_with_that_reason(stage: Stage) -> None:
    stage.settled()
    stage.workers.answer()
    stage.inferring.collect()
    stage.settings = replace(stage.settings, destinations=())
    stage.restart()
    stage.turn()
    (job,) = stage.deliveries()
    assert (job.state, job.reason) == (JobState.FAILED, "the destination pacs is not configured any more")


def test_a_stop_waits_for_what_runs_and_queues_the_rest_again(stage: Stage) -> None:
    stage.receive("1.2.1", "1.2.1.1")
    stage.receive("1.2.2", "1.2.2.1")
    stage.later(31)
    stage.turn()
    (_, quick), (_, slow) = stage.workers.asked
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            quick.set_result(GOOD)

    stage.runner.finish(2.0, wait)
    states = {job.study_uid: job.state for job in stage.store.jobs(kind=JobKind.INFER)}
    assert set(states.values()) == {JobState.DONE, JobState.QUEUED}
    assert slow.done() and stage.workers.killed == 1
    assert 2.0 <= sum(waits) <= 2.5


def test_restarts_in_good_order_never_become_a_report_of_failure(stage: Stage) -> None:
    stage.settled()
    for _ in range(6):
        stage.runner.finish(0.0, lambda _: None)
        assert stage.infer().state is JobState.QUEUED
        stage.restart()
        stage.turn()
        assert stage.workers.order.verdict is None
    assert stage.infer().attempts == 7
    stage.workers.answer(WorkerDiedError(-11))
    stage.turn()
    assert stage.workers.order.verdict is not None
