"""Pictures for the model cards of what a network got wrong: parts of an image around what was missed, made up or misnamed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from training.microscopy import score
from training.microscopy.decode import Found
from training.microscopy.heat import Boxes

TRUTH, ANSWER = (0, 190, 60), (230, 30, 30)  # colours of boxes
ACROSS, SHOWN = 6, 192  # pictures in a row, pixels of each
WORDS = 16  # pixels of the line below

Pixels = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Failure:
    """``pixels`` (rows, columns, 3) of the whole image; ``middle`` x, y in it; boxes by centre and size, ``None`` for none."""

    pixels: Pixels
    middle: tuple[float, float]
    words: str
    truth: Box | None
    answer: Box | None


def of_field(pixels: Pixels, found: Found, truth: Boxes, slack: float, names: Sequence[str]) -> Iterator[Failure]:
    """What was missed, found without reason or twice, or (where there are several names) named wrong. Classes index ``names``.

    Truth of a class below 0 is not judged, as in score.tally.
    """
    real = truth[truth[:, 4] >= 0]
    agreement = score.centred(found, real, slack)
    free = np.ones(len(real), bool)
    for i in np.argsort(-found[:, 5], kind="stable"):
        row = np.where(free, agreement[i], 0.0)
        answer, said = _box(found[i]), names[int(found[i, 4])]
        if not row.any():
            if agreement[i].any():
                yield Failure(pixels, answer[:2], f"{said}, said twice", _box(real[int(agreement[i].argmax())]), answer)
            elif not (score.centred(found[i : i + 1], truth[truth[:, 4] == -1], 10.0) > 0).any():
                yield Failure(pixels, answer[:2], f"nothing, said {said}", None, answer)
            continue
        best = int(row.argmax())
        free[best] = False
        if names[int(real[best, 4])] != said:
            yield Failure(pixels, answer[:2], f"{names[int(real[best, 4])]}, said {said}", _box(real[best]), answer)
    for box in real[free]:
        yield Failure(pixels, _box(box)[:2], f"{names[int(box[4])]}, missed", _box(box), None)


def _box(row: npt.NDArray[np.floating]) -> Box:
    x, y, width, height = (float(v) for v in row[:4])
    return x, y, width, height


def sheet(failures: Sequence[Failure], side: int, path: Path) -> None:
    """A picture of all of them, ``side`` pixels of the image around each: truth green, answer red, words below."""
    rows = -(-len(failures) // ACROSS)
    page = Image.new("RGB", (ACROSS * SHOWN, rows * (SHOWN + WORDS)), "white")
    for number, failure in enumerate(failures):
        place = number % ACROSS * SHOWN, number // ACROSS * (SHOWN + WORDS)
        page.paste(_part(failure, side), place)
        ImageDraw.Draw(page).text((place[0] + 3, place[1] + SHOWN + 2), failure.words, "black")
    path.parent.mkdir(parents=True, exist_ok=True)
    page.save(path, quality=85, optimize=True)


def _part(failure: Failure, side: int) -> Image.Image:
    left, top = (round(v - side / 2) for v in failure.middle)
    part = Image.fromarray(failure.pixels).crop((left, top, left + side, top + side)).resize((SHOWN, SHOWN))
    draw, factor = ImageDraw.Draw(part), SHOWN / side
    for box, colour in ((failure.truth, TRUTH), (failure.answer, ANSWER)):
        if box is not None:
            x, y, half_width, half_height = box[0] - left, box[1] - top, box[2] / 2, box[3] / 2
            corners = (x - half_width, y - half_height, x + half_width, y + half_height)
            draw.rectangle([v * factor for v in corners], outline=colour)
    return part


def spread(failures: Sequence[Failure], most: int = 2 * ACROSS) -> list[Failure]:
    """At most so many of them, of each kind of words in turn."""
    kinds: dict[str, list[Failure]] = {}
    for failure in failures:
        kinds.setdefault(failure.words, []).append(failure)
    chosen: list[Failure] = []
    while len(chosen) < most and any(kinds.values()):
        chosen += [kind.pop(0) for kind in kinds.values() if kind]
    return sorted(chosen[:most], key=lambda failure: failure.words)
