"""Pictures that tell the result to a person: key images with what was found drawn over them, and the numbers beside."""

import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from PIL import Image, ImageDraw

from domain.results import Analysis, KeyImage
from sr_writer.drawing import drawable, drawn, font
from sr_writer.telling import DISCLAIMER, Entry, legend

SIDE: Final = 768  # pixels of the longer side of the image
MOST_SHEETS: Final = 12  # key images that get a sheet of their own, best first
MOST_LINES: Final = 300  # of words beside a picture
MANY_CROPS: Final = 4  # small regions: more of them share gallery sheets
_SMALL: Final = 320  # pixels of the longer side of a region that counts as a crop
_PANEL: Final = 420  # pixels
_MARGIN: Final = 16
_LINE: Final = 20
_TILE: Final = 180  # pixels of a crop in a gallery
_ACROSS, _DOWN = 4, 4
_BLACK: Final = (0, 0, 0)
_WHITE: Final = (235, 235, 235)
_AMBER: Final = (255, 190, 60)

Sizes = Mapping[str, tuple[int, int]]


def overlay(analysis: Analysis) -> bytes | None:
    """A PNG of the best key image with segments, outlines and legend; None where there is no key image.

    It carries no patient data: pixels are those of the key image, text is that of the analysis.
    """
    if not analysis.key_images:
        return None
    key = analysis.key_images[0]
    stream = io.BytesIO()
    _beside(drawn(analysis, key, SIDE), list(legend(analysis, key, len(analysis.key_images) == 1))).save(stream, "PNG")
    return stream.getvalue()


def sheets(analysis: Analysis, sizes: Sizes, model: str) -> Iterator[tuple[Image.Image, list[KeyImage]]]:
    """Every picture for people, in RGB, with the key images it shows; one page of words where there is no key image.

    Regions that are small share gallery sheets when there are many of them. ``sizes`` are (columns, rows) by SOP Instance UID.
    ``model`` is named at the end of the words.
    """
    crops = [key for key in analysis.key_images if is_crop(key)]
    crops = crops if len(crops) > MANY_CROPS else []
    whole = [key for key in analysis.key_images if not any(key is crop for crop in crops)][:MOST_SHEETS]
    alone = len(whole) + bool(crops) == 1
    for key in whole:
        yield _beside(drawn(analysis, key, SIDE, sizes), [*legend(analysis, key, alone), (None, model)]), [key]
    per_sheet = _ACROSS * _DOWN
    for first in range(0, min(len(crops), MOST_SHEETS * per_sheet), per_sheet):
        shown = crops[first : first + per_sheet]
        yield _beside(_gallery(analysis, shown, sizes), [*legend(analysis, None), (None, model)]), shown
    if not analysis.key_images:
        empty = Image.new("RGB", (_MARGIN, SIDE // 2), _BLACK)
        yield _beside(empty, [*legend(analysis, None), (None, model)]), []


def is_crop(key: KeyImage) -> bool:
    """Whether it shows a small part of its source."""
    return key.region is not None and max(key.region[2:]) <= _SMALL


def _gallery(analysis: Analysis, keys: Sequence[KeyImage], sizes: Sizes) -> Image.Image:
    """Crops side by side, each with its caption."""
    step = _TILE + _LINE
    rows = -(-len(keys) // _ACROSS)
    sheet = Image.new("RGB", (_ACROSS * (_TILE + 4), rows * step), _BLACK)
    pen = ImageDraw.Draw(sheet)
    for number, key in enumerate(keys):
        left, top = number % _ACROSS * (_TILE + 4), number // _ACROSS * step
        sheet.paste(drawn(analysis, key, _TILE, sizes), (left, top))
        pen.text((left, top + _TILE + 2), drawable(key.caption[:28]), _WHITE, font(12))
    return sheet


def _beside(image: Image.Image, entries: list[Entry]) -> Image.Image:
    """The image with a panel of text at its right and the kind of use below both; the panel decides the height if longer."""
    bold = font(22)
    lines = [(colour if i == 0 else None, part) for colour, text in entries[1:] for i, part in enumerate(_wrapped(text))]
    lines = lines if len(lines) <= MOST_LINES else [*lines[: MOST_LINES - 1], (None, "... see the report")]
    height = max(image.height, 3 * _MARGIN + 30 + _LINE * len(lines)) + 2 * _MARGIN + _LINE
    width = max(image.width + _PANEL, round(2 * _MARGIN + bold.getlength(DISCLAIMER)))
    sheet = Image.new("RGB", (width, height), _BLACK)
    sheet.paste(image, (0, 0))
    draw = ImageDraw.Draw(sheet)
    left, top = image.width + _MARGIN, _MARGIN
    draw.text((left, top), drawable(entries[0][1]), _WHITE, bold)
    for number, (colour, text) in enumerate(lines):
        y = top + 30 + _LINE * number
        if colour is not None:
            draw.rectangle((left, y + 3, left + 12, y + 15), fill=colour)
        draw.text((left + (18 if colour is not None else 0), y), text, _WHITE, font(15))
    draw.text((_MARGIN, height - _MARGIN - _LINE), DISCLAIMER, _AMBER, bold)
    return sheet


def _wrapped(text: str) -> list[str]:
    indent = "   " if text.startswith(" ") else ""
    return textwrap.wrap(drawable(text), 50, subsequent_indent=indent) or [""]
