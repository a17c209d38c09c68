"""The real training and test slices: Hounsfield units, lung masks made here, opacity masks where the source has them.

Sources (attribution in the model card): COVID-19-NY-SBU (TCIA, CC BY 4.0) and the training slices of COVID-SemiSeg (MIT).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
from PIL import Image
from scipy import ndimage

SIZE = 256
IGNORE = 255
HEALTHY = ("A048383", "A098752/axial/19001231")
NO_LUNG = ("A027284", "A058062", "A062055")
SEVERE = ("A072894", "A056642/axial/19001229", "A002304/axial/19010112")
BASES = ("A067967",)
UNUSED = ("A046441", "A098752/axial/19010127")  # lungs too diseased for a mask made without a radiologist
TEST_PATIENTS = ("A002304", "A056642")
TEST_SLICES = 10
READINGS = {"as read": (-950.0, 40.0), "read too dark": (-1000.0, 90.0), "read too bright": (-900.0, 0.0)}  # HU of air, tissue
CHOICE_SLICES = (3, 13, 24, 31, 40, 47)  # annotated slices of the training part kept for choices
Image2 = npt.NDArray[np.float32]
Labels2 = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Slice:
    """One axial slice, front up, patient's right on the left: ``hu`` float32, labels uint8 (255 unknown), all SIZE x SIZE."""

    hu: Image2
    lungs: Labels2
    opacity: Labels2
    pixel_mm: float


def _disk(radius: int) -> npt.NDArray[np.bool_]:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(x * x + y * y <= radius * radius)


def _close(mask: npt.NDArray[np.bool_], radius: int) -> npt.NDArray[np.bool_]:
    wide = np.pad(mask, radius + 1)
    closed = ndimage.binary_closing(wide, _disk(radius))[radius + 1 : -radius - 1, radius + 1 : -radius - 1]
    holes, count = ndimage.label(ndimage.binary_fill_holes(closed) & ~closed)
    small = [k for k in range(1, count + 1) if (holes == k).sum() < 0.008 * mask.size]  # a liver dome within the lung is no hole
    return np.asarray(closed | np.isin(holes, small))


def split_sides(mask: npt.NDArray[np.bool_], middle: float) -> Labels2:
    """1 for the patient's left lung (right half of the picture), 2 for the right one; joined lungs are cut where thinnest."""
    out = np.zeros(mask.shape, np.uint8)
    marks, count = ndimage.label(mask)
    reach = int(0.12 * mask.shape[1])
    for k in range(1, count + 1):
        piece = marks == k
        columns = np.nonzero(piece.any(0))[0]
        cut = middle
        if columns[0] < middle - reach and columns[-1] > middle + reach:
            near = np.arange(int(middle) - reach, int(middle) + reach)
            cut = float(near[np.argmin(piece.sum(0)[near] + 0.2 * np.abs(near - middle))])
            out[piece & (np.arange(mask.shape[1]) >= cut)[None, :]] = 1
            out[piece & (np.arange(mask.shape[1]) < cut)[None, :]] = 2
        else:
            out[piece] = 1 if columns.mean() > middle else 2
    return out


def _pieces(mask: npt.NDArray[np.bool_], middle: float, smallest: float, central: float) -> npt.NDArray[np.bool_]:
    """Components that may be lung: large, or not in the middle where the windpipe is."""
    marks, count = ndimage.label(mask)
    keep = np.zeros(mask.shape, bool)
    for k in range(1, count + 1):
        piece = marks == k
        x = float(np.nonzero(piece)[1].mean())
        area = piece.sum()
        if area > smallest and not (abs(x - middle) < central and area < 8 * smallest):
            keep |= piece
    return keep


def _body(hu: Image2) -> npt.NDArray[np.bool_]:
    solid = ndimage.binary_opening(hu > -350, _disk(2))
    marks, count = ndimage.label(solid)
    sizes = ndimage.sum_labels(solid, marks, range(1, count + 1))
    return np.asarray(ndimage.binary_fill_holes(_close(marks == 1 + int(np.argmax(sizes)), 6)))


