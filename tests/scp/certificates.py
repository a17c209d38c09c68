"""Certificates made for one test run with the openssl command: an authority, servers, clients, a rogue, one out of date."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.peers import program, wait_for


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, PEM files."""

    cert: Path
    key: Path


class Authority:
    """Signs certificates; ``cert`` is what those who trust it are given."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self.cert, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        ask = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}"]
        _openssl(*ask, "-days", "2", "-keyout", self.key, "-out", self.cert)

    def identity(self, name: str, days: int = 2) -> Identity:
        """A certificate valid from now for ``days``; with 0 it has run out when this returns."""
        made = Identity(self._folder / f"{self._name}-{name}.pem", self._folder / f"{self._name}-{name}.key")
        request = made.cert.with_suffix(".csr")
        ask = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}"]
        _openssl(*ask, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", made.key, "-out", request)
        sign = ["x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-out", made.cert]
        _openssl(*sign, "-days", days, "-copy_extensions", "copyall")
        if not days:
            wait_for(lambda: "will expire" in _openssl("x509", "-checkend", 0, "-noout", "-in", made.cert, status=1), "its end")
        return made

    def revoked(self, *identities: Identity) -> Path:
        """A file with this authority's certificate and its list of revoked certificates."""
        index = self._folder / f"{self._name}.index"
        index.touch()
        (self._folder / f"{self._name}.crlnumber").write_text("01\n")
        settings = self._folder / f"{self._name}.cnf"
        settings.write_text(
            f"[ca]\ndefault_ca=one\n[one]\ndatabase={index}\ncrlnumber={index.with_suffix('.crlnumber')}\n"
            "default_md=sha256\ndefault_crl_days=2\n"
        )
        signed = ["-config", settings, "-cert", self.cert, "-keyfile", self.key]
        for identity in identities:
            _openssl("ca", *signed, "-revoke", identity.cert)
        crl, both = index.with_suffix(".crl"), index.with_suffix(".ca")
        _openssl("ca", *signed, "-gencrl", "-out", crl)
        both.write_bytes(self.cert.read_bytes() + crl.read_bytes())
        return both


def _openssl(*arguments: object, status: int = 0) -> str:
    done = subprocess.run([program("openssl"), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode in (0, status), done.stderr
    return done.stdout
