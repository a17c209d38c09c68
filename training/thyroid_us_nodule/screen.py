"""What the machine and the user put around and over the echoes: sector, frame, text, calipers; photographs of a screen."""

import io
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from training.thyroid_us_nodule.field import Map, noise

WORDS = (
    "THYROID", "RT LOBE", "LT LOBE", "TRANS", "LONG", "SAG", "ISTHMUS", "MI 1.1", "TIs 0.2", "12.0 MHz", "Gn 62", "DR 65",
    "4.0cm", "FR 31Hz", "D1 1.42 cm", "D2 0.93 cm", "+ 12.4mm", "x 8.1mm", "L12-5", "SmPrt", "Thy", "P 90%", "2D", "Map E",
    "Dist A", "Hosp", "10:42:17", "B/W",
)  # fmt: skip
Box = tuple[int, int, int, int]


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def sector(grey: Map, labels: np.ndarray, rng: np.random.Generator) -> tuple[Map, np.ndarray]:
    """The picture of a curved or steered probe: columns become beams of a fan; black outside."""
    rows, columns = grey.shape
    angle = rng.uniform(0.12, 0.55) * (1 if rng.random() < 0.75 else 0.45)
    apex = columns / 2 / np.tan(angle)
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    dx, dy = (x - columns / 2) * (1 + rows * np.tan(angle) / columns * 0.9), y + apex
    radius, theta = np.hypot(dx, dy), np.arctan2(dx, dy)
    curved = rng.random() < 0.6
    depth = radius - apex / np.cos(angle) * rng.uniform(0.93, 1.0) if curved else y
    beam = (theta / angle + 1) / 2 * (columns - 1)
    at = np.stack([depth, beam])
    seen = (depth >= 0) & (depth < rows) & (np.abs(theta) <= angle)
    out = ndimage.map_coordinates(grey, at, order=1, mode="nearest") * seen
    return out.astype(np.float32), (ndimage.map_coordinates(labels, at, order=0, mode="nearest") * seen).astype(np.uint8)


def frame(grey: Map, labels: np.ndarray, size: int, rng: np.random.Generator) -> tuple[Map, np.ndarray, Box]:
    """The picture placed in ``size`` x ``size``: filling it as far as its shape allows, or inside a machine's screen."""
    canvas = np.zeros((size, size), np.float32)
    marks = np.zeros((size, size), np.uint8)
    rows, columns = grey.shape
    if rows == size or columns == size:
        top, left = (size - rows) // 2, (size - columns) // 2
    else:
        canvas += rng.choice([0.0, 0.0, 0.04, 0.12, 0.25])
        top, left = int(rng.integers(0, size - rows + 1)), int(rng.integers(0, size - columns + 1))
    canvas[top : top + rows, left : left + columns] = grey
    marks[top : top + rows, left : left + columns] = labels
    return canvas, marks, (top, left, top + rows, left + columns)


def _text(draw: ImageDraw.ImageDraw, at: tuple[float, float], rng: np.random.Generator, size: int) -> None:
    words = "  ".join(str(rng.choice(WORDS)) for _ in range(int(rng.integers(1, 4))))
    draw.text(at, words, fill=int(rng.uniform(110, 255)), font=_font(size))


def _writing(draw: ImageDraw.ImageDraw, box: Box, size: int, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 7))):
        inside = rng.random() < 0.25
        x = rng.uniform(box[1], box[3]) if inside else rng.uniform(0, size * 0.8)
        y = rng.choice([rng.uniform(0, 12), rng.uniform(size - 24, size - 8), rng.uniform(box[0], box[2])], p=[0.4, 0.35, 0.25])
        _text(draw, (float(x), float(y)), rng, int(rng.integers(6, 14)))


def _ruler(draw: ImageDraw.ImageDraw, box: Box, rng: np.random.Generator) -> None:
    gap = rng.uniform(5, 30)
    x = box[3] - rng.uniform(2, 12) if rng.random() < 0.6 else box[1] + rng.uniform(1, 8)
    for k, y in enumerate(np.arange(box[0], box[2], gap)):
        draw.line((x, y, x + (6 if k % 5 == 0 else 3), y), fill=int(rng.uniform(120, 255)))
    if rng.random() < 0.3:
        for x in np.arange(box[1], box[3], gap):
            draw.line((x, box[2] - 4, x, box[2] - 1), fill=200)