def _nysbu_slice(path: Path, name: str) -> Slice:
    ds = pydicom.dcmread(path)
    full = ds.pixel_array.astype(np.float32) * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    hu = np.clip(full, -1024, 3071).reshape(SIZE, 2, SIZE, 2).mean((1, 3))
    pixel = 2 * float(ds.PixelSpacing[0])
    body = _body(hu)
    lungs = np.zeros(hu.shape, np.uint8)
    opacity = np.zeros(hu.shape, np.uint8)
    if not name.startswith(NO_LUNG):
        severe = name.startswith(SEVERE)
        middle = float(np.nonzero(body)[1].mean())
        air = ndimage.binary_opening((hu < (-260 if severe else -480)) & ndimage.binary_erosion(body, _disk(3)), _disk(1))
        if name.startswith(BASES):
            air[: int(np.nonzero(body)[0].mean()) + 8] = False
        air[: int(np.nonzero(body)[0].min()) + 18] = False  # air caught between skin folds or under a tube
        air = _pieces(air, middle, 60 if severe else 90, 18)
        mask = np.zeros(hu.shape, bool)
        for side in (1, 2):
            mask |= _close(split_sides(air, middle) == side, 9 if severe else 5)
        lungs = split_sides(mask & body, middle)
        if severe:
            lungs[_close(mask, 22) & (lungs == 0) & body] = IGNORE
        if not name.startswith(HEALTHY):
            doubt = ndimage.binary_dilation((hu < -300) & ndimage.binary_erosion(body, _disk(3)), _disk(1))
            lungs[doubt & ndimage.binary_dilation(mask, _disk(20)) & (lungs == 0)] = IGNORE
        inside = lungs > 0
        if not name.startswith(HEALTHY):
            opacity[inside & (ndimage.gaussian_filter(hu, 1.0) > -800)] = IGNORE
    return Slice(hu, lungs, opacity, pixel)


def nysbu(data: Path) -> Iterator[tuple[str, Slice]]:
    """The axial slices of COVID-19-NY-SBU, named by patient and file."""
    for name, path in _axial(data).items():
        yield name, _nysbu_slice(path, name)


def to_hu(grey: Image2, air: float = -950.0, tissue: float = 40.0) -> Image2:
    """Pseudo Hounsfield units of an 8-bit picture: its darkest level becomes ``air``, its commonest bright level ``tissue``."""
    low = float(np.percentile(grey, 1))
    counts = ndimage.gaussian_filter1d(np.bincount(grey.astype(np.uint8).ravel(), minlength=256).astype(float), 2)
    high = 120.0 + float(np.argmax(counts[120:]))
    return np.asarray(air + (grey - low) / (high - low) * (tissue - air), np.float32)


def _resize(image: npt.NDArray[np.generic], shape: tuple[int, int], nearest: bool) -> npt.NDArray[np.generic]:
    mode = (
        Image.Resampling.NEAREST if nearest else Image.Resampling.BOX if shape[0] < image.shape[0] else Image.Resampling.BILINEAR
    )
    return np.asarray(Image.fromarray(image).resize((shape[1], shape[0]), mode))


