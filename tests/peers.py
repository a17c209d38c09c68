"""Third-party programs on free ports of the loopback interface: started fresh, waited for, stopped and cleaned up.

A program that is missing is an error, not a skipped test: ``make test`` installs them all.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pydicom
from pydicom.dataset import Dataset

ORTHANC_PLUGINS = Path("/usr/share/orthanc/plugins")
PLACES = ("/usr/sbin", "/usr/lib/dicom3tools")
Found = TypeVar("Found")


class MissingPeerError(AssertionError):
    """A peer program is not installed."""


def program(name: str) -> str:
    """The path of a program. Raises MissingPeerError."""
    path = shutil.which(name) or next((str(Path(place, name)) for place in PLACES if Path(place, name).exists()), None)
    if path is None:
        raise MissingPeerError(
            f"{name} is not installed: run `make peers` (it installs DCMTK, Orthanc, dicom3tools, rsyslog and others)"
        )
    return path


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(
    look: Callable[[], Found | None], what: str, seconds: float = 30.0, alive: Callable[[], bool] = lambda: True
) -> Found:
    """Ask ``look`` until its answer is true, and return it. AssertionError after ``seconds`` or when ``alive`` says no."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        if not alive():
            raise AssertionError(f"the process ended while we waited for {what}")
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {seconds:g} s")


def listens(port: int) -> bool:
    """Whether somebody accepts TCP connections on this port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    polite: bool = True,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program until the end of the block; its output goes to ``log``."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, **(env or {})},
        )
    try:
        yield process
    finally:
        stop(process, polite)


def stop(process: subprocess.Popen[bytes], polite: bool = True, seconds: float = 10.0) -> None:
    """Ask a process to end, or when that is not ``polite`` or in vain: make it."""
    if process.poll() is None:
        process.terminate() if polite else process.kill()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(seconds)


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc. Its REST interface is the witness of what arrived."""

    port: int
    http_port: int
    ae_title: str

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=30) as answer:
            return bytes(answer.read())

    def json(self, path: str) -> Any:
        return json.loads(self.get(path))

    def post(self, path: str, body: bytes) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", data=body, method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def delete(self, path: str) -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", method="DELETE")
        urllib.request.urlopen(request, timeout=30).close()

    def version(self) -> str:
        return str(self.json("/system")["Version"])

    def count(self) -> int:
        """How many instances it keeps."""
        return int(self.json("/statistics")["CountInstances"])

    def instances(self, modality: str) -> list[str]:
        """Orthanc's ids of all instances of one modality ("SR", "SEG", "CT")."""
        series = self.json("/series?expand")
        return [one for item in series if item["MainDicomTags"].get("Modality") == modality for one in item["Instances"]]

    def file(self, instance: str) -> bytes:
        """The PS3.10 bytes of an instance."""
        return self.get(f"/instances/{instance}/file")

    def datasets(self, modality: str) -> list[Dataset]:
        """All instances of one modality."""
        return [pydicom.dcmread(pydicom.filebase.DicomBytesIO(self.file(one))) for one in self.instances(modality)]


@contextlib.contextmanager
def orthanc(
    ae_title: str = "ORTHANC",
    web: bool = False,
    extra: Mapping[str, object] | None = None,
    folder: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Orthanc]:
    """An empty Orthanc; ``web`` loads DICOMweb, ``extra`` adds to its configuration, ``folder`` is where it keeps its files."""
    with tempfile.TemporaryDirectory(prefix="ancilla-orthanc-") as temporary:
        place = folder or Path(temporary)
        peer = Orthanc(free_port(), free_port(), ae_title)
        configuration = place / "orthanc.json"
        configuration.write_text(json.dumps(_orthanc_configuration(peer, place, web) | dict(extra or {})))
        with running([program("Orthanc"), configuration], place / "log", env, cwd=place, polite=False) as process:
            wait_for(lambda: _answers(peer), "Orthanc", alive=lambda: process.poll() is None)
            yield peer


def _orthanc_configuration(peer: Orthanc, folder: Path, web: bool) -> dict[str, object]:
    return {
        "Name": "test",
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "Plugins": [str(ORTHANC_PLUGINS / "libOrthancDicomWeb.so")] if web else [],
        "HttpPort": peer.http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": peer.ae_title,
        "DicomPort": peer.port,
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "UnknownSopClassAccepted": True,
        "DefaultEncoding": "Utf8",
        "StableAge": 1,
        "DicomWeb": {"Enable": web, "Root": "/dicom-web/"},
    }


def _answers(peer: Orthanc) -> bool:
    try:
        return bool(peer.version()) and listens(peer.port)
    except urllib.error.HTTPError as error:
        return error.code == 401 and listens(peer.port)  # there, and asks for a password
    except OSError:
        return False


@dataclass(frozen=True)
class StoreScp:
    """A running DCMTK storescp and the folder it writes to."""

    port: int
    folder: Path
    ae_title: str = "STORESCP"

    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())


