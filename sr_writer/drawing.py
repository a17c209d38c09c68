"""A key image in colour with what was found drawn over it: segments tinted, outlines, axes, marks, numbers."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from domain.results import Analysis, Finding, KeyImage, Marks

Colour = tuple[int, int, int]
Pixels = npt.NDArray[np.uint8]
Point = tuple[float, float]
Extent = tuple[float, float, float, float]

PLAIN: Final = (255, 220, 0)  # of a finding without a segment
MOST_NUMBERS: Final = 200  # of findings: with more, numbers would hide the picture
_SPELT: Final = {
    "µ": "u", "μ": "u", "ß": "ss", "–": "-", "—": "-", "−": "-", "×": "x", "≥": ">=", "≤": "<=", "°": " deg", "…": "...",
    "ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ø": "o",
}  # fmt: skip
_OPACITY: Final = 0.35
_RADIUS: Final = 4  # pixels of the picture, around a mark that is a point
_TEXT: Final = 15


@dataclass(frozen=True, slots=True)
class Scale:
    """From pixels of the source image to pixels of the picture."""

    left: float
    top: float
    across: float
    down: float

    def points(self, points: npt.NDArray[np.floating]) -> list[Point]:
        """(N, 2) of (column, row) of the source, in the picture."""
        return [((float(x) - self.left) * self.across, (float(y) - self.top) * self.down) for x, y in points]


def drawn(analysis: Analysis, key: KeyImage, side: int, sizes: Mapping[str, tuple[int, int]] | None = None) -> Image.Image:
    """The key image in RGB, its longer side ``side`` pixels long. Findings carry their number in ``analysis.findings``, from 1,
    where there are several, up to MOST_NUMBERS.

    ``sizes`` are (columns, rows) of the source images, for key images that are shown reduced.
    """
    extent = _extent(key, sizes or {})
    image = Image.fromarray(tinted(analysis, key, extent))
    ratio = side / max(image.size)
    size = (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
    image = image.resize(size, Image.Resampling.NEAREST if ratio > 1 else Image.Resampling.BOX)
    scale = Scale(extent[0], extent[1], image.width / extent[2], image.height / extent[3])
    pen = ImageDraw.Draw(image)
    for marks in analysis.marks:
        if shows(key, marks.sop_instance_uid, marks.frame):
            _draw_marks(pen, marks, scale)
    numbered = 1 < len(analysis.findings) <= MOST_NUMBERS
    for number, finding in enumerate(analysis.findings, 1):
        _draw_finding(pen, finding, key, scale, colour(analysis, finding), str(number) if numbered else "")
    return image


def tinted(analysis: Analysis, key: KeyImage, extent: Extent | None = None) -> Pixels:
    """The key image in colour, uint8 (rows, columns, 3): segments half transparent, their edges not."""
    rgb = key.pixels if key.pixels.ndim == 3 else np.repeat(key.pixels[:, :, np.newaxis], 3, axis=2)
    canvas = rgb.astype(np.float32)
    planes = _planes(analysis, key, extent)
    if planes is None:
        return canvas.astype(np.uint8)
    for segment in analysis.segments:
        mask = (planes == segment.number).any(axis=0)
        if mask.any():
            painted = np.asarray(segment.colour, np.float32)
            canvas[mask] = (1 - _OPACITY) * canvas[mask] + _OPACITY * painted
            canvas[_edge(mask)] = painted
    return canvas.round().astype(np.uint8)


def segments_on(analysis: Analysis, key: KeyImage) -> set[int]:
    """Numbers of the segments that are tinted on the key image."""
    planes = _planes(analysis, key, None)
    return set() if planes is None else set(np.unique(planes).tolist()) - {0}


def shows(key: KeyImage, sop_instance_uid: str, frame: int | None) -> bool:
    """Whether a place on that image and frame is on the key image; its region is not looked at."""
    return key.sop_instance_uid == sop_instance_uid and (key.frame or 1) == (frame or 1)


def on(finding: Finding, key: KeyImage) -> bool:
    """Whether something of the finding is drawn on the key image."""
    places: list[tuple[str, int | None, npt.NDArray[np.float64]]] = [
        (line.sop_instance_uid, line.frame, line.points) for line in finding.lines
    ]
    if finding.outline is not None:
        places.append((finding.outline.sop_instance_uid, finding.outline.frame, finding.outline.points))
    return any(shows(key, uid, frame) and _within(points, key) for uid, frame, points in places)


def colour(analysis: Analysis, finding: Finding) -> Colour:
    """That of its segment."""
    return next((s.colour for s in analysis.segments if s.number == finding.segment), PLAIN)


def drawable(text: str) -> str:
    """The text in letters that the font of pictures has: others lose their marks, or are shown as a question mark."""
    return "".join(letter if letter.isascii() or _has(letter) else _plain(letter) for letter in text)


def _plain(letter: str) -> str:
    plain = _SPELT.get(letter) or "".join(
        part for part in unicodedata.normalize("NFKD", letter) if part.isascii() and part.isprintable()
    )
    return plain or "?"


@lru_cache(maxsize=1024)
def _has(letter: str) -> bool:
    """Whether the font draws something other than its sign for what it lacks."""
    return bytes(font(_TEXT).getmask(letter)) != bytes(font(_TEXT).getmask("\uffff"))


def _within(points: npt.NDArray[np.float64], key: KeyImage) -> bool:
    """Whether one of the points lies in the region shown."""
    if key.region is None:
        return True
    left, top, columns, rows = key.region
    inside = (points >= (left, top)) & (points <= (left + columns, top + rows))
    return bool(inside.all(axis=1).any())


def _extent(key: KeyImage, sizes: Mapping[str, tuple[int, int]]) -> Extent:
    """First column, first row, columns and rows of the source that the key image shows."""
    if key.region is not None:
        return key.region
    columns, rows = sizes.get(key.sop_instance_uid, (key.pixels.shape[1], key.pixels.shape[0]))
    return (0, 0, columns, rows)


def _planes(analysis: Analysis, key: KeyImage, extent: Extent | None) -> npt.NDArray[np.unsignedinteger] | None:
    """The labels under the key image, (layers, rows, columns) of its pixels; None where there are none."""
    labels = analysis.labels
    if labels is None:
        return None
    frames: Sequence[int] = labels.frames or (1,) * len(labels.sop_instance_uids)
    wanted = (key.sop_instance_uid, key.frame or 1)
    places = list(zip(labels.sop_instance_uids, frames, strict=True))
    if wanted not in places:
        return None
    planes = labels.layers[:, places.index(wanted)]
    left, top, columns, rows = (round(v) for v in extent or _extent(key, {}))
    if labels.reduced != 1:
        return _enlarged(planes, labels.reduced, (left, top, columns, rows), key.pixels.shape[:2])
    part = planes[:, max(top, 0) : top + rows, max(left, 0) : left + columns]
    if part.shape[1:] == key.pixels.shape[:2]:
        return part
    return _resampled(part, key.pixels.shape[0], key.pixels.shape[1]) if part.size and part.shape[1:] == (rows, columns) else None


def _resampled(planes: npt.NDArray[np.unsignedinteger], rows: int, columns: int) -> npt.NDArray[np.unsignedinteger]:
    """Nearest neighbour, (layers, rows, columns)."""
    down = ((np.arange(rows) + 0.5) * planes.shape[1] / rows).astype(np.intp)
    across = ((np.arange(columns) + 0.5) * planes.shape[2] / columns).astype(np.intp)
    found: npt.NDArray[np.unsignedinteger] = planes[:, down[:, np.newaxis], across[np.newaxis, :]]
    return found


def _enlarged(
    planes: npt.NDArray[np.unsignedinteger], reduced: int, extent: Extent, shown: tuple[int, ...]
) -> npt.NDArray[np.unsignedinteger]:
    """(layers, *shown): what a map that is ``reduced`` has under an extent in pixels of its level."""
    left, top, columns, rows = extent
    down = ((top + (np.arange(shown[0]) + 0.5) * rows / shown[0]) / reduced).astype(np.intp).clip(0, planes.shape[1] - 1)
    across = ((left + (np.arange(shown[1]) + 0.5) * columns / shown[1]) / reduced).astype(np.intp).clip(0, planes.shape[2] - 1)
    found: npt.NDArray[np.unsignedinteger] = planes[:, down[:, np.newaxis], across[np.newaxis, :]]
    return found


def _edge(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Voxels of the mask with a neighbour outside it."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    edge: npt.NDArray[np.bool_] = mask & ~inside
    return edge


def _draw_marks(pen: ImageDraw.ImageDraw, marks: Marks, scale: Scale) -> None:
    for shape in marks.points:
        points = scale.points(shape)
        if len(points) == 1:
            (x, y), r = points[0], _RADIUS
            pen.ellipse((x - r, y - r, x + r, y + r), outline=marks.colour, width=2)
        else:
            pen.line([*points, points[0]] if len(points) > 2 else points, fill=marks.colour, width=2)


def _draw_finding(pen: ImageDraw.ImageDraw, finding: Finding, key: KeyImage, scale: Scale, ink: Colour, number: str) -> None:
    corner: Point | None = None
    if finding.outline is not None and shows(key, finding.outline.sop_instance_uid, finding.outline.frame):
        points = scale.points(finding.outline.points)
        pen.line(points, fill=ink, width=2)
        corner = max(points)
    for line in finding.lines:
        if shows(key, line.sop_instance_uid, line.frame):
            points = scale.points(line.points)
            pen.line(points, fill=ink, width=2)
            corner = corner or max(points)
    if number and corner is not None:
        pen.text((corner[0] + 3, corner[1] - _TEXT / 2), number, ink, font(_TEXT), stroke_width=1, stroke_fill=(0, 0, 0))


@lru_cache(maxsize=8)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own Latin font: the same on every machine."""
    return ImageFont.load_default(size)
