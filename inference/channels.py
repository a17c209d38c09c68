"""Which series of a study is which channel of a network that sees several sequences at once: closed rules over the header.

A package names its channels in ``[[input.channels]]``; each has alternatives, the best one first, and a series is a candidate
where all keys of one alternative hold.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from pydicom.dataset import Dataset

from domain.errors import PackageError
from inference.admission import Contract, read_range
from inference.keys import Table, suggestion
from inference.source import first, items, text, words
from inference.units import OF_MODALITY

MOST_CHANNELS = 16
_MOST_ALTERNATIVES = 8
_MOST_PATTERNS = 32
_MOST_STARS = 8
_GROUPS = 32  # items of a functional groups sequence that are looked through for an attribute
# Attribute in single images, and what enhanced multi-frame images have in its place (PS3.3 C.8.13.4, C.8.13.5).
_NUMBERS: dict[str, tuple[tuple[str, ...], float | None]] = {
    "repetition_time_ms": (("RepetitionTime",), None),
    "echo_time_ms": (("EchoTime", "EffectiveEchoTime"), None),
    "inversion_time_ms": (("InversionTime", "InversionTimes"), 0.0),  # absent: no inversion
    "flip_angle_deg": (("FlipAngle",), None),
    "diffusion_b_value": (("DiffusionBValue",), 0.0),  # absent: not weighted
    "slice_thickness_mm": (("SliceThickness",), None),
}
_WORDS = {
    "scanning_sequence": ("ScanningSequence", ("SE", "IR", "GR", "EP", "RM")),
    "sequence_variant": ("SequenceVariant", ("SK", "MTC", "SS", "TRSS", "SP", "MP", "OSP", "NONE")),
    "mr_acquisition_type": ("MRAcquisitionType", ("2D", "3D")),
}
Test = Callable[[Dataset], bool]


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel: its name, what its series must be like, and the alternatives that tell it from others, the best one first."""

    name: str
    contract: Contract
    alternatives: tuple[tuple[Test, ...], ...]
    min_coverage: float = 0.75  # of the voxels of the first channel that must lie inside this one

    def rank(self, header: Dataset) -> int | None:
        """The number of the first alternative that holds for a series (one of its headers); None: it is not this channel."""
        if text(header, "Modality") != self.contract.modality:
            return None
        return next((i for i, tests in enumerate(self.alternatives) if all(test(header) for test in tests)), None)


