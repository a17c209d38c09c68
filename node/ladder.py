"""The fallback ladder: what a destination does not take is said to it in another form, down to one that every archive shows.

Nothing is asked beforehand: the negotiation of the association that carries the results is the answer (0x0122 where a SOP
Class was not accepted), and so is the status of each instance. What was learned is remembered for a day, see ``remembered``.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Final

from delivery.dicom import is_transient
from domain.destinations import Acceptance, Delivered, Destination, Instead, Sent
from domain.jobs import Artifact

Send = Callable[[Sequence[Path]], list[Sent]]

# Each kind of result and what may stand for it, best first. A picture ends every ladder: there always is one.
LADDERS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "sr": ("sr", "sr-comprehensive", "sr-enhanced", "pdf", "sc"),
        "seg": ("seg", "gsps", "sc"),
        "fractional": ("fractional", "seg", "gsps", "sc"),
        "labelmap": ("labelmap", "seg", "gsps", "sc"),
        "pm": ("pm", "sc"),
        "ann": ("ann", "gsps", "sc"),
        "gsps": ("gsps", "sc"),
        "pdf": ("pdf", "sc"),
        "kos": ("kos", "sc"),
        "sc": ("sc",),
        "sr-volumetric": ("sr-volumetric",),
    }
)
LAST: Final = "sc"
PLAINER: Final = frozenset({"sr-comprehensive", "sr-enhanced"})  # the main report for older archives
# What each kind is made of; where there are several, one that is taken speaks for the kind.
CLASSES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "sr": ("1.2.840.10008.5.1.4.1.1.88.34",),
        "sr-volumetric": ("1.2.840.10008.5.1.4.1.1.88.34",),
        "sr-comprehensive": ("1.2.840.10008.5.1.4.1.1.88.33",),
        "sr-enhanced": ("1.2.840.10008.5.1.4.1.1.88.22",),
        "seg": ("1.2.840.10008.5.1.4.1.1.66.4",),
        "fractional": ("1.2.840.10008.5.1.4.1.1.66.4",),
        "labelmap": ("1.2.840.10008.5.1.4.1.1.66.7",),
        "pm": ("1.2.840.10008.5.1.4.1.1.30",),
        "gsps": ("1.2.840.10008.5.1.4.1.1.11.1", "1.2.840.10008.5.1.4.1.1.11.2"),
        "sc": ("1.2.840.10008.5.1.4.1.1.7",),
        "pdf": ("1.2.840.10008.5.1.4.1.1.104.1",),
        "ann": ("1.2.840.10008.5.1.4.1.1.91.1",),
        "kos": ("1.2.840.10008.5.1.4.1.1.88.59",),
    }
)
MEMORY: Final = timedelta(days=1)
NOT_SUPPORTED: Final = 0x0122  # PS3.7 C.5.7
NOT_MATCHING: Final = 0xA9  # PS3.4 B.2.3: data set does not match SOP Class, first byte


def remembered(known: Collection[Acceptance], now: datetime) -> dict[str, bool]:
    """Whether SOP Classes are taken, as far as it was found out within a day: an archive may learn, or forget."""
    return {one.sop_class_uid: one.accepted for one in known if now - one.at < MEMORY}


def kinds_to_write(destination: Destination, memory: Mapping[str, bool]) -> set[str]:
    """What a worker has to write for a destination: its outputs, and what may stand for those it is not known to take."""
    if destination.kind == "folder":
        return set(destination.outputs)
    wanted = set(destination.outputs)
    for output in destination.outputs:
        for kind in LADDERS[output]:
            wanted.add(kind)
            if _taken(kind, memory):
                break
    return wanted


def _taken(kind: str, memory: Mapping[str, bool]) -> bool:
    known = [memory[uid] for uid in CLASSES[kind] if uid in memory]
    return bool(known) and all(known)


def kind_of(role: str) -> str:
    """The kind of result an artifact belongs to: "sc-2" is the second of the kind "sc", "sr-volumetric" is one of its own."""
    head, _, tail = role.rpartition("-")
    return head if tail.isdecimal() else role


def wanted(destination: Destination) -> list[str]:
    """The kinds a destination gets when it takes everything."""
    volumes = ["sr-volumetric"] if "sr" in destination.outputs and destination.volumetric else []
    return [*destination.outputs, *volumes]


@dataclass(slots=True)
class _Wish:
    """One kind of result and how far down its ladder we are."""

    kind: str
    left: list[str]  # kinds still to be tried, best first
    tried: list[str] = field(default_factory=list)
    given: str = ""


class Ladder:
    """One delivery. ``memory`` are SOP Classes this destination is known to take or not."""

    def __init__(self, destination: Destination, artifacts: Sequence[Artifact], files: Path, memory: Mapping[str, bool]) -> None:
        self._files = files
        self._by_kind: dict[str, list[Artifact]] = {}
        self._order = [artifact for artifact in artifacts if artifact.sop_class_uid]
        for artifact in self._order:
            self._by_kind.setdefault(kind_of(artifact.role), []).append(artifact)
        self._answers: dict[str, Sent] = {}
        kinds = [kind for kind in wanted(destination) if kind in self._by_kind]
        if any(memory.get(uid) is False for uid in (*CLASSES["sr-volumetric"], *CLASSES["seg"])):
            kinds = [kind for kind in kinds if kind != "sr-volumetric"]  # it speaks about segments that are not there
        self._wishes = [self._wish(kind, memory) for kind in kinds]

    def _wish(self, kind: str, memory: Mapping[str, bool]) -> _Wish:
        """What was refused lately is left out, unless nothing else is there."""
        rungs = [rung for rung in LADDERS[kind] if rung in self._by_kind]
        refused = [rung for rung in rungs if any(memory.get(one.sop_class_uid) is False for one in self._by_kind[rung])]
        open_to_try = [rung for rung in rungs if rung not in refused]
        return _Wish(kind, open_to_try, refused) if open_to_try else _Wish(kind, rungs)

    def climb(self, send: Send) -> Delivered:
        """Send, and send again what may stand for what was refused, until everything is said or nothing is left to try.

        Raises what ``send`` raises: nobody knows then what arrived, and all of it is sent again later.
        """
        sent: list[Sent] = []
        while batch := self._next():
            answers = send([self._files / artifact.path for artifact in batch])
            sent += answers
            self._answers.update((artifact.sop_instance_uid, answer) for artifact, answer in zip(batch, answers, strict=True))
            for wish in self._wishes:
                self._settle(wish)
        return Delivered(tuple(sent), tuple(self._instead()), self._learned(), self._is_short())

    def _next(self) -> list[Artifact]:
        """The files of the best rung of every open wish, in the order they were written, each once."""
        kinds = {wish.left[0] for wish in self._wishes if wish.left and not wish.given}
        return [a for a in self._order if kind_of(a.role) in kinds and a.sop_instance_uid not in self._answers]

    def _settle(self, wish: _Wish) -> None:
        """Take rungs that were refused off a wish, until one was taken, may be taken later, or has not been tried."""
        while wish.left and not wish.given:
            answers = [self._answers.get(artifact.sop_instance_uid) for artifact in self._by_kind[wish.left[0]]]
            if any(answer is None for answer in answers):
                return
            if all(answer.accepted or is_transient(answer.status) for answer in answers if answer is not None):
                wish.given = wish.left[0]
                return
            wish.tried.append(wish.left.pop(0))

    def _instead(self) -> Iterator[Instead]:
        """Refusals that something else makes good. Volumes stand in the main report too, so whatever stands for it will do."""
        main = next((wish.given for wish in self._wishes if wish.kind == "sr"), "")
        for wish in self._wishes:
            given = wish.given or (main if wish.kind == "sr-volumetric" else "")
            if given and wish.tried:
                uids = tuple(artifact.sop_instance_uid for kind in wish.tried for artifact in self._by_kind[kind])
                yield Instead(wish.kind, given, uids)

    def _learned(self) -> dict[str, bool]:
        """A class is refused when its context was, or an instance for being of it; accepted when any of its instances was."""
        learned: dict[str, bool] = {}
        for artifact in self._order:
            answer = self._answers.get(artifact.sop_instance_uid)
            if answer is not None and answer.accepted:
                learned[artifact.sop_class_uid] = True
            elif answer is not None and is_class_refusal(answer.status):
                learned.setdefault(artifact.sop_class_uid, False)
        return learned

    def _is_short(self) -> bool:
        """Whether something was refused for good and nothing to stand for it was written."""
        lost = [wish for wish in self._wishes if not wish.given and wish.kind not in (LAST, "sr-volumetric")]
        return bool(lost) and LAST not in self._by_kind


def is_class_refusal(status: int) -> bool:
    """Whether a status speaks about the kind of object and not about this one."""
    return status == NOT_SUPPORTED or status >> 8 == NOT_MATCHING
