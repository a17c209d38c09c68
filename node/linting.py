"""Files and folders read for ``ancilla lint``: results one by one, of images the header alone; nothing hostile stops it."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset

from inference.source import Source, open_source, text
from sr_writer.lint import Head, head, lint, lint_series
from sr_writer.rule import Broken, Level
from sr_writer.rules import judged, looking
from sr_writer.source import readable

_PIXELS: Final = {0x0008: "FloatPixelData", 0x0009: "DoubleFloatPixelData", 0x0010: "PixelData"}  # elements of group 7FE0
_UNDEFINED: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is wrong with one file; nothing, if ``broken`` is empty."""

    file: Path
    sop_class: str
    broken: tuple[Broken, ...]


def judge(paths: Sequence[Path]) -> tuple[list[Judgement], int]:
    """The results among these files and folders, each judged, and how many other files there were.

    A file that is named and cannot be read is judged too; in a folder, what is no DICOM is passed over.
    """
    files = list(_files(paths))
    results: list[Path] = []
    images: dict[str, Dataset] = {}
    unread: list[Judgement] = []
    others = 0
    for file, named in files:
        source = _open(file)
        if source.fault:
            if named or _is_part10(file):
                unread.append(Judgement(file, "", (Broken("readable", source.fault, "PS3.10"),)))
            else:
                others += 1
        elif judged(source.header):
            results.append(file)
        else:
            others += 1
            _remember(images, source.header)
    return [*unread, *_judged(results, images)], others


def _remember(images: dict[str, Dataset], header: Dataset) -> None:
    try:
        images[text(header, "SOPInstanceUID")] = looking(lambda: readable(header))
    except ValueError:
        return  # an image that nobody can read is compared with nothing


def _judged(results: Sequence[Path], images: Mapping[str, Dataset]) -> list[Judgement]:
    found: list[tuple[Path, str, list[Broken]]] = []
    series: dict[str, list[tuple[Head, list[Broken]]]] = {}
    for file in results:
        source = _open(file)
        place = head(source.header)
        broken = lint(source.header, images, _pixels(source))
        found.append((file, place.sop_class, broken))
        series.setdefault(place.series, []).append((place, broken))
    for members in series.values():
        together = lint_series([place for place, _ in members])
        for _, broken in members:
            broken += together
    return [Judgement(file, sop_class, tuple(broken)) for file, sop_class, broken in found]


def failed(judgements: Sequence[Judgement]) -> bool:
    """Whether any rule is broken that is more than a warning."""
    return any(each.level is Level.ERROR for judgement in judgements for each in judgement.broken)


def _files(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """Each file, and whether it was named itself."""
    for path in paths:
        if path.is_dir():
            yield from ((file, False) for file in sorted(path.rglob("*")) if file.is_file())
        else:
            yield path, True


def _open(file: Path) -> Source:
    """Raises OSError when the file cannot be opened."""
    return open_source(file.read_bytes())


def _is_part10(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _pixels(source: Source) -> tuple[str, int] | None:
    """Keyword and length of the pixel data, which was not read; None for what is compressed or cut off within its head."""
    data = source.data
    if len(data) < 12:
        return None
    group, element = struct.unpack_from("<HH", data)
    implicit = source.transfer_syntax == "1.2.840.10008.1.2"
    (length,) = struct.unpack_from("<I", data, 4 if implicit else 8)
    if group != 0x7FE0 or element not in _PIXELS or length == _UNDEFINED:
        return None
    return _PIXELS[element], min(int(length), len(data) - (8 if implicit else 12))
