"""Metrics in the text format of Prometheus, version 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Sample:
    """One value. ``suffix`` is that of the parts of a histogram: "_bucket", "_sum", "_count"."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """All values of one name. ``kind`` is "counter", "gauge" or "histogram"; names and kinds are ours, labels may be anything."""

    name: str
    kind: str
    words: str
    samples: Sequence[Sample]


def histogram(values: Mapping[float, int], total: float, count: int, labels: Mapping[str, str]) -> Iterator[Sample]:
    """The samples of one histogram: ``values`` are counts by upper bound, not yet summed up; what lies above is in ``count``."""
    below = 0
    for bound in sorted(values):
        below += values[bound]
        yield Sample(below, {**labels, "le": _number(bound)}, "_bucket")
    yield Sample(count, {**labels, "le": "+Inf"}, "_bucket")
    yield Sample(total, labels, "_sum")
    yield Sample(count, labels, "_count")


def exposed(families: Sequence[Family]) -> str:
    """The body of an answer."""
    return "".join(line + "\n" for family in families for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    words = family.words.replace("\\", "\\\\").replace("\n", "\\n")
    yield f"# HELP {family.name} {words}"
    yield f"# TYPE {family.name} {family.kind}"
    for sample in family.samples:
        labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in sample.labels.items())
        yield (
            f"{family.name}{sample.suffix}{{{labels}}} {_number(sample.value)}"
            if labels
            else (f"{family.name}{sample.suffix} {_number(sample.value)}")
        )


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
