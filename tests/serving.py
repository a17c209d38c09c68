"""A node in its own process, started as an administrator starts it: ``ancilla serve -c node.toml``."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import peers

ROOT = Path(__file__).resolve().parents[1]
Table = Mapping[str, Any]
CALLER = "SCANNER"


@dataclass
class Node:
    """A data folder with its configuration, and the process that serves it, if one runs."""

    folder: Path
    port: int
    launcher: Sequence[str] = ("-m", "node")
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def toml(self) -> Path:
        return self.folder / "node.toml"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def start(self, **env: str) -> None:
        """Start the process; it is not waited for."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.launcher, "serve", "-c", str(self.toml)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.env, **env},
            )

    def wait(self) -> None:
        """Until it listens. Raises AssertionError with its log when it ends before."""
        try:
            peers.wait_for(lambda: peers.listens(self.port), "the node", 60, self.alive)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()[-4000:]}") from None

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        if self.process is None:
            return 0
        peers.stop(self.process, seconds=30)
        return int(self.process.returncode)

    def kill(self) -> None:
        """SIGKILL, as a power cut."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def ask(self, *command: str) -> Any:
        """The answer of ``ancilla COMMAND --json`` about this node."""
        return json.loads(self.tell(*command, "--json"))

    def tell(self, *command: str) -> str:
        """``ancilla COMMAND`` for this node; what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "node", *command, "-c", str(self.toml)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"ancilla {' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}"
        return done.stdout


def prepare(folder: Path, *, models: Sequence[Table] = (), destinations: Sequence[Table] = (), **sections: Table) -> Node:
    """A node that is configured and not yet started. Only the caller SCANNER may send to it."""
    node = Node(folder, peers.free_port())
    document: dict[str, Any] = {
        "node": {"data_dir": str(node.data), "institution": "Test Hospital"},
        "scp": {"ae_title": "ANCILLA", "bind": "127.0.0.1", "port": node.port, "reserve_gb": 0, "prepared_mb": 64},
        "study": {"quiet_seconds": 0.5},
        "compute": {"workers": 1, "threads": 2},
        "peer": [{"ae_title": CALLER, "address": "127.0.0.1"}],
        "model": list(models),
        "destination": list(destinations),
    }
    for name, values in sections.items():
        document[name] = {**document.get(name, {}), **values}
    node.toml.write_text(toml(document), encoding="utf-8")
    return node


def pacs(peer: peers.Orthanc | peers.StoreScp, name: str = "pacs", **values: object) -> Table:
    """A [[destination]] for a peer."""
    return {"name": name, "host": "127.0.0.1", "port": peer.port, "ae_title": peer.ae_title, "timeout_seconds": 10, **values}


@contextlib.contextmanager
def serving(node: Node) -> Iterator[Node]:
    """The node, listening, until the end of the block."""
    try:
        node.start()
        node.wait()
        yield node
        assert node.alive(), f"the node ended by itself:\n{node.log()[-4000:]}"
    finally:
        node.stop()


def toml(document: Mapping[str, Any]) -> str:
    """TOML of a document of tables, arrays of tables and one level of tables in them."""
    parts = []
    for name, value in document.items():
        for table, head in [(value, f"[{name}]")] if isinstance(value, Mapping) else [(one, f"[[{name}]]") for one in value]:
            parts.append(head)
            parts += [f"{key} = {_inline(item)}" for key, item in table.items()]
    return "\n".join(parts) + "\n"


def _inline(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_inline(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value)
