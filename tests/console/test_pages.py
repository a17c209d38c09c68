"""The pages over a real store: what the commands say they say, whoever wrote it, and reading changes nothing."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from console import pages
from domain.audit import Event
from domain.errors import TransientError
from domain.evidence import Evidence, Member, Source
from domain.instances import Caller
from domain.jobs import Answer, JobKind, Outcome
from domain.repositories import Repository
from tests.console.browser import Accepted, Console, console
from tests.node.stage import GOOD, STUDY
from tests.peers import wait_for

HOSTILE = '<script>alert("1")</script>'
PATHS = ("/", "/studies", f"/studies/{STUDY}", "/jobs", "/destinations", "/models", "/models/model-0", "/callers", "/audit")


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Console]:
    monkeypatch.setattr(pages, "ROWS", 20)
    started = console(tmp_path)
    yield started
    started.stop()


def analysed(web: Console, answer: Answer = GOOD) -> None:
    web.stage.settled()
    web.stage.workers.answer(answer)
    web.stage.turn()


def test_every_page_is_whole_names_version_and_purpose_and_loads_nothing_from_elsewhere(web: Console) -> None:
    analysed(web)
    for path in PATHS:
        answer = web.get(path)
        assert answer.status == 200, path
        assert "for research use, not for primary diagnosis" in answer.words
        assert "Ancilla 0." in answer.words
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self';")
        assert (answer.headers["x-frame-options"], answer.headers["cache-control"]) == ("DENY", "no-store")
        assert (answer.headers["referrer-policy"], answer.headers["x-content-type-options"]) == ("no-referrer", "nosniff")
    style = web.get("/style.css")
    assert style.headers["content-type"].startswith("text/css") and "url(" not in style.text


def test_the_overview_says_what_waits_and_what_somebody_should_look_at(web: Console) -> None:
    assert "Nothing needs to be looked at" in web.get("/").words
    web.stage.pacs.says = TransientError("connection refused")
    analysed(web)
    web.stage.later(3600)
    web.stage.store.rejected(Caller("EVIL", "ANCILLA", "10.9.9.9"), "calling AE title is unknown")
    words = web.get("/").words
    assert "pacs does not take what it is sent; 1 tried again: connection refused" in words
    assert "Callers turned away within a day: 1." in words
    assert "the oldest queued deliver job for 1 h" in words
    assert "1 studies, 1 complete" in words and "PACS at 127.0.0.1:4242" in words


def test_a_study_is_shown_with_its_jobs_results_deliveries_and_audit_rows(web: Console) -> None:
    analysed(web)
    page = web.get(f"/studies/{STUDY}").page
    words = " ".join(page.words.split())
    assert "complete by quiet" in words and "No opacity found." in words and "negative" in words
    assert "results/sr.dcm" in words and "2.25.1" in words and "0x0000" in words
    rows = web.stage.store.newest(100, study_uid=STUDY)
    assert {row.event for row in rows} <= set(words.split())
    assert len([row for row in page.rows if row and row[0].isdigit() and len(row) == 6]) == len(rows)


def test_what_is_missing_is_named(web: Console) -> None:
    caller = Caller("CT01", "ANCILLA", "127.0.0.1")
    members = tuple(Member("1.2.840.10008.5.1.4.1.1.2", f"1.2.3.1.{number}", "1.2.3.1") for number in range(1, 6))
    web.stage.store.step_created(caller, Evidence(Source.MPPS, "9.1", STUDY, False))
    web.stage.receive()
    web.stage.store.step_set(caller, Evidence(Source.MPPS, "9.1", STUDY, True, members))
    words = web.get(f"/studies/{STUDY}").words
    assert "waits for 2 of 5 listed (mpps)" in words
    assert "1.2.3.1.4 1.2.3.1.5" in words
    assert "no jobs: the study is not complete yet" in words
    assert "2 of 5 listed (mpps)" in web.get("/studies").words


def test_a_refusal_of_the_destination_is_shown_with_its_status(web: Console) -> None:
    web.stage.pacs.says = 0xC000
    analysed(web)
    words = web.get(f"/studies/{STUDY}").words
    assert "0xC000" in words and "failed" in words
    assert "last failure 20" in web.get("/destinations").words
    assert "The last delivery to pacs was given up" in web.get("/").words


def test_what_strangers_and_packages_say_is_text_and_nothing_else(web: Console) -> None:
    web.stage.store.rejected(Caller(HOSTILE, '"><b>', "10.9.9.9"), HOSTILE, [HOSTILE, "1.2.840.10008.5.1.4.1.1.2"])
    web.stage.store.admit(f"<b>{HOSTILE}", "", 0, HOSTILE)
    web.stage.store.note(Event.REFUSED, HOSTILE, {"words": HOSTILE}, STUDY)
    analysed(web, Answer(Outcome.FAILED, HOSTILE, GOOD.artifacts, HOSTILE))
    for path in (*PATHS, "/studies?uid=%3Cscript%3Ealert(%221%22)%3C/script%3E", "/audit?event=refused"):
        answer = web.get(path)
        assert "<script" not in answer.text.lower() and answer.status == 200
        assert answer.page.title
    assert HOSTILE in web.get("/callers").words and "CT Image Storage" in web.get("/callers").words
    assert HOSTILE in web.get(f"/studies/{STUDY}").words
    assert json.dumps(HOSTILE) in web.get("/audit?event=refused").words


def test_the_card_of_a_model_is_text(web: Console) -> None:
    web.stage.models[0] = replace(web.stage.models[0], card=f"# Card\n{HOSTILE}\n| Dice | 0.8 |")
    page = web.get("/models/model-0").page
    assert HOSTILE in page.words and "| Dice | 0.8 |" in page.words
    assert "not medical devices" in page.words and "runs in INT8" in page.words
    assert web.get("/models/other").status == 404


def test_a_model_that_may_not_run_here_is_something_to_look_at(web: Console) -> None:
    assert "runs in INT8" in web.get("/").words
    web.board._accepting = Accepted("model-0 fails its golden cases on this CPU")
    assert "model-0 does not run here: model-0 fails its golden cases on this CPU" in web.get("/").words


def test_a_database_that_cannot_be_read_now_is_said_on_a_page(web: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy() -> None:
        raise TransientError("the database cannot be used now: locked")

    monkeypatch.setattr(web.board, "overview", busy)
    answer = web.get("/")
    assert (answer.status, "the database cannot be used now" in answer.words) == (503, True)


def test_an_audit_log_that_does_not_reach_its_repository_is_something_to_look_at(web: Console) -> None:
    web.stage.store.not_forwarded("connection refused")
    assert "does not reach its repository" not in web.get("/").words
    web.stage.settings = replace(web.stage.settings, audit=Repository("tls", "siem", 6514))
    assert "The audit log does not reach its repository: connection refused" in web.get("/").words
    assert "ancilla_audit_unsent_seconds 0" in web.get("/metrics").text
    web.stage.later(60)
    assert "ancilla_audit_unsent_seconds 60" in web.get("/metrics").text


def test_lists_are_paged_by_key_complete_and_without_repeats_while_studies_arrive(web: Console) -> None:
    for number in range(50):
        web.stage.later(1)
        web.stage.receive(f"1.2.{number}", f"1.2.{number}.1", images=1)
    there, path, seen = {f"1.2.{number}" for number in range(50)}, "/studies", list[str]()
    for turn in range(10):
        page = web.get(path).page
        seen += [link.rpartition("/")[2] for link in page.links if link.startswith("/studies/")]
        older = [link for link in page.links if "before=" in link]
        if not older:
            break
        (path,) = older
        web.stage.later(1)
        web.stage.receive(f"9.{turn}", f"9.{turn}.1", images=1)  # comes on top of the list
    assert len(seen) == len(set(seen)) == 50
    assert set(seen) == there
    assert seen[0] == "1.2.49" and seen[-1] == "1.2.0"


def test_the_pages_of_a_state_hold_nothing_else_and_keep_it_in_the_link(web: Console) -> None:
    for number in range(23):
        web.stage.receive(f"1.2.{number}", f"1.2.{number}.1", images=1)
    web.stage.later(31)
    web.stage.turn()
    web.stage.receive("7.7", "7.7.1", images=1)
    first = web.get("/studies?state=complete").page
    assert "7.7" not in first.words.split()
    (older,) = [link for link in first.links if "before=" in link]
    assert "state=complete" in older
    second = web.get(older).page
    assert len([link for link in second.links if link.startswith("/studies/")]) == 3
    jobs = web.get("/jobs?state=queued").page
    (older,) = [link for link in jobs.links if "before=" in link]
    numbers = [int(row[0]) for page in (jobs, web.get(older).page) for row in page.rows if row and row[0].isdigit()]
    assert sorted(numbers, reverse=True) == numbers == [job.job_id for job in web.stage.store.jobs(state="queued")]  # type: ignore[arg-type]


def test_the_audit_log_is_paged_and_can_be_narrowed_to_one_event(web: Console) -> None:
    for number in range(30):
        web.stage.store.note(Event.REFUSED, f"CT{number}", {"words": "not DICOM"})
    first = web.get("/audit").page
    (older,) = [link for link in first.links if "before=" in link]
    rows = [int(row[0]) for page in (first, web.get(older).page) for row in page.rows if row and row[0].isdigit()]
    assert rows == list(range(30, 0, -1))
    assert "No rows" in web.get("/audit?event=sent").words


def test_a_uid_of_a_study_an_image_or_a_result_leads_to_the_study(web: Console) -> None:
    analysed(web)
    for uid in (STUDY, "1.2.3.1.2", "2.25.1"):
        answer = web.get(f"/studies?uid={uid}")
        assert (answer.status, answer.headers["location"]) == (303, f"/studies/{STUDY}")
    assert "Nothing on this node has the UID 4.5.6" in web.get("/studies?uid=4.5.6").words


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/studies/9.9.9", 404),
        ("/studies/%3Cb%3E", 404),
        ("/studies?before=now", 400),
        ("/studies?before=1-x", 400),
        ("/studies?state=lost", 400),
        ("/jobs?before=-1", 400),
        ("/jobs?before=99999999999999999999", 400),
        ("/audit?event=nothing", 400),
        ("/nothing", 404),
    ],
)
def test_what_is_not_there_or_not_understood_is_said(web: Console, path: str, status: int) -> None:
    assert web.get(path).status == status


def test_reading_changes_nothing(web: Console) -> None:
    analysed(web)
    before = web.stage.store.head()
    for path in (*PATHS, "/metrics", "/studies?state=complete"):
        assert web.get(path).status == 200
    assert web.get("/audit/verify").status == 405
    assert web.ask("DELETE", f"/studies/{STUDY}", b"", {}).status == 405
    assert web.stage.store.head() == before


def test_the_chain_is_verified_when_asked_and_the_verdict_stays_on_the_page(web: Console) -> None:
    analysed(web)
    page = web.get("/audit").page
    assert "none changed" not in page.words
    assert web.post("/audit/verify").status == 403
    assert web.post("/audit/verify", token="0" * 64).status == 403
    web.stage.settings.node.data_dir.mkdir(exist_ok=True)
    board_database = f"sqlite:///{web.stage.folder / 'ancilla.db'}"
    web.board._proving._database = board_database  # where the stage has its own
    assert web.post("/audit/verify", token=page.hidden["token"]).status == 303
    wait_for(lambda: "none changed, removed or put in" in web.get("/audit").words, "the verdict")


def test_a_form_that_is_too_long_or_from_another_site_is_refused(web: Console) -> None:
    token = web.get("/audit").page.hidden["token"]
    assert web.post("/audit/verify", token=token, more="x" * 20_000).status == 413
    web.headers["Sec-Fetch-Site"] = "cross-site"
    assert web.post("/audit/verify", token=token).status == 403


def test_no_result_of_a_study_no_rule_wanted_is_explained(web: Console) -> None:
    web.stage.receive("4.5.6", "4.5.6.1", Modality="MR")
    web.stage.later(31)
    web.stage.turn()
    assert web.stage.store.jobs(kind=JobKind.INFER) == []
    assert "its rule asks for another Modality" in web.get("/studies/4.5.6").words
