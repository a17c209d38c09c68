"""A Dask scheduler and workers in processes of their own, over mutual TLS with the certificates of an authority of the test."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import peers
from tests.scp.certificates import Authority, Identity
from tests.serving import ROOT, toml

_QUIET = {"DASK_LOGGING__DISTRIBUTED": "warning"}


@dataclass
class Cluster:
    """``start`` and ``worker`` begin something, ``stop`` ends all of it."""

    folder: Path
    port: int = field(default_factory=peers.free_port)
    worker_port: int = field(default_factory=peers.free_port)
    launcher: str = "node"
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.authority = Authority(self.folder, "cluster")
        self.identity = self.authority.identity("machine")
        self.toml = self.folder / "worker.toml"
        self.toml.write_text(toml({"compute": self.compute(self.identity)}))

    def compute(self, identity: Identity, authority: Authority | None = None) -> dict[str, Any]:
        """The section of whoever has this certificate, and trusts that authority."""
        ca = (authority or self.authority).cert
        files = {"ca": str(ca), "cert": str(identity.cert), "key": str(identity.key)}
        return {"executor": "dask", "address": f"tls://127.0.0.1:{self.port}", "tls": files}

    def _files(self) -> list[str]:
        files = ["--tls-ca-file", self.authority.cert, "--tls-cert", self.identity.cert, "--tls-key", self.identity.key]
        return list(map(str, files))

    def start(self) -> subprocess.Popen[bytes]:
        """The scheduler, as the handbook starts it."""
        where = ["--protocol", "tls", "--host", "127.0.0.1", "--port", str(self.port), "--dashboard-address", "127.0.0.1:0"]
        return self._run("-m", "dask", "scheduler", *where, *self._files(), "--no-show")

    def worker(self) -> subprocess.Popen[bytes]:
        """A worker, as an administrator starts it; the next one has the same address."""
        return self._run("-m", self.launcher, "worker", "-c", str(self.toml), "--port", str(self.worker_port))

    def plain_worker(self) -> subprocess.Popen[bytes]:
        """A worker as Dask starts it: a node does not use it."""
        how = ["--nthreads", "1", "--no-dashboard", "--local-directory", str(self.folder), "--memory-limit", "0"]
        return self._run("-m", "dask", "worker", f"tls://127.0.0.1:{self.port}", *how, *self._files())

    def stop(self) -> None:
        for process in reversed(self.running):
            if process.poll() is None:
                process.kill()
            process.wait(10)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def _run(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **_QUIET},
            )
        self.running.append(process)
        return process
