"""The statement tells what this configuration does, and names no service that is switched off."""

from pathlib import Path

import pytest

from node.__main__ import main
from node.config_keys import KEYS
from node.ladder import CLASSES
from tests.inference import small_package

BASE = """
[scp]
ae_title = "NODE7"
port = 11199
[[model]]
package = "tiny"
send_to = ["pacs"]
[[destination]]
name = "pacs"
host = "127.0.0.1"
ae_title = "PACS"
"""


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> object:
    small_package.build(tmp_path / "tiny")

    def ask(more: str = "") -> str:
        (tmp_path / "node.toml").write_text(BASE + more)
        assert main(["conformance", "-c", str(tmp_path / "node.toml")]) == 0
        return capsys.readouterr().out

    return ask


def test_titles_ports_models_and_classes_are_those_of_the_configuration(said: object) -> None:
    text = said()  # type: ignore[operator]
    for word in ("NODE7", "11199", "test-lungs", "Comprehensive 3D SR Storage", "Segmentation Storage", "Evidence Creator"):
        assert word in text
    assert "STOW-RS (PS3.18 10.5) | off" in text and "DICOM TLS: off." in text
    assert "| pacs | dicom | Study Root Query/Retrieve" not in text and "`ancilla batch` asks" in text


def test_what_is_switched_on_is_said(said: object) -> None:
    text = said("count = true\ncommitment = true\noutputs = ['sr']\n[console]\nstow = true\n")  # type: ignore[operator]
    assert "Enhanced SR Storage" in text and "Encapsulated PDF Storage" in text and "| pacs | dicom | Storage Commitment" in text
    assert "Segmentation Storage" not in text
    assert "origin server" in text and "| pacs | dicom | Study Root Query/Retrieve Information Model - FIND" in text
    assert "| pacs | dicom | Study Root Query/Retrieve Information Model - GET" not in text


def test_the_audit_trail_is_named_with_its_profile(said: object) -> None:
    plain = said()  # type: ignore[operator]
    assert "Audit trail: kept in this node; not sent." in plain and "ATNA" not in plain
    text = said("[audit]\nsyslog = 'tls://log.example:6514'\n")  # type: ignore[operator]
    assert "tls://log.example:6514, SYSLOG-TLS (PS3.15 A.6, RFC 5425)" in text
    assert "| Audit Trail and Node Authentication (ATNA) | Secure Application, in parts | ATX: TLS Syslog |" in text
    assert "SYSLOG-UDP (PS3.15 A.7, RFC 5426)" in said("[audit]\nsyslog = 'udp://log.example:514'\n")  # type: ignore[operator]


def test_an_archive_that_is_asked_before_images_are_deleted_is_queried(said: object) -> None:
    text = said("[retention]\ndays = 30\narchive = 'pacs'\n")  # type: ignore[operator]
    assert "| pacs | dicom | Study Root Query/Retrieve Information Model - FIND" in text


def test_earlier_reports_are_found_and_fetched(said: object) -> None:
    text = said("priors = true\n")  # type: ignore[operator]
    for word in ("FIND", "GET"):
        assert f"| pacs | dicom | Study Root Query/Retrieve Information Model - {word}" in text


def test_every_output_that_can_be_configured_has_its_sop_class() -> None:
    (key,) = [key for key in KEYS if key.section == "destination" and key.name == "outputs"]
    assert key.check is not None
    allowed = [name for name in CLASSES if not key.check([name])]
    assert allowed and key.check(["nothing-such"])
    assert {"sr", "seg"} <= set(allowed)
