"""One picture that tells the result to a person: the best key image, what was found drawn over it, and the numbers beside it."""

import io
import textwrap
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from domain.jobs import Outcome
from domain.results import Analysis, Finding, KeyImage, Measurement

DISCLAIMER: Final = "AI result, research use, not for primary diagnosis"

_HEADINGS: Final = {
    Outcome.POSITIVE: "Findings",
    Outcome.NEGATIVE: "No finding",
    Outcome.NOT_ANALYSED: "Not analysed",
    Outcome.FAILED: "Failed",
}
_SIDE: Final = 768  # pixels of the longer side of the image
_PANEL: Final = 420  # pixels
_MARGIN: Final = 16
_LINE: Final = 20
_THOUSAND: Final = 1000
_OPACITY: Final = 0.35
_PLAIN: Final = (255, 220, 0)  # of a finding without a segment
_WHITE: Final = (235, 235, 235)
_AMBER: Final = (255, 190, 60)

Colour = tuple[int, int, int]
Entry = tuple[Colour | None, str]


def overlay(analysis: Analysis) -> bytes | None:
    """A PNG of the best key image with segments, outlines and legend; None where there is no key image.

    It carries no patient data: pixels are those of the key image, text is that of the analysis.
    """
    if not analysis.key_images:
        return None
    key = analysis.key_images[0]
    image = Image.fromarray(_tinted(analysis, key))
    scale = _SIDE / max(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.NEAREST)
    _draw_outlines(image, analysis, key, scale)
    stream = io.BytesIO()
    _beside(image, list(_legend(analysis, key))).save(stream, "PNG")
    return stream.getvalue()


def _tinted(analysis: Analysis, key: KeyImage) -> npt.NDArray[np.uint8]:
    """The key image in colour, uint8 (rows, columns, 3): segments half transparent, their edges not."""
    canvas = np.repeat(key.pixels[:, :, np.newaxis], 3, axis=2).astype(np.float32)
    labels = analysis.labels
    if labels is None or key.sop_instance_uid not in labels.sop_instance_uids:
        return canvas.astype(np.uint8)
    planes = labels.layers[:, labels.sop_instance_uids.index(key.sop_instance_uid)]
    for segment in analysis.segments:
        mask = (planes == segment.number).any(axis=0)
        if mask.shape != key.pixels.shape or not mask.any():
            continue
        colour = np.asarray(segment.colour, np.float32)
        canvas[mask] = (1 - _OPACITY) * canvas[mask] + _OPACITY * colour
        canvas[_edge(mask)] = colour
    return canvas.round().astype(np.uint8)


def _edge(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Voxels of the mask with a neighbour outside it."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    edge: npt.NDArray[np.bool_] = mask & ~inside
    return edge


def _draw_outlines(image: Image.Image, analysis: Analysis, key: KeyImage, scale: float) -> None:
    draw = ImageDraw.Draw(image)
    for finding in analysis.findings:
        if finding.outline is not None and finding.outline.sop_instance_uid == key.sop_instance_uid:
            points = [(float(x) * scale, float(y) * scale) for x, y in finding.outline.points]
            draw.line(points, fill=_colour(analysis, finding), width=2, joint="curve")


def _colour(analysis: Analysis, finding: Finding) -> Colour:
    return next((s.colour for s in analysis.segments if s.number == finding.segment), _PLAIN)


def _legend(analysis: Analysis, key: KeyImage) -> Iterator[Entry]:
    yield None, _HEADINGS[analysis.outcome]
    yield None, analysis.summary
    for finding in analysis.findings:
        yield _colour(analysis, finding), _name(analysis, finding)
        for measurement in (*finding.measurements, *finding.outline_measurements):
            yield None, "   " + _number(measurement)
    for statement in analysis.statements:
        yield None, statement.finding.meaning
        for measurement in statement.measurements:
            yield None, "   " + _number(measurement)
        for evaluation in statement.evaluations:
            yield None, f"   {evaluation.name.meaning}: {evaluation.value.meaning}"
    for text in (*analysis.notes, key.caption):
        if text:
            yield None, text


def _name(analysis: Analysis, finding: Finding) -> str:
    label = next((s.label for s in analysis.segments if s.number == finding.segment), "")
    sides = [] if label else [c.meaning for c in (finding.site, finding.laterality) if c is not None]
    return label or ", ".join([finding.finding.meaning, *sides])


def _number(measurement: Measurement) -> str:
    name = measurement.name.meaning
    if measurement.derivation is not None:
        name = f"{name} ({measurement.derivation.meaning})"
    digits = ",.0f" if abs(measurement.value) >= _THOUSAND else ".4g"
    return f"{name}: {measurement.value:{digits}} {measurement.unit.value}"


def _beside(image: Image.Image, entries: list[Entry]) -> Image.Image:
    """The image with a panel of text at its right and the kind of use below both; the panel decides the height if longer."""
    font, bold = ImageFont.load_default(15), ImageFont.load_default(22)
    lines = [(colour if i == 0 else None, part) for colour, text in entries[1:] for i, part in enumerate(_wrapped(text))]
    height = max(image.height, 3 * _MARGIN + 30 + _LINE * len(lines)) + 2 * _MARGIN + _LINE
    sheet = Image.new("RGB", (image.width + _PANEL, height), (0, 0, 0))
    sheet.paste(image, (0, 0))
    draw = ImageDraw.Draw(sheet)
    left, top = image.width + _MARGIN, _MARGIN
    draw.text((left, top), entries[0][1], _WHITE, bold)
    for number, (colour, text) in enumerate(lines):
        y = top + 30 + _LINE * number
        if colour is not None:
            draw.rectangle((left, y + 3, left + 12, y + 15), fill=colour)
        draw.text((left + (18 if colour is not None else 0), y), text, _WHITE, font)
    draw.text((_MARGIN, height - _MARGIN - _LINE), DISCLAIMER, _AMBER, bold)
    return sheet


def _wrapped(text: str) -> list[str]:
    indent = "   " if text.startswith(" ") else ""
    return textwrap.wrap(text, 50, initial_indent="", subsequent_indent=indent, drop_whitespace=False) or [""]