def _semiseg_lungs(hu: Image2, infection: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    height, width = hu.shape
    unit = height * width / 1000
    air = ndimage.binary_opening(hu < -430, _disk(1))
    marks, _ = ndimage.label(air)
    for corner in ((1, 1), (1, -2), (-2, 1), (-2, -2)):
        if marks[corner] > 0 and (marks == marks[corner]).sum() < 40 * unit:
            air &= marks != marks[corner]
    air = _pieces(air, width / 2, 3 * unit, 0.1 * width)
    return _close(air | infection, max(3, width // 50))


def _frame(hu: Image2, rows: tuple[int, int], columns: tuple[int, int], rng: np.random.Generator) -> Image2:
    """A body drawn around a cropped picture of the lungs."""
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    cy, cx = sum(rows) / 2, sum(columns) / 2
    ry, rx = (rows[1] - rows[0]) / 2, (columns[1] - columns[0]) / 2
    r = (np.abs((x - cx) / (rx + rng.uniform(10, 24))) ** 2.5 + np.abs((y - cy) / (ry + rng.uniform(12, 26))) ** 2.5) ** 0.4
    patches = ndimage.gaussian_filter(rng.standard_normal(hu.shape), 2.5) * 8
    tissue = np.where(patches > rng.uniform(-0.5, 1.5), -100.0, 45.0)
    ring = np.where(r < 1, tissue, np.where(r < 1 + rng.uniform(0.02, 0.14), -100.0, -1000.0))
    out = ring.astype(np.float32) + rng.normal(0, 15, hu.shape).astype(np.float32)
    out[rows[0] : rows[1], columns[0] : columns[1]] = hu[rows[0] : rows[1], columns[0] : columns[1]]
    return out


def _semiseg_slice(root: Path, number: int, rng: np.random.Generator, fill: float, air: float, tissue: float) -> Slice:
    grey = np.asarray(Image.open(root / "images" / f"{number}.jpg").convert("L")).T
    mask = np.ascontiguousarray(np.asarray(Image.open(root / "multiclass_mask" / f"{number}.png")).T)
    hu = to_hu(grey.astype(np.float32), air, tissue)
    lungs = split_sides(_semiseg_lungs(hu, mask > 0), grey.shape[1] / 2)
    scale = fill * SIZE / max(grey.shape)
    shape = (int(grey.shape[0] * scale), int(grey.shape[1] * scale))
    top, left = (SIZE - shape[0]) // 2, (SIZE - shape[1]) // 2
    where = (slice(top, top + shape[0]), slice(left, left + shape[1]))
    canvas = np.zeros((SIZE, SIZE), np.float32)
    labels = [np.zeros((SIZE, SIZE), np.uint8) for _ in range(2)]
    canvas[where] = _resize(hu, shape, nearest=False)
    labels[0][where] = _resize(lungs, shape, nearest=True)
    labels[1][where] = _resize(mask.astype(np.uint8), shape, nearest=True)
    framed = _frame(canvas, (top, top + shape[0]), (left, left + shape[1]), rng)
    return Slice(framed, labels[0], labels[1], 300.0 / shape[1])


def semiseg_numbers(data: Path) -> list[int]:
    """File numbers of the annotated slices, ascending."""
    return sorted(int(p.stem) for p in (data / "chest_ct" / "covid_semiseg" / "train" / "images").glob("*.jpg"))


def _likeness(root: Path, first: int, second: int) -> float:
    a, b = (
        np.asarray(Image.open(root / "images" / f"{n}.jpg").convert("L").resize((64, 64)), float).ravel() for n in (first, second)
    )
    return float(np.corrcoef(a, b)[0, 1])


def trained_numbers(data: Path) -> list[int]:
    """Annotated slices to train on: not the last TEST_SLICES, and none that nearly equals one of those."""
    root = data / "chest_ct" / "covid_semiseg" / "train"
    numbers = semiseg_numbers(data)
    held_out = numbers[-TEST_SLICES:]
    return [n for n in numbers[:-TEST_SLICES] if max(_likeness(root, n, t) for t in held_out) <= 0.9]


def for_choices(name: str) -> bool:
    """Is this a slice of the training part that choices are made with?"""
    parts = name.split("-")
    return parts[0] == "semiseg" and int(parts[1]) in CHOICE_SLICES


def semiseg(data: Path, held_out: bool, variants: int = 1) -> Iterator[tuple[str, Slice]]:
    """The annotated slices held out, always the same, or those to train on, each ``variants`` times with other grey levels."""
    if held_out:
        yield from semiseg_read(data, semiseg_numbers(data)[-TEST_SLICES:], *READINGS["as read"])
        return
    root = data / "chest_ct" / "covid_semiseg" / "train"
    for n in trained_numbers(data):
        for k in range(variants):
            rng = np.random.default_rng(1000 * n + k)
            fill, air, tissue = rng.uniform(0.55, 0.98), rng.uniform(-1000, -890), rng.uniform(0, 70)
            yield f"semiseg-{n}-{k}", _semiseg_slice(root, n, rng, fill, air, tissue)


def semiseg_read(data: Path, numbers: Sequence[int], air: float, tissue: float) -> Iterator[tuple[str, Slice]]:
    """Annotated slices whose darkest level is taken for ``air`` HU and whose commonest bright level for ``tissue``."""
    root = data / "chest_ct" / "covid_semiseg" / "train"
    for n in numbers:
        yield f"semiseg-{n}", _semiseg_slice(root, n, np.random.default_rng(n), 0.75, air, tissue)


def _axial(data: Path) -> dict[str, Path]:
    root = data / "chest_ct" / "tcia_covid19_nysbu_slices"
    return {path.relative_to(root).as_posix(): path for path in sorted(root.glob("*/axial/*.dcm"))}


def trained_ct(data: Path) -> list[str]:
    """Names of the CT slices to train on: not those of the test patients, and none without a trustworthy lung mask."""
    return [name for name in _axial(data) if not name.startswith((*TEST_PATIENTS, *UNUSED))]


def training(data: Path) -> Iterator[tuple[str, Slice]]:
    """Every real slice that may be trained on."""
    for name in trained_ct(data):
        yield "nysbu-" + name.replace("/axial/", "-").removesuffix(".dcm"), _nysbu_slice(_axial(data)[name], name)
    yield from semiseg(data, held_out=False, variants=3)
