"""Back-off, log lines, the lock of the data folder and readiness: small promises that others build on."""

import io
import logging
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from domain.errors import ConfigurationError
from node.backoff import pause
from node.lock import DataLock, is_locked
from node.log import LOG, event, start_log, study_mark
from node.notify import notify

ROOT = Path(__file__).parents[2]


def test_pauses_double_up_to_the_cap_and_never_surprise() -> None:
    pauses = [pause(7, attempt, 5, 900).total_seconds() for attempt in range(1, 20)]
    for attempt, seconds in enumerate(pauses, 1):
        plain = 5 * 2.0 ** (attempt - 1)
        assert min(900, 0.75 * plain) <= seconds <= min(900, 1.25 * plain)
    assert pauses[-1] == 900
    assert pause(7, 10_000, 5, 900) == timedelta(seconds=900)


def test_the_spread_is_the_same_after_a_restart_and_differs_between_jobs() -> None:
    assert pause(7, 3, 5, 900) == pause(7, 3, 5, 900)
    assert len({pause(job, 1, 5, 900) for job in range(20)}) == 20


def test_a_log_line_has_keys_and_values_and_cannot_be_broken_in_two() -> None:
    stream = io.StringIO()
    start_log(stream)
    event("sent", study=study_mark("1.2.3"), reason='said "no"\nfoo=bar', count=2, empty="")
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert (
        "level=INFO sent study=" in line and "reason=\"said 'no' foo=bar\"" in line and "count=2" in line and 'empty=""' in line
    )
    assert "1.2.3" not in line


def test_libraries_that_quote_data_sets_are_not_heard() -> None:
    stream = io.StringIO()
    start_log(stream)
    logging.getLogger("pynetdicom.events").error("Patient Name")
    logging.getLogger("pydicom").warning("Patient Name")
    assert stream.getvalue() == ""
    LOG.warning("heard")
    assert "heard" in stream.getvalue()


def test_two_nodes_cannot_share_a_data_folder(tmp_path: Path) -> None:
    lock = DataLock(tmp_path)
    assert is_locked(tmp_path)
    with pytest.raises(ConfigurationError, match="another node is running on"):
        DataLock(tmp_path)
    lock.release()
    assert not is_locked(tmp_path)
    DataLock(tmp_path).release()


def test_a_killed_process_gives_the_lock_back(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from node.lock import DataLock; lock = DataLock(Path(sys.argv[1]))"
    code += "; print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        assert is_locked(tmp_path)
        process.kill()
    assert not is_locked(tmp_path)


def test_looking_at_a_folder_makes_no_file_in_it(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "nowhere")
    assert not is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_somebody_who_looks_for_a_moment_does_not_stop_a_node_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looker = DataLock(tmp_path)
    monkeypatch.setattr("node.lock.time.sleep", lambda _: looker.release())
    DataLock(tmp_path).release()


def test_systemd_hears_that_the_node_is_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify("READY=1")
        assert systemd.recv(100) == b"READY=1"


def test_nobody_to_notify_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")
