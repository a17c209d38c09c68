"""An operator's moves on the pages: asked first, done by POST and by a login that may act, each with a name in the audit log."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.instances import Caller
from node.logins import add_login
from tests.console.browser import Answer, Console, console
from tests.node.stage import STUDY

HOSTILE = '"><script>1</script>'
MOVES = {
    "retry": {"job": "1"},
    "cancel": {"job": "1"},
    "resend": {"study": STUDY},
    "rerun": {"study": STUDY},
    "admit": {"ae": "CT9", "address": "10.0.0.9"},
}


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Console]:
    logins = tmp_path / "logins"
    password = add_login(logins, "anna", True)
    started = console(tmp_path, logins)
    started.login = ("anna", password)
    yield started
    started.stop()


def query(fields: dict[str, str]) -> str:
    return "&".join(f"{name}={value}" for name, value in fields.items())


def done(web: Console, move: str, **fields: str) -> Answer:
    """As a browser does it: the question, then its form."""
    form = web.get(f"/do/{move}?{query(fields)}").page
    return web.post(f"/do/{move}", **{**form.hidden, **fields})


def who(web: Console, event: str) -> list[str]:
    return [row.actor for row in web.stage.store.audit(event=event)]


def test_a_refused_caller_is_admitted_from_the_page_after_a_question(web: Console) -> None:
    web.stage.store.rejected(Caller("CT9", "ANCILLA", "10.0.0.9"), "calling AE title is unknown")
    (link,) = [link for link in web.get("/callers").page.links if link.startswith("/do/admit")]
    asked = web.get(link)
    assert "Let CT9 send to this node" in asked.words and "will say that anna did it" in asked.words
    assert web.stage.store.admissions() == []
    said = done(web, "admit", ae="CT9", address="10.0.0.9")
    assert (said.status, "CT9 may send from 10.0.0.9" in said.words) == (200, True)
    assert [(one.ae_title, one.address, one.actor) for one in web.stage.store.admissions()] == [
        ("CT9", "10.0.0.9", "operator:anna@127.0.0.1")
    ]
    assert who(web, "admitted") == ["operator:anna@127.0.0.1"]
    assert "operator:anna@127.0.0.1" in web.get("/callers").words


def test_a_job_is_cancelled_and_queued_again(web: Console) -> None:
    job = web.stage.settled()
    assert f"/do/cancel?job={job.job_id}" in web.get(f"/studies/{STUDY}").page.links
    assert f"job {job.job_id} is cancelled" in done(web, "cancel", job=str(job.job_id)).words
    assert f"/do/retry?job={job.job_id}" in web.get("/jobs").page.links
    assert f"job {job.job_id} is queued again" in done(web, "retry", job=str(job.job_id)).words
    assert who(web, "cancelled") == who(web, "revived") == ["operator:anna@127.0.0.1"]
    assert json.loads(next(web.stage.store.audit(event="cancelled")).details)["reason"] == "cancelled by an operator"


def test_results_are_sent_again_and_the_destination_is_asked_anew(web: Console) -> None:
    web.stage.settled()
    web.stage.workers.answer()
    web.stage.turn()
    assert "1 deliveries are queued again" in done(web, "resend", study=STUDY).words
    assert who(web, "forgotten") == who(web, "revived") == ["operator:anna@127.0.0.1"]
    web.stage.turn()
    assert len(web.stage.pacs.got) == 2


def test_what_cannot_be_done_is_said_and_changes_nothing(web: Console) -> None:
    web.stage.receive()
    before = web.stage.store.head()
    for move, fields, words in (
        ("retry", {"job": "77"}, "there is no job 77"),
        ("cancel", {"job": "77"}, "there is no job 77"),
        ("resend", {"study": STUDY}, "was ever to be sent"),
        ("rerun", {"study": "9.9.9"}, "9.9.9"),
        ("admit", {"ae": "CT9", "address": "10.0.0.300"}, "admit.address"),
        ("admit", {"ae": "CT9", "address": "", "port": "70000"}, "admit.port"),
    ):
        said = done(web, move, **fields)
        assert (said.status, words in said.words) == (409, True), said.words
    assert web.stage.store.head() == before


@pytest.mark.parametrize("move", MOVES)
def test_no_move_is_made_by_get_without_token_or_by_who_may_only_look(web: Console, move: str, tmp_path: Path) -> None:
    web.stage.settled()
    before = web.stage.store.head()
    fields = MOVES[move]
    token = web.get("/audit").page.hidden["token"]
    assert web.get(f"/do/{move}?{query(fields)}&token={token}").status == 200
    assert web.post(f"/do/{move}", **fields).status == 403
    web.headers["Sec-Fetch-Site"] = "cross-site"
    assert web.post(f"/do/{move}", **fields, token=token).status == 403
    web.headers.clear()
    web.login = ("bert", add_login(tmp_path / "logins", "bert", False))
    assert web.get(f"/do/{move}?{query(fields)}").status == 403
    assert web.post(f"/do/{move}", **fields, token=web.get("/audit").page.hidden["token"]).status == 403
    assert not [
        link for path in ("/jobs", "/callers", f"/studies/{STUDY}") for link in web.get(path).page.links if "/do/" in link
    ]
    web.login = ("", "")
    assert web.post(f"/do/{move}", **fields, token=token).status == 401
    assert web.stage.store.head() == before


def test_without_logins_nothing_can_be_done(tmp_path: Path) -> None:
    web = console(tmp_path)
    try:
        web.stage.settled()
        before = web.stage.store.head()
        token = web.get("/audit").page.hidden["token"]
        for move, fields in MOVES.items():
            for answer in (web.get(f"/do/{move}?{query(fields)}"), web.post(f"/do/{move}", **fields, token=token)):
                assert answer.status == 403 and "`ancilla login NAME`" in answer.text
        assert not [link for link in web.get(f"/studies/{STUDY}").page.links if "/do/" in link]
        assert web.stage.store.head() == before
    finally:
        web.stop()


def test_what_is_asked_is_escaped_and_what_is_no_field_is_refused(web: Console) -> None:
    asked = web.get("/do/admit?ae=%22%3E%3Cb%3Ex&address=10.0.0.9")
    assert asked.status == 200 and asked.page.hidden["ae"] == '"><b>x'
    for path in (f"/do/admit?ae={'A' * 17}", "/do/retry?job=1;2", "/do/rerun?study=..%2F", f"/do/admit?ae=CT&address={HOSTILE}"):
        said = web.get(path.replace('"', "%22").replace("<", "%3C").replace(">", "%3E"))
        assert said.status == 409 and "cannot be read" in said.words
    assert web.get("/do/purge?study=1.2.3").status == 404