def read_channels(table: Table, contract: Contract) -> tuple[Channel, ...]:
    """``channels`` of ``[input]``, the last key of it: none, or two and more, the first of which is the grid.

    Raises PackageError.
    """
    tables = table.tables("channels", MOST_CHANNELS, optional=True)
    if len(tables) == 1:
        raise table.wrong("channels", "a list of two or more channels (one needs no rules: leave it out)")
    share = replace(contract, max_voxels=max(1, contract.max_voxels // max(1, len(tables))))
    found = tuple(_channel(each, share, first=number == 0) for number, each in enumerate(tables))
    names = [channel.name.lower() for channel in found]
    if len(set(names)) != len(names):
        raise PackageError(f"{table.where}: two channels have the same name")
    table.done()
    return found


def chosen_channels(table: Table, names: Sequence[str]) -> frozenset[int]:
    """Which channels a step is for (``channels``), by their names; raises PackageError."""
    asked = table.texts("channels", len(names) or 1, 32)
    for name in asked:
        if name not in names:
            raise table.wrong("channels", f"a list of channels that 'input' names; {name!r} is not one{suggestion(name, names)}")
    return frozenset(names.index(name) for name in asked)


def _channel(table: Table, grid: Contract, first: bool) -> Channel:
    name = table.text("name", 32)
    alternatives = tuple(_alternative(each) for each in table.tables("any_of", _MOST_ALTERNATIVES, optional=True)) or ((),)
    if first:
        table.done()
        return Channel(name, grid, alternatives)
    modality = table.choice("modality", tuple(OF_MODALITY), grid.modality)
    contract = replace(
        grid,
        modality=modality,
        units=table.choice("units", OF_MODALITY[modality], grid.units if modality == grid.modality else OF_MODALITY[modality][0]),
        orientation="any",
        min_slices=table.integer("min_slices", 2, 10_000, grid.min_slices),
        slice_spacing=read_range(table, "slice_spacing_mm") if "slice_spacing_mm" in table else grid.slice_spacing,
        pixel_spacing=read_range(table, "pixel_spacing_mm") if "pixel_spacing_mm" in table else grid.pixel_spacing,
        min_rows=table.integer("min_rows", 1, 65535, grid.min_rows),
        min_columns=table.integer("min_columns", 1, 65535, grid.min_columns),
    )
    channel = Channel(name, contract, alternatives, table.number("min_coverage", 0, 1, 0.75))
    table.done()
    return channel


def _alternative(table: Table) -> tuple[Test, ...]:
    tests = [*_descriptions(table), *_numbers(table), *_closed_words(table), *_image_type(table)]
    if "contrast" in table:
        wanted = table.flag("contrast")
        tests.append(lambda header: _has_contrast(header) is wanted)
    if not table.names():
        raise PackageError(f"{table.where} has no key: leave 'any_of' out where the modality says enough")
    table.done()
    return tuple(tests)


def _descriptions(table: Table) -> Iterator[Test]:
    for key, wanted in (("description", True), ("description_excludes", False)):
        if key in table:
            patterns = _patterns(table, key)
            yield lambda header, patterns=patterns, wanted=wanted: _described(header, patterns) is wanted  # type: ignore[misc]


def _patterns(table: Table, key: str) -> tuple[str, ...]:
    found = table.texts(key, _MOST_PATTERNS, 64)
    if any(pattern.count("*") > _MOST_STARS or "[" in pattern for pattern in found):
        raise table.wrong(key, f"a list of patterns with * and ?, at most {_MOST_STARS} * in each")
    return tuple(pattern.lower() for pattern in found)


def _described(header: Dataset, patterns: tuple[str, ...]) -> bool:
    """Whether what people call the series (or else its protocol) matches one of the patterns as a whole."""
    name = (text(header, "SeriesDescription") or text(header, "ProtocolName")).strip().lower()[:256]
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _numbers(table: Table) -> Iterator[Test]:
    for key, (keywords, absent) in _NUMBERS.items():
        if key in table:
            low, high = table.numbers(key, 2, 2, 0, 1e6)
            if low > high:
                raise table.wrong(key, "the least and the greatest value, in this order")
            yield lambda header, keywords=keywords, absent=absent, low=low, high=high: (  # type: ignore[misc]
                (value := _number(header, keywords, absent)) is not None and low <= value <= high
            )


def _number(header: Dataset, keywords: tuple[str, ...], absent: float | None) -> float | None:
    for where in (header, *_shared(header)):
        for keyword in keywords:
            if (value := first(where, keyword)) is not None:
                return value
    return absent


def _shared(header: Dataset) -> Iterator[Dataset]:
    """What enhanced images say of all their frames, or else of the first one."""
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for item in items(header, groups, 1):
            for keyword in list(item.dir())[:_GROUPS]:
                yield from items(item, keyword, 1)


def _closed_words(table: Table) -> Iterator[Test]:
    for key, (keyword, known) in _WORDS.items():
        if key in table:
            wanted = set(table.texts(key, 8, 16))
            if not wanted <= set(known):
                raise table.wrong(key, f"a list of {', '.join(known)}")
            yield lambda header, keyword=keyword, wanted=wanted: wanted <= set(words(header, keyword))  # type: ignore[misc]


def _image_type(table: Table) -> Iterator[Test]:
    for key, wanted in (("image_type", True), ("image_type_excludes", False)):
        if key in table:
            values = {value.upper() for value in table.texts(key, 16, 16)}
            yield lambda header, values=values, wanted=wanted: (  # type: ignore[misc]
                bool(values & {word.upper() for word in words(header, "ImageType")}) is wanted
            )


def _has_contrast(header: Dataset) -> bool:
    """Contrast/Bolus Agent (PS3.3 C.7.6.4), or its sequence in enhanced images (C.7.6.4b)."""
    agent = text(header, "ContrastBolusAgent").strip().lower()
    return agent not in ("", "none", "no", "without") or bool(items(header, "ContrastBolusAgentSequence", 1))
