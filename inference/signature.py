"""Who sealed a package: Ed25519 signatures (RFC 8032) of ``SHA256SUMS`` in ``SHA256SUMS.sig``, and whether one is trusted.

A line of the file is ``ed25519 <public key> <signature>``, both in base64; several people may sign. What is signed is the bytes
of ``SHA256SUMS`` behind the words "ancilla model package, format 1" and a newline, so that a signature is good for nothing else.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from domain.errors import PackageError
from inference import archive

CONTEXT = b"ancilla model package, format 1\n"
MOST_SIGNATURES = 20
_LINE = re.compile(r"ed25519 ([A-Za-z0-9+/]{43}=) ([A-Za-z0-9+/]{86}==)")


def new_key(path: Path) -> str:
    """Writes a new private key (PEM, readable by its owner alone) to ``path``, which must not exist; the public key in base64."""
    key = Ed25519PrivateKey.generate()
    try:
        path.touch(mode=0o600, exist_ok=False)
    except FileExistsError as error:
        raise PackageError(f"{path} exists already; a key is never overwritten") from error
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return _public(key)


def sign(package: Path, key_file: Path) -> str:
    """Adds a signature to a sealed package folder; the public key in base64; raises PackageError."""
    if not package.is_dir():
        raise PackageError("only a folder can be signed; zip it afterwards if you like")
    files = archive.read_files(package)
    archive.verify(files)
    key = _private(key_file)
    public = _public(key)
    lines = [line for line in files.get(archive.SIGNATURE, b"").decode("ascii", "replace").splitlines() if public not in line]
    signature = base64.b64encode(key.sign(CONTEXT + files[archive.SUMS])).decode()
    (package / archive.SIGNATURE).write_text("\n".join([*lines, f"ed25519 {public} {signature}"]) + "\n", "ascii")
    return public


def signers(files: archive.Files) -> tuple[str, ...]:
    """Public keys (base64) whose signature is good; raises PackageError when the file is malformed or a signature is wrong."""
    if archive.SIGNATURE not in files:
        return ()
    found = []
    lines = files[archive.SIGNATURE].decode("ascii", "replace").splitlines()
    if len(lines) > MOST_SIGNATURES:
        raise PackageError(f"{archive.SIGNATURE} has more than {MOST_SIGNATURES} lines")
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            raise PackageError(f"{archive.SIGNATURE} has a line that is not 'ed25519 <public key> <signature>'")
        try:
            key = Ed25519PublicKey.from_public_bytes(base64.b64decode(match[1]))
            key.verify(base64.b64decode(match[2]), CONTEXT + files[archive.SUMS])
        except (InvalidSignature, ValueError, UnsupportedAlgorithm) as error:
            raise PackageError(f"{archive.SIGNATURE}: the signature by {match[1]} is not of this package") from error
        found.append(match[1])
    return tuple(found)


def check(path: Path, trusted: Iterable[str]) -> str:
    """The trusted key that signed the package at ``path``; raises PackageError when there is none."""
    files = archive.read_files(path)
    archive.verify(files)
    known = set(trusted)
    for key in signers(files):
        if key in known:
            return key
    raise PackageError(f"{path.name} is not signed by a trusted key (models.trusted_keys)")


def is_key(text: str) -> bool:
    """Whether this is an Ed25519 public key in base64."""
    try:
        return len(base64.b64decode(text, validate=True)) == 32
    except (binascii.Error, ValueError):
        return False


def _public(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def _private(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise PackageError(f"{path} is no private key without a password, in PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise PackageError(f"{path} is no Ed25519 key")
    return key
