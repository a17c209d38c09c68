"""Rows of the audit log as DICOM audit messages: each follows the schema of PS3.15, and leads back to its row."""

import itertools
import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lxml import etree

from db.audit_rows import START, row_hash
from domain.audit import AuditRow, Event
from domain.destinations import Destination
from node.__main__ import main
from node.atna.messages import DELIVERIES, FORMS, table
from node.atna.source import Source
from node.atna.xml import MOST_INSTANCES, document, message, told
from tests.node.atna.reading import checked, codes, kept
from tests.node.configuration import TEXT

PACS = Destination("pacs", "dicom", host="pacs.example", port=104, ae_title="ARCHIVE")
US = Source("ANCILLA", "node7", "General Hospital", "file:///var/lib/ancilla/ancilla.db", {"pacs": PACS})
AT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def row(
    event: str, actor: str = "CT01@192.0.2.7", study: str = "1.2.3", seq: int = 7, job: int | None = None, **details: object
) -> AuditRow:
    return AuditRow(seq, AT, event, study, job, actor, json.dumps(details, sort_keys=True), "a" * 64)


def parties(found: etree._Element) -> list[tuple[str | None, ...]]:
    return [
        (one.get("UserID"), one.get("NetworkAccessPointID"), one.get("UserIsRequestor"), *[role.get("csd-code") for role in one])
        for one in found.iter("ActiveParticipant")
    ]


@pytest.mark.parametrize("kind", ["infer", "deliver", "commit"])
@pytest.mark.parametrize("actor", ["node", "node (retention)", "operator:eve", "CT01@192.0.2.7", "operator:eve@local"])
def test_every_event_becomes_a_message_after_the_schema(kind: str, actor: str) -> None:
    for event in [*Event, "an-event-of-a-later-version"]:
        found = checked(message(row(event, actor, kind=kind, reason="because", destination="pacs", job=3), US))
        event_id = found.find("EventIdentification/EventID")
        assert event_id is not None and event_id.get("codeSystemName") == "DCM"
        assert [one.get("UserIsRequestor") for one in found.iter("ActiveParticipant")].count("true") <= 1, "PS3.15 A.5.2"
        assert kept(found)["event"] == event


def test_every_event_of_this_version_has_a_line_in_the_table() -> None:
    assert set(DELIVERIES) <= set(FORMS)
    handbook = (Path(__file__).parents[3] / "docs" / "audit.md").read_text("utf-8")
    assert table() in handbook


def test_an_image_that_came_is_a_transfer_from_its_sender_to_this_node() -> None:
    found = checked(message(row("stored", instance="1.2.3.4", digest="f" * 64), US))
    assert codes(found, "EventID") == [("110104", "DCM")] and codes(found, "EventTypeCode") == []
    event = found.find("EventIdentification")
    assert event is not None and dict(event.attrib) == {
        "EventActionCode": "C",
        "EventDateTime": "2026-03-01T12:00:00.123456+00:00",
        "EventOutcomeIndicator": "0",
    }
    assert parties(found) == [("CT01", "192.0.2.7", "true", "110153"), ("ANCILLA", "node7", "false", "110152")]
    assert [one.get("ParticipantObjectID") for one in found.iter("ParticipantObjectIdentification")] == ["1.2.3", "7"]
    assert [one.get("UID") for one in found.iter("Instance")] == ["1.2.3.4"]
    source = found.find("AuditSourceIdentification")
    assert source is not None and dict(source.attrib) == {
        "AuditEnterpriseSiteID": "General Hospital",
        "AuditSourceID": "ANCILLA@node7",
    }


def test_results_that_left_are_a_transfer_from_this_node_to_the_destination() -> None:
    sent = row("sent", "node", kind="deliver", destination="pacs", instances=[["2.25.1", "0x0000"], ["2.25.2", "0xB000"]])
    found = checked(message(sent, US))
    assert codes(found, "EventID") == [("110104", "DCM")]
    assert parties(found) == [("ANCILLA", "node7", "true", "110153"), ("pacs", "pacs.example", "false", "110152")]
    assert [one.get("UID") for one in found.iter("Instance")] == ["2.25.1", "2.25.2"]
    began = checked(message(row("claimed", "node", kind="deliver", destination="sender:CT01@192.0.2.7"), US))
    assert codes(began, "EventID") == [("110102", "DCM")]
    assert parties(began)[1] == ("CT01", "192.0.2.7", "false", "110152")


