"""Which series is which channel of a network that sees several at once, and why a study does not have them all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from domain.errors import Reason, UnsuitableError
from inference.channels import Channel
from inference.series import Stack, stack
from inference.source import Source, text

_MOST_SERIES = 1000
_NEVER = 1e12
_RANK = 1e6  # a better alternative counts more than any number of slices


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A series that could be a channel: ``cost`` is lower for a better alternative, and then for more slices."""

    stack: Stack
    frame_of_reference: str
    cost: float


Candidates = Mapping[tuple[int, str], _Candidate]  # (number of the channel, Series Instance UID)


def assign(sources: Sequence[Source], channels: Sequence[Channel]) -> tuple[tuple[str, ...], tuple[Stack, ...]]:
    """Series Instance UID and images of each channel, all in one frame of reference and no series twice.

    Raises UnsuitableError, which names the channel. The better alternative counts, then the number of slices.
    """
    groups = _groups(sources)
    found, faults = _candidates(groups, channels)
    frames = {candidate.frame_of_reference for candidate in found.values()} - {""}
    chosen = [_best(_within(found, frame), len(channels)) for frame in sorted(frames)]
    complete = [one for one in chosen if all(one)]
    if not complete:
        raise _why(found, faults, channels)
    best = min(complete, key=lambda uids: (sum(found[number, uid].cost for number, uid in enumerate(uids)), uids))
    return tuple(best), tuple(found[number, uid].stack for number, uid in enumerate(best))


def nearest(sources: Sequence[Source], channels: Sequence[Channel]) -> str:
    """The series to speak of where there is no answer: a candidate for the first channel that has any, else the largest one."""
    groups = _groups(sources)
    for channel in channels:
        fits = [uid for uid, images in groups.items() if channel.rank(_middle(images).header) is not None]
        if fits:
            return min(fits, key=lambda uid: (-len(groups[uid]), uid))
    return min(groups, key=lambda uid: (-len(groups[uid]), uid), default="")


def _groups(sources: Sequence[Source]) -> dict[str, list[Source]]:
    groups: dict[str, list[Source]] = {}
    for source in sources:
        if source.series_uid:
            groups.setdefault(source.series_uid, []).append(source)
    return dict(sorted(groups.items())[:_MOST_SERIES])


def _middle(images: Sequence[Source]) -> Source:
    """A localizer that a scanner put into the same series is its first image, not its middle one."""
    return images[len(images) // 2]


def _candidates(
    groups: Mapping[str, Sequence[Source]], channels: Sequence[Channel]
) -> tuple[dict[tuple[int, str], _Candidate], dict[int, UnsuitableError]]:
    """The series that fit each channel, and for each channel why the largest one that should have does not."""
    found: dict[tuple[int, str], _Candidate] = {}
    faults: dict[int, UnsuitableError] = {}
    for uid in sorted(groups, key=lambda uid: (-len(groups[uid]), uid)):
        images = groups[uid]
        frame = text(_middle(images).header, "FrameOfReferenceUID")
        for number, channel in enumerate(channels):
            rank = channel.rank(_middle(images).header)
            if rank is None:
                continue
            try:
                made = stack(images, channel.contract)
            except UnsuitableError as error:
                faults.setdefault(number, error)
                continue
            found[number, uid] = _Candidate(made, frame, rank * _RANK - min(len(made.sources), _RANK / 2))
    return found, faults


def _within(found: Candidates, frame_of_reference: str) -> Candidates:
    return {key: candidate for key, candidate in found.items() if candidate.frame_of_reference == frame_of_reference}


def _best(found: Candidates, channels: int) -> list[str]:
    """The series of each channel at the least cost, as many channels as can be; "" for those without."""
    uids = sorted({uid for _, uid in found})
    # One column for each channel to stay empty, dearer than any series.
    costs: npt.NDArray[np.float64] = np.full((channels, len(uids) + channels), _NEVER)
    for (number, uid), candidate in found.items():
        costs[number, uids.index(uid)] = candidate.cost
    rows, columns = linear_sum_assignment(costs)
    chosen = [""] * channels
    for row, column in zip(rows, columns, strict=True):
        if costs[row, column] < _NEVER:
            chosen[int(row)] = uids[int(column)]
    return chosen


def _why(found: Candidates, faults: Mapping[int, UnsuitableError], channels: Sequence[Channel]) -> UnsuitableError:
    """The first channel that has no series, and why; or that those there are do not lie in one frame of reference."""
    missing = [number for number, uid in enumerate(_best(found, len(channels))) if not uid]
    if not missing:
        words = (
            f"The series for {_listed(channels)} have no common frame of reference: their images cannot be laid over each other."
        )
        return UnsuitableError(Reason.FRAME_OF_REFERENCE, words)
    unfit = next((number for number in missing if number in faults), None)
    if unfit is not None:
        return UnsuitableError(faults[unfit].reason, f"The series for {channels[unfit].name}: {faults[unfit]}")
    names = _listed([channels[number] for number in missing])
    return UnsuitableError(Reason.MISSING_SERIES, f"There is no series for {names}; this model needs {_listed(channels)}.")


def _listed(channels: Sequence[Channel]) -> str:
    names = [channel.name for channel in channels]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
