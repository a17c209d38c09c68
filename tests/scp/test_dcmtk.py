"""DCMTK's clients as senders."""

import subprocess
from pathlib import Path

import pytest

from domain.instances import Header
from scp.part10 import meta_bytes
from tests.peers import program
from tests.scp.conftest import Start
from tests.scp.objects import image
from tests.scp.wire import CT, EXPLICIT

pytestmark = pytest.mark.peer


def dcmtk(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program(name), *map(str, arguments)], capture_output=True, text=True, timeout=60)


def write(folder: Path, count: int, **elements: object) -> dict[str, bytes]:
    """Files in ``folder``; the data set of each by its SOP Instance UID."""
    made = {}
    for number in range(1, count + 1):
        header = Header(CT, f"1.2.3.4.{number}", EXPLICIT, "", "")
        made[header.sop_instance_uid] = image(number, pixels=30_000, **elements)
        (folder / f"{number:03}.dcm").write_bytes(meta_bytes(header, "CT01") + made[header.sop_instance_uid])
    return made


def test_echoscu_is_answered(start: Start) -> None:
    running = start()
    assert dcmtk("echoscu", "-aet", "CT01", "-aec", "ANCILLA", "127.0.0.1", running.port).returncode == 0
    assert running.intake.wait_for("closed")[0][2] == "released"


def test_echoscu_under_an_unknown_title_is_told_so(start: Start) -> None:
    running = start()
    done = dcmtk("echoscu", "-aet", "STRANGER", "-aec", "ANCILLA", "127.0.0.1", running.port)
    assert done.returncode != 0 and "Calling AE Title Not Recognized" in done.stderr
    done = dcmtk("echoscu", "-aet", "CT01", "-aec", "OTHER", "127.0.0.1", running.port)
    assert done.returncode != 0 and "Called AE Title Not Recognized" in done.stderr


def test_echoscu_that_proposes_everything_is_answered(start: Start) -> None:
    running = start()
    assert (
        dcmtk("echoscu", "-ppc", "128", "-pts", "38", "-aet", "CT01", "-aec", "ANCILLA", "127.0.0.1", running.port).returncode
        == 0
    )


@pytest.mark.parametrize("sender", ["dcmsend", "storescu"])
def test_dcmtk_senders_deliver_all_their_files(start: Start, tmp_path: Path, sender: str) -> None:
    running = start()
    data_sets = write(tmp_path, 25)
    done = dcmtk(sender, "-aet", "CT01", "-aec", "ANCILLA", "+sd", "127.0.0.1", running.port, tmp_path)
    assert done.returncode == 0, done.stderr
    running.intake.wait_for("closed")
    # both write the data set anew from what they read: the same elements in the same encoding give the same bytes
    assert {one.header.sop_instance_uid: one.data_set for one in running.intake.stored} == data_sets
    assert running.intake.calls[-1][2] == "released"


def test_an_abort_by_dcmtk_is_an_abort(start: Start) -> None:
    running = start()
    assert dcmtk("echoscu", "--abort", "-aet", "CT01", "-aec", "ANCILLA", "127.0.0.1", running.port).returncode == 0
    assert running.intake.wait_for("closed")[0][2] == "aborted"


def test_storescu_shows_the_reason_of_a_refusal(start: Start, tmp_path: Path) -> None:
    running = start()
    write(tmp_path, 1, StudyInstanceUID="")
    done = dcmtk("storescu", "-v", "-aet", "CT01", "-aec", "ANCILLA", "+sd", "127.0.0.1", running.port, tmp_path)
    assert "CannotUnderstand" in done.stderr + done.stdout
    running.intake.wait_for("refused")