def _bar(pixels: Map, rng: np.random.Generator) -> None:
    high, wide = int(rng.integers(30, 120)), int(rng.integers(3, 9))
    top, left = int(rng.integers(0, len(pixels) - high)), int(rng.choice([1, len(pixels) - wide - 2]))
    pixels[top : top + high, left : left + wide] = np.linspace(1, 0, high)[:, None]


def _cross(draw: ImageDraw.ImageDraw, at: tuple[float, float], arm: float, tilted: bool, shade: int) -> None:
    x, y = at
    if tilted:
        draw.line((x - arm, y - arm, x + arm, y + arm), fill=shade)
        draw.line((x - arm, y + arm, x + arm, y - arm), fill=shade)
    else:
        draw.line((x - arm, y, x + arm, y), fill=shade)
        draw.line((x, y - arm, x, y + arm), fill=shade)


def _dots(draw: ImageDraw.ImageDraw, a: tuple[float, float], b: tuple[float, float], shade: int) -> None:
    count = max(2, int(np.hypot(b[0] - a[0], b[1] - a[1]) / 4))
    for t in np.linspace(0, 1, count):
        draw.point((a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])), fill=shade)


def _calipers(draw: ImageDraw.ImageDraw, mask: np.ndarray, rng: np.random.Generator) -> None:
    """Two pairs of crosses on the ends of the axes of ``mask``, with or without dotted lines; a point has no axes."""
    rows, columns = np.nonzero(mask)
    if len(rows) < 2:
        return
    points = np.stack([columns, rows], 1).astype(float)
    middle = points.mean(0)
    axes = np.linalg.eigh(np.cov((points - middle).T) + np.eye(2) * 1e-3)[1]
    arm, shade = rng.uniform(1.5, 4.5), int(rng.uniform(150, 255))
    dotted, tilted = rng.random() < 0.6, rng.random() < 0.4
    for k in range(int(rng.choice([1, 2], p=[0.3, 0.7]))):
        along = (points - middle) @ axes[:, 1 - k]
        ends = [tuple(middle + axes[:, 1 - k] * e + rng.normal(0, 1.2, 2)) for e in (along.min(), along.max())]
        if dotted:
            _dots(draw, ends[0], ends[1], shade)
        for end in ends:
            _cross(draw, end, arm, tilted if k else False, shade)


