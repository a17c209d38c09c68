"""What an operator may do on the pages: asked first, done by POST alone, and only by a login that may act."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from domain.errors import PermanentError

_UID: Final = re.compile(r"[0-9.]{1,64}")
_JOB: Final = re.compile(r"[0-9]{1,18}")
_PORT: Final = re.compile(r"[0-9]{0,5}")
_AE: Final = re.compile(r"[ -~]{1,16}")
_ADDRESS: Final = re.compile(r"[0-9A-Fa-f.:/]{0,64}")


class Moves(Protocol):
    """Each returns what was done, and raises AncillaError with a sentence for what cannot be done. ``actor`` is for the audit
    log."""

    def admit(self, ae_title: str, address: str, port: int, actor: str) -> str:
        """Let a caller in."""

    def retry(self, job_id: int, actor: str) -> str:
        """Queue an ended job again."""

    def cancel(self, job_id: int, actor: str) -> str:
        """Stop a job that waits or runs."""

    def resend(self, study_uid: str, destination: str, actor: str) -> str:
        """Send the newest results again; destination "": to all."""

    def rerun(self, study_uid: str, model_id: str, actor: str) -> list[str]:
        """Judge a study again; model_id "": by every model."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of move: what its form must hold, what is asked, and what is done."""

    fields: Mapping[str, re.Pattern[str]]
    asked: Callable[[Mapping[str, str]], str]
    done: Callable[[Moves, Mapping[str, str], str], Sequence[str]]
    shown: frozenset[str] = frozenset()  # fields that may still be changed


def _admit(moves: Moves, given: Mapping[str, str], actor: str) -> Sequence[str]:
    return [moves.admit(given["ae"], given["address"], int(given["port"] or 0), actor)]


def _asked_to_admit(given: Mapping[str, str]) -> str:
    return f"Let {given['ae'].strip()} send to this node, from the address below (empty: from anywhere)?"


KINDS: Final = {
    "admit": Kind({"ae": _AE, "address": _ADDRESS, "port": _PORT}, _asked_to_admit, _admit, frozenset({"address", "port"})),
    "retry": Kind(
        {"job": _JOB},
        lambda given: f"Queue job {given['job']} again?",
        lambda moves, given, actor: [moves.retry(int(given["job"]), actor)],
    ),
    "cancel": Kind(
        {"job": _JOB},
        lambda given: f"Cancel job {given['job']}?",
        lambda moves, given, actor: [moves.cancel(int(given["job"]), actor)],
    ),
    "resend": Kind(
        {"study": _UID},
        lambda _: "Send the newest results of this study again, and ask its destinations anew what they take?",
        lambda moves, given, actor: [moves.resend(given["study"], "", actor)],
    ),
    "rerun": Kind(
        {"study": _UID},
        lambda _: "Judge this study again by the rules and packages of now? What that changes supersedes the former results.",
        lambda moves, given, actor: moves.rerun(given["study"], "", actor),
    ),
}


def checked(kind: Kind, given: Mapping[str, str]) -> dict[str, str]:
    """The fields of a move. Raises PermanentError."""
    found = {name: given.get(name, "") for name in kind.fields}
    for name, pattern in kind.fields.items():
        if not pattern.fullmatch(found[name]):
            raise PermanentError(f"{name} is missing or cannot be read")
    return found