@contextlib.contextmanager
def storescp(*options: str, port: int = 0) -> Iterator[StoreScp]:
    """DCMTK's C-STORE SCP. It accepts every transfer syntax unless ``options`` bring their own rule."""
    rule = () if {"-xf", "+xi", "--inetd"} & set(options) else ("+xa",)
    with tempfile.TemporaryDirectory(prefix="ancilla-storescp-") as folder:
        peer = StoreScp(port or free_port(), Path(folder, "received"))
        peer.folder.mkdir()
        command = [program("storescp"), "-v", "-od", peer.folder, *rule, *options, str(peer.port)]
        with running(command, Path(folder, "log")) as process:
            wait_for(lambda: listens(peer.port), "storescp", alive=lambda: process.poll() is None)
            yield peer


def only(folder: Path, *sop_classes: str) -> tuple[str, ...]:
    """Options that make storescp negotiate these SOP Classes and no others; its configuration is written to ``folder``."""
    contexts = "\n".join(f"PresentationContext{n} = {name}\\Plain" for n, name in enumerate(sop_classes, 1))
    syntaxes = "TransferSyntax1 = LittleEndianExplicit\nTransferSyntax2 = LittleEndianImplicit"
    file = folder / f"{'-'.join(sop_classes)[:40]}.cfg"
    file.write_text(
        f"[[TransferSyntaxes]]\n[Plain]\n{syntaxes}\n[[PresentationContexts]]\n[Some]\n{contexts}\n"
        "[[Profiles]]\n[Some]\nPresentationContexts = Some\n"
    )
    return ("-xf", str(file), "Some")


def storescu(port: int, files: Sequence[Path], *options: str, called: str = "ANY-SCP", calling: str = "STORESCU") -> str:
    """Send with DCMTK's storescu; its output. Raises AssertionError when it fails."""
    return _sent("storescu", ["-v", "-aec", called, "-aet", calling, *options, "127.0.0.1", str(port)], files)


def dcmsend(port: int, files: Sequence[Path], *options: str, called: str = "ANY-SCP", calling: str = "DCMSEND") -> str:
    """Send with DCMTK's dcmsend, which proposes what the files need and keeps compressed images as they are."""
    return _sent("dcmsend", ["-v", "-dn", "-aec", called, "-aet", calling, *options, "127.0.0.1", str(port)], files)


def _sent(name: str, arguments: Sequence[str], files: Sequence[Path]) -> str:
    done = subprocess.run(
        [program(name), *arguments, *map(str, files)],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{name} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout + done.stderr


def dciodvfy(file: Path) -> list[str]:
    """The errors dicom3tools' validator finds in one object."""
    done = subprocess.run([program("dciodvfy"), str(file)], capture_output=True, text=True, errors="replace", check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


@dataclass(frozen=True)
class Rsyslog:
    """A running rsyslog that takes syslog by TLS (RFC 5425) and by datagrams (RFC 5426), and writes what it understood."""

    port: int
    file: Path

    def messages(self) -> list[dict[str, str]]:
        """The parts of every message after RFC 5424, in the order of arrival: pri, time, host, app, procid, msgid, sd, msg."""
        if not self.file.exists():
            return []
        whole = self.file.read_bytes().rpartition(b"\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def count(self) -> int:
        """How many messages there are."""
        return self.file.read_bytes().count(b"\n") if self.file.exists() else 0


def _is_open(port: int) -> bool:
    """Whether somebody listens, looked up without connecting: rsyslog 8.2302 may blame a failed TLS handshake on a later
    connection (the error queue of OpenSSL belongs to the thread)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)


_RSYSLOG_PARTS = {
    "pri": "pri",
    "time": "timereported",
    "host": "hostname",
    "app": "app-name",
    "procid": "procid",
    "msgid": "msgid",
    "sd": "structured-data",
    "msg": "msg",
}


@contextlib.contextmanager
def rsyslog(folder: Path, authority: Path, cert: Path, key: Path, port: int = 0, ask_cert: bool = True) -> Iterator[Rsyslog]:
    """rsyslog with OpenSSL; ``ask_cert``: nobody gets in without a certificate of ``authority``."""
    peer = Rsyslog(port or free_port(), folder / "messages")
    times = ' dateFormat="rfc3339"'
    parts = " ".join(
        f'property(outname="{ours}" name="{name}"{times if ours == "time" else ""} format="jsonf")'
        for ours, name in _RSYSLOG_PARTS.items()
    )
    configuration = folder / "rsyslog.conf"
    configuration.write_text(
        f'global(workDirectory="{folder}" maxMessageSize="64k" defaultNetstreamDriverCAFile="{authority}"\n'
        f'  defaultNetstreamDriverCertFile="{cert}" defaultNetstreamDriverKeyFile="{key}")\n'
        'module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1"\n'
        f'  streamDriver.authMode="{"x509/certvalid" if ask_cert else "anon"}")\n'
        f'input(type="imtcp" address="127.0.0.1" port="{peer.port}")\n'
        'module(load="imudp")\n'
        f'input(type="imudp" address="127.0.0.1" port="{peer.port}")\n'
        f'template(name="parts" type="list" option.jsonf="on") {{ {parts} }}\n'
        f'action(type="omfile" file="{peer.file}" template="parts")\n'
    )
    command = [program("rsyslogd"), "-n", "-f", configuration, "-i", folder / "rsyslog.pid"]
    with running(command, folder / "rsyslog.log") as process:
        wait_for(lambda: _is_open(peer.port), "rsyslog", alive=lambda: process.poll() is None)
        yield peer
