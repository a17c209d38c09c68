"""What a benchmark reports: one row per comparison, from samples that were taken interleaved, round by round."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


class UnmeasurableError(Exception):
    """Something could not be measured; the text says what and why."""


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison. ``ours`` and ``theirs`` are medians over the rounds in ``unit``; ``ratio`` is how many times better we
    are (above 1: better); ``spread`` is the smallest and largest ratio within one round."""

    name: str
    unit: str
    ours: float
    theirs: float | None
    peer: str
    version: str
    ratio: float | None
    spread: tuple[float, float] | None
    target: float | None
    met: bool | None


def compare(
    name: str,
    unit: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    peer: str,
    version: str,
    target: float | None = None,
    more_is_better: bool = True,
) -> Row:
    """A row from samples of equal rounds. ``target`` is the ratio to reach."""
    if not ours or len(ours) != len(theirs):
        raise UnmeasurableError(f"{name}: {len(ours)} rounds of ours against {len(theirs)} of {peer}")
    left, right = statistics.median(ours), statistics.median(theirs)
    ratios = [_better(a, b, more_is_better) for a, b in zip(ours, theirs, strict=True)]
    ratio = _better(left, right, more_is_better)
    met = None if target is None else ratio >= target
    return Row(name, unit, left, right, peer, version, ratio, (min(ratios), max(ratios)), target, met)


def alone(name: str, unit: str, ours: Sequence[float], limit: float | None = None) -> Row:
    """A row without a peer: ``spread`` is the smallest and largest sample, ``target`` the largest value allowed."""
    if not ours:
        raise UnmeasurableError(f"{name}: no sample")
    median = statistics.median(ours)
    met = None if limit is None else median <= limit
    return Row(name, unit, median, None, "-", "-", None, (min(ours), max(ours)), limit, met)


def _better(ours: float, theirs: float, more_is_better: bool) -> float:
    return ours / theirs if more_is_better else theirs / ours


def as_json(rows: Sequence[Row]) -> str:
    """The rows as a list of objects."""
    return json.dumps([asdict(row) for row in rows], indent=1)


def as_table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    head = ["measure", "unit", "ours", "peer", "peer is", "ratio", "spread", "target", "met"]
    body = [
        [
            row.name,
            row.unit,
            _number(row.ours),
            _number(row.theirs),
            f"{row.peer} {row.version}".strip(" -") or "-",
            _number(row.ratio),
            "-" if row.spread is None else f"{_number(row.spread[0])}-{_number(row.spread[1])}",
            _number(row.target),
            {True: "yes", False: "no", None: "-"}[row.met],
        ]
        for row in rows
    ]
    widths = [max(len(line[column]) for line in [head, *body]) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *body]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"
