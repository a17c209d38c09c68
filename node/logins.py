"""The file of logins of the console: one line for each, ``NAME:SHA-256 of the password``, and ``:read`` for who may only look."""

import hashlib
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Final

from console.entry import Login
from domain.errors import ConfigurationError, PermanentError

_LINE: Final = re.compile(r"([A-Za-z0-9._-]{1,64}):([0-9a-f]{64})(:read)?")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_BYTES: Final = 24  # of a password that we make


def read_logins(file: Path) -> list[Login]:
    """Empty lines and lines that begin with # do not count. Raises ConfigurationError."""
    found = [_login(line, file) for line in _lines(file)]
    if not found:
        raise ConfigurationError(f"console.admin_file: {file} has no login; `ancilla login NAME` makes one")
    return found


def add_login(file: Path, name: str, may_act: bool) -> str:
    """A new login, or a new password for an old one; returns the password, which is kept nowhere. Raises ConfigurationError,
    PermanentError."""
    if not _NAME.fullmatch(name):
        raise PermanentError("a name has 1 to 64 letters, digits and . _ -")
    password = secrets.token_urlsafe(_BYTES)
    line = f"{name}:{hashlib.sha256(password.encode()).hexdigest()}{'' if may_act else ':read'}"
    _write(file, [*_others(file, name), line])
    return password


def remove_login(file: Path, name: str) -> None:
    """Raises ConfigurationError, PermanentError when there is none of this name."""
    lines = _all_lines(file)
    others = _others(file, name)
    if len(others) == len(lines):
        raise PermanentError(f"{file} has no login {name}")
    _write(file, others)


def _login(line: str, file: Path) -> Login:
    found = _LINE.fullmatch(line)
    if not found:
        raise ConfigurationError(
            f"console.admin_file: {file} has a line that is not NAME:SHA256; `ancilla login NAME` makes them"
        )
    return Login(found[1], found[2], found[3] is None)


def _lines(file: Path) -> list[str]:
    return [line for line in map(str.strip, _all_lines(file, there=True)) if line and not line.startswith("#")]


def _all_lines(file: Path, there: bool = False) -> list[str]:
    """Raises ConfigurationError when others can read the file, or it is not ``there`` and must be."""
    try:
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise ConfigurationError(f"console.admin_file: {file} can be read by others; run: chmod 600 {file}")
        return file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        if not there:
            return []
        raise ConfigurationError(f"console.admin_file: {file} does not exist; `ancilla login NAME` makes it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"console.admin_file: {file} cannot be read: {error}") from None


def _others(file: Path, name: str) -> list[str]:
    return [line for line in _all_lines(file) if line.partition(":")[0].strip() != name]


def _write(file: Path, lines: list[str]) -> None:
    """Whole or not at all."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write("".join(f"{line}\n" for line in lines))
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
    except OSError as error:
        raise ConfigurationError(f"console.admin_file: {file} cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
