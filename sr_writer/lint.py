"""Objects from anywhere against all rules: each by itself, against the images it names, and beside the others of its series."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset

from sr_writer.rule import Broken, Level, Words, is_seg, is_sr
from sr_writer.rules import check_foreign, looking


@dataclass(frozen=True, slots=True)
class Head:
    """What the rules of a series look at."""

    study: str
    series: str
    sop_class: str
    alone: bool  # a kind of which viewers show the newest of a series only


@dataclass(frozen=True, slots=True)
class SeriesRule:
    """A rule about the objects of one series together."""

    name: str
    broken: Callable[[Sequence[Head]], Words]
    reason: str
    source: str
    level: Level = Level.WARNING


def head(dataset: Dataset) -> Head:
    """Its place among others; what cannot be read is empty."""
    study, series, sop_class = (_text(dataset, keyword) for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID"))
    return Head(study, series, sop_class, alone=is_sr(dataset) or is_seg(dataset))


def _text(dataset: Dataset, keyword: str) -> str:
    try:
        return looking(lambda: str(dataset.get(keyword, "")))
    except ValueError:
        return ""


def lint(dataset: Dataset, images: Mapping[str, Dataset], pixels: tuple[str, int] | None = None) -> list[Broken]:
    """All rules on one object. ``images`` are headers by SOP Instance UID; those it names are compared with it.

    ``pixels``: keyword and length of its pixel data, if that was not read.
    """
    try:
        named = looking(lambda: [images[uid] for uid in dict.fromkeys(_referenced(dataset)) if uid in images])
    except ValueError:
        named = []
    return check_foreign(dataset, named, pixels)


def lint_series(heads: Sequence[Head]) -> list[Broken]:
    """The rules about the objects of one series."""
    return [Broken(rule.name, words, rule.source, rule.level) for rule in SERIES_RULES if (words := rule.broken(heads))]


def _referenced(dataset: Dataset) -> Iterator[str]:
    """SOP Instance UIDs from the lists of references: evidence, referenced series, source images."""
    for study in dataset.get("CurrentRequestedProcedureEvidenceSequence") or ():
        yield from _of_series(study)
    yield from _of_series(dataset)
    for keyword in ("SourceImageSequence", "ReferencedImageSequence"):
        yield from _uids(dataset.get(keyword) or ())


def _of_series(holder: Dataset) -> Iterator[str]:
    for series in holder.get("ReferencedSeriesSequence") or ():
        for keyword in ("ReferencedSOPSequence", "ReferencedInstanceSequence", "ReferencedImageSequence"):
            yield from _uids(series.get(keyword) or ())


def _uids(items: Sequence[Dataset]) -> Iterator[str]:
    for item in items:
        yield str(item.get("ReferencedSOPInstanceUID", ""))


def _newest(heads: Sequence[Head]) -> Words:
    count = sum(each.alone for each in heads)
    return f"{count} reports or Segmentations in one series" if count > 1 else None


def _one_study(heads: Sequence[Head]) -> Words:
    return "the series has objects of several studies" if len({each.study for each in heads}) > 1 else None


def _one_kind(heads: Sequence[Head]) -> Words:
    return "the series has objects of several kinds" if len({each.sop_class for each in heads}) > 1 else None


SERIES_RULES: Final = (
    SeriesRule("newest-only", _newest, "OHIF shows the newest of a series only", "OHIF 3.13 extensions/cornerstone-dicom-sr"),
    SeriesRule("series-of-one-study", _one_study, "archives file a series under one study", "PS3.3 A.1.2.3", Level.ERROR),
    SeriesRule("series-of-one-kind", _one_kind, "viewers choose by the first object of a series", "PS3.3 C.7.3.1"),
)