def test_who_was_turned_away_is_a_security_alert_with_the_reason() -> None:
    found = checked(message(row("association-rejected", "EVIL@10.9.9.9", "", words="calling AE title is unknown"), US))
    assert codes(found, "EventID") == [("110113", "DCM")] and codes(found, "EventTypeCode") == [("110126", "DCM")]
    assert found.findtext("EventIdentification/EventOutcomeDescription") == "calling AE title is unknown"
    assert found[0].get("EventOutcomeIndicator") == "8"
    assert parties(found) == [("ANCILLA", "node7", "true"), ("EVIL", "10.9.9.9", "false")], "who performs is not the requestor"


def test_a_deleted_study_names_the_operator() -> None:
    found = checked(message(row("purged", "operator:eve", images=3), US))
    assert codes(found, "EventID") == [("110105", "DCM")] and found[0].get("EventActionCode") == "D"
    assert parties(found)[0] == ("eve", "node7", "true")


def test_what_the_standard_has_no_code_for_is_marked_as_ours() -> None:
    found = checked(message(row("declined", "node", job=4, kind="infer", reason="slices 7 mm thick"), US))
    assert codes(found, "EventTypeCode") == [("declined", "99ANCILLA")]


def test_an_association_that_was_not_released_is_a_failure() -> None:
    assert told(row("association-closed", how="released"), US)[0] == 0
    assert told(row("association-closed", how="aborted"), US)[0] == 4
    assert checked(message(row("association-closed", how="lost"), US))[0].get("EventOutcomeIndicator") == "4"


def test_names_from_the_network_cannot_break_the_document() -> None:
    name = "<A&\"'\x00\x1b\ud800\ufffe\n>"
    found = checked(message(row("association-rejected", f"{name}@10.9.9.9", "", words=name), US))
    assert parties(found)[1][0] == "<A&\"'\ufffd\ufffd\ufffd\ufffd\n>"


@pytest.mark.parametrize(
    "details", ["not JSON", "[]", "3", '{"instances": [1, [], "x"], "instance": 5, "how": [], "kind": {}, "destination": 7}']
)
def test_a_row_that_somebody_tampered_with_goes_out_as_it_is(details: str) -> None:
    for event in ("stored", "sent", "failed", "association-rejected"):
        found = checked(message(AuditRow(-3, AT, event, "<1.2>", None, "", details, "not a hash"), US))
        assert (kept(found)["details"], kept(found)["hash"], kept(found)["seq"]) == (details, "not a hash", "-3")


def test_very_long_rows_stay_short_messages() -> None:
    uids = [[f"2.25.{number:036d}", "0x0000"] for number in range(4000)]
    text = message(row("sent", "node", kind="deliver", destination="pacs", instances=uids), US)
    found = checked(text)
    assert len(text.encode()) < 65_000 and len(list(found.iter("Instance"))) == MOST_INSTANCES
    assert [one.get("NumberOfInstances") for one in found.iter("SOPClass")] == ["4000"]
    assert len(kept(found)["details-beginning"]) == 16_384


def test_the_chain_can_be_proven_from_the_messages_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "node.toml").write_text(TEXT)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "package.toml").touch()
    (tmp_path / "data").mkdir()
    ask = ["-c", str(tmp_path / "node.toml")]
    assert main(["admit", "CT09", "10.1.2.3", *ask]) == 0
    assert main(["admit", "--remove", "CT09", *ask]) == 0
    assert main(["audit", "export", "--format", "xml", "--out", str(tmp_path / "log.xml"), *ask]) == 0
    lines = (tmp_path / "log.xml").read_bytes().splitlines()
    assert len(etree.fromstring(b"\n".join(lines))) == 3, "one document"
    last = START
    for line in lines[2:-1]:
        found = checked(line)
        about = kept(found)
        micros = (datetime.fromisoformat(found[0].get("EventDateTime")) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
            microseconds=1
        )
        last = row_hash(last, int(about["seq"]), micros, about["event"], "", None, about["actor"], about["details"])
        assert last == about["hash"]
    capsys.readouterr()
    assert main(["audit", "verify", *ask]) == 0
    assert last in capsys.readouterr().out
    assert codes(found, "EventID") == [("110101", "DCM")], "who exported stands in the log"


def test_a_long_log_needs_no_more_memory_than_a_short_one() -> None:
    image = row("stored", instance="1.2.3.4", digest="f" * 64)
    lines = document(itertools.repeat(image, 500_000), US)
    tracemalloc.start()
    try:
        for _ in itertools.islice(lines, 1_500):
            pass
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