def _decoy(shape: tuple[int, int], box: Box, rng: np.random.Generator) -> np.ndarray:
    """A measured place that is no nodule."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    cy, cx = rng.uniform(box[0], box[2]), rng.uniform(box[1], box[3])
    return np.asarray(((y - cy) / rng.uniform(8, 40)) ** 2 + ((x - cx) / rng.uniform(8, 60)) ** 2 < 1)


def _drawn(draw: ImageDraw.ImageDraw, labels: np.ndarray, box: Box, rng: np.random.Generator) -> None:
    if rng.random() < 0.6:
        _writing(draw, box, len(labels), rng)
    if rng.random() < 0.35:
        _ruler(draw, box, rng)
    if labels.any() and rng.random() < 0.4:
        _calipers(draw, labels == rng.choice(np.unique(labels[labels > 0])), rng)
    elif rng.random() < 0.12:
        _calipers(draw, _decoy(labels.shape, box, rng), rng)
    if rng.random() < 0.1:
        x, y = rng.uniform(box[1], box[3] - 30), rng.uniform(box[0], box[2] - 30)
        draw.rectangle((x, y, x + rng.uniform(40, 150), y + rng.uniform(40, 150)), outline=int(rng.uniform(120, 255)))
    if rng.random() < 0.12:
        x, y = rng.uniform(box[1], box[3] - 24), rng.uniform(box[2] - 40, box[2] - 20)
        draw.ellipse((x, y, x + 22, y + 16), outline=200, fill=40)
        draw.line((x + 8, y + 8, x + 16, y + 4), fill=255, width=2)


def annotate(grey: Map, labels: np.ndarray, box: Box, rng: np.random.Generator) -> Map:
    """Writing, rulers, grey bar, calipers, body mark, Doppler box; each sometimes."""
    if rng.random() < 0.35:
        return grey
    plate = Image.fromarray(np.zeros(grey.shape, np.uint8))
    draw = ImageDraw.Draw(plate)
    _drawn(draw, labels, box, rng)
    over = np.asarray(plate, np.float32) / 255
    out = np.maximum(grey * (over == 0), over)
    if rng.random() < 0.3:
        _bar(out, rng)
    if rng.random() < 0.08:
        _doppler(out, box, rng)
    return out


def _doppler(pixels: Map, box: Box, rng: np.random.Generator) -> None:
    """Colour flow as it looks in grey: plain patches of one brightness, in a part of the picture."""
    high, wide = (int((box[k + 2] - box[k]) * rng.uniform(0.3, 0.9)) for k in (0, 1))
    top, left = int(rng.integers(box[0], box[2] - high + 1)), int(rng.integers(box[1], box[3] - wide + 1))
    flow = noise((high, wide), rng.uniform(4, 14), rng) > rng.uniform(1.3, 2.4)
    view = pixels[top : top + high, left : left + wide]
    view[flow] = rng.uniform(0.2, 0.55)


def _tilted(size: int, rng: np.random.Generator) -> list[float]:
    """Coefficients of a perspective seen from a little aside."""
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]], float)
    moved = corners + rng.uniform(-0.06, 0.06, (4, 2)) * size
    rows = []
    for (x, y), (u, v) in zip(corners, moved, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return [float(c) for c in np.linalg.solve(np.array(rows), moved.ravel())]


def photograph(grey: Map, labels: np.ndarray, rng: np.random.Generator) -> tuple[Map, np.ndarray]:
    """A photograph of the screen: tilted, moire, glare, vignette, grain."""
    size = len(grey)
    how = _tilted(size, rng)
    tilted = Image.fromarray(grey).transform((size, size), Image.Transform.PERSPECTIVE, how, Image.Resampling.BILINEAR)
    marks = Image.fromarray(labels).transform((size, size), Image.Transform.PERSPECTIVE, how, Image.Resampling.NEAREST)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    out = np.asarray(tilted)
    for _ in range(int(rng.integers(0, 3))):
        f = rng.uniform(20, 120, 2)
        out = out * (1 + rng.uniform(0.01, 0.09) * np.sin(2 * np.pi * (f[0] * x + f[1] * y)))
    glare = np.exp(
        -(((x - rng.uniform(0, 1)) / rng.uniform(0.1, 0.5)) ** 2 + ((y - rng.uniform(0, 1)) / rng.uniform(0.1, 0.5)) ** 2)
    )
    out = out * rng.uniform(0.6, 1) + rng.uniform(0, 0.12) + glare * rng.uniform(0, 0.3)
    out = ndimage.gaussian_filter(out, rng.uniform(0, 0.9)) + rng.normal(0, rng.uniform(0, 0.03), out.shape)
    return np.clip(out, 0, 1).astype(np.float32), np.asarray(marks)


def stored(grey: Map, rng: np.random.Generator) -> np.ndarray:
    """8-bit pixels, often after JPEG, sometimes after shrinking and enlarging."""
    image = Image.fromarray(np.clip(grey * 255 + 0.5, 0, 255).astype(np.uint8))
    if rng.random() < 0.2:
        small = int(len(grey) * rng.uniform(0.45, 0.9))
        image = image.resize((small, small), Image.Resampling.BILINEAR).resize(grey.shape, Image.Resampling.BICUBIC)
    if rng.random() < 0.6:
        held = io.BytesIO()
        image.save(held, "JPEG", quality=int(rng.uniform(25, 95)))
        image = Image.open(held)
    return np.asarray(image)
