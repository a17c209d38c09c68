"""Tiny real packages over images: graphs that find red spots (a detector) or a bright blob (a segmentation with two heads)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as op

from inference import golden, package
from tests.inference.small_package import code, dcmqi

DETECTOR_TOML = """
format = 1
id = "test-spots"
version = "1.0.0"
name = "Test spots"
manufacturer = "Test"
intended_use = "Tests."
regulatory_status = "Not a medical device"
disclaimer = "AI result, tests only"

[procedure]
value = "363679005"
scheme = "SCT"
meaning = "Imaging procedure"

[input]
kind = "images"
modality = ["GM", "SM", "OT", "XC"]
colour = "rgb"
min_rows = 16
min_columns = 16

[network]
file = "network.xml"
input = "image"
size = [64, 64]
way = "tiles"
scale = 1.0
overlap = 16

[[network.outputs]]
name = "centres"
kind = "centres"
classes = [1, 2]
[[network.outputs]]
name = "sizes"
kind = "sizes"

[[objects]]
from = "centres"
min_score = 0.5
min_distance = 4

[precision]
"""

BLOB_TOML = """
format = 1
id = "test-blob"
version = "1.0.0"
name = "Test blob"
manufacturer = "Test"
intended_use = "Tests."
regulatory_status = "Not a medical device"
disclaimer = "AI result, tests only"

[procedure]
value = "363679005"
scheme = "SCT"
meaning = "Imaging procedure"

[input]
kind = "images"
modality = ["US"]
view = "region"
min_rows = 16
min_columns = 16

[quality]
min_contrast = 2.0

[network]
file = "network.xml"
input = "image"
size = [64, 96]
way = "whole"

[[network.outputs]]
name = "nodule"
kind = "probability"
classes = [1]

[[objects]]
from = "nodule"
min_area = 12
fill_holes = true
keep_largest = 2

[crops]
file = "crops.xml"
input = "image"
size = 16
margin = 1.5
mask = true
[[crops.outputs]]
name = "composition"
values = ["cystic", "solid"]
[[crops.outputs]]
name = "risk"
values = ["benign", "suspicious"]

[frames]
together = true

[precision]
"""

SLIDE_TOML = DETECTOR_TOML.replace('kind = "images"', 'kind = "slide"\num_per_pixel = [0.1, 1.0]\nfield_mm2 = 0.01').replace(
    "scale = 1.0", "um_per_pixel = 0.5"
)

SPOT, CLUSTER = ("409822003", "SCT", "Bacteria"), ("414478003", "SCT", "Clump")
NODULE, THYROID = ("237495005", "SCT", "Thyroid nodule"), ("69748006", "SCT", "Thyroid")
ABSENT, PRESENT = ("272519000", "SCT", "Absent"), ("52101004", "SCT", "Present")


def private(value: str, meaning: str) -> dict[str, str]:
    return code((value, "99TEST", meaning))


def segment(number: int, label: str, kind: tuple[str, str, str]) -> dict[str, Any]:
    return {
        "labelID": number,
        "SegmentLabel": label,
        "SegmentedPropertyCategoryCodeSequence": dcmqi(("49755003", "SCT", "Morphologically Abnormal Structure")),
        "SegmentedPropertyTypeCodeSequence": dcmqi(kind),
        "recommendedDisplayRGBValue": [255, 100 * number % 256, 0],
    }


SPOTS = {"segmentAttributes": [[segment(1, "Bacillus", SPOT), segment(2, "Cluster", CLUSTER)]]}
BLOB = {"segmentAttributes": [[segment(1, "Nodule", NODULE)]]}

SPOTS_REPORT: dict[str, Any] = {
    "quantities": {
        "bacilli": {"measure": "Count", "classes": [1, 2], "per_area": {"2": 100.0}},
        "per100": {"measure": "CountPerField", "classes": [1, 2], "per": 100},
        "fields": {"measure": "FieldsExamined"},
        "best": {"measure": "MaxScore", "classes": [1]},
        "grade": {
            "measure": "GradeTable",
            "quantity": "per100",
            "bands": [
                {"at_least": 0, "value": private("neg", "No bacilli"), "min_fields": 100},
                {"above": 0, "value": private("scanty", "Scanty")},
                {"at_least": 10, "value": private("1plus", "1+")},
                {"at_least": 100, "value": private("2plus", "2+")},
            ],
        },
    },
    "positive": [{"quantity": "bacilli", "at_least": 1}],
    "summary": {
        "positive": "{bacilli} bacilli in {fields} fields: {grade}.",
        "negative": "No bacilli in {fields} fields.",
    },
    "findings": [
        {
            "name": "bacillus",
            "when": "positive",
            "classes": [1],
            "finding": code(SPOT),
            "max_findings": 3,
            "measurements": [{"object": "Score", "name": private("score", "Score")}, {"object": "LongAxis"}],
        }
    ],
    "marks": [{"name": "bacilli", "when": "positive", "classes": [1, 2]}],
    "statements": [
        {
            "name": "grade",
            "when": "always",
            "finding": code(SPOT),
            "measurements": [
                {"quantity": "bacilli", "name": private("count", "Bacilli counted")},
                {"quantity": "fields", "name": private("fields", "Fields examined")},
            ],
            "evaluations": [{"name": private("grade", "Smear grade"), "quantity": "grade"}],
        }
    ],
    "per_image": [
        {
            "name": "field",
            "when": "positive",
            "finding": code(SPOT),
            "order": "bacilli",
            "most": 2,
            "measurements": [{"quantity": "bacilli", "name": private("count", "Bacilli counted")}],
        }
    ],
    "key_images": {"caption": "{label}: {grade}", "crops": 4, "crop_side": 24},
}

BLOB_REPORT: dict[str, Any] = {
    "quantities": {
        "nodules": {"measure": "Count", "classes": [1]},
        "long_axis": {"measure": "LongAxis", "classes": [1]},
        "suspicious": {"measure": "Probability", "output": "risk", "value": "suspicious", "classes": [1]},
        "points": {
            "measure": "PointsTable",
            "classes": [1],
            "features": [
                {"feature": "composition", "points": {"solid": 2}},
                {"feature": "taller-than-wide", "points": {"yes": 3}},
            ],
            "levels": [
                {"at_least": 0, "value": private("tr1", "Level 1")},
                {"at_least": 2, "value": private("tr2", "Level 2")},
                {"at_least": 5, "value": private("tr4", "Level 4")},
            ],
        },
    },
    "positive": [{"quantity": "nodules", "at_least": 1}],
    "summary": {
        "positive": "{nodules} nodule, {long_axis:.1f} long, {points}.",
        "negative": "No nodule found.",
    },
    "findings": [
        {
            "name": "nodule",
            "when": "positive",
            "classes": [1],
            "finding": code(NODULE),
            "site": code(THYROID),
            "label": "Nodule {n}",
            "lines": True,
            "measurements": [
                {"object": "LongAxis"},
                {"object": "ShortAxis"},
                {"object": "Area"},
                {"object": "Probability", "feature": "risk", "value": "suspicious", "name": private("prob", "Suspicion")},
                {"object": "Points", "quantity": "points", "name": private("points", "Points")},
            ],
            "evaluations": [
                {
                    "name": private("composition", "Composition"),
                    "feature": "composition",
                    "values": {"cystic": private("cystic", "Cystic"), "solid": private("solid", "Solid")},
                },
                {"name": private("level", "Level"), "quantity": "points"},
            ],
        }
    ],
    "statements": [
        {
            "name": "absent",
            "when": "negative",
            "finding": code(NODULE),
            "evaluations": [{"name": code(NODULE), "value": code(ABSENT)}],
        },
        {
            "name": "risk",
            "when": "positive",
            "finding": code(NODULE),
            "measurements": [{"quantity": "suspicious", "name": private("prob", "Suspicion")}],
        },
    ],
    "key_images": {"caption": "{label}"},
}


def _input(rows: int, columns: int, channels: int = 3) -> tuple[Any, Any]:
    image = op.parameter([-1, rows, columns, channels], np.uint8, name="image")
    image.get_output_tensor(0).set_names({"image"})
    return image, op.multiply(op.convert(image, "f32"), op.constant(np.float32(1 / 255)))


def _model(image: Any, outputs: dict[str, Any]) -> ov.Model:
    results = []
    for name, node in outputs.items():
        result = op.result(node)
        node.output(0).get_tensor().set_names({name})
        results.append(result)
    return ov.Model(results, [image], "test")


def _channel(values: Any, index: int) -> Any:
    return op.slice(values, [index], [index + 1], [1], [3])


def _mean(values: Any, size: int) -> Any:
    """(N, H, W, 1) to the box mean, as (N, 1, H, W); nothing beyond the border."""
    moved = op.transpose(values, [0, 3, 1, 2])
    half = size // 2
    return op.avg_pool(moved, [1, 1], [half, half], [half, half], [size, size], False)


def detector(size: int = 64) -> ov.Model:
    """Peaks of redness: a red square of 5 pixels is class 1; a larger one (15) class 2. Sizes are 6 by 6 and 20 by 20."""
    image, values = _input(size, size)
    red = op.relu(op.subtract(_channel(values, 0), _channel(values, 1)))
    small, large = _mean(red, 5), _mean(red, 15)
    is_large = op.greater(large, op.constant(np.float32(0.5)))
    zero = op.constant(np.float32(0))
    one = op.select(op.greater(large, op.constant(np.float32(0.3))), zero, small)
    two = op.select(is_large, large, zero)
    heat = op.concat([one, two], 1)
    highest = op.max_pool(heat, [1, 1], [1, 1], [2, 2], [2, 2], [5, 5]).output(0)
    peaks = op.select(op.equal(heat, highest), heat, zero)
    side = op.select(is_large, op.constant(np.float32(20)), op.constant(np.float32(6)))
    return _model(image, {"centres": peaks, "sizes": op.concat([side, side], 1)})


def blob(rows: int = 64, columns: int = 96) -> ov.Model:
    """The probability of a nodule is the brightness, a little smoothed: (N, 1, rows / 2, columns / 2)."""
    image, values = _input(rows, columns)
    bright = _mean(_channel(values, 0), 3)
    return _model(image, {"nodule": op.avg_pool(bright, [2, 2], [0, 0], [0, 0], [2, 2], False)})


def heads(size: int = 16) -> ov.Model:
    """Composition by the mean brightness inside the mask, risk by the share of the mask."""
    image, values = _input(size, size, 4)
    mask = _channel(values, 3)
    inside = op.reduce_mean(op.multiply(_channel(values, 0), mask), [1, 2, 3], keep_dims=False)
    share = op.reduce_mean(mask, [1, 2, 3], keep_dims=False)
    mean = op.divide(inside, op.add(share, op.constant(np.float32(1e-6))))

    def two(value: Any) -> Any:
        column = op.unsqueeze(value, [1])
        return op.concat([op.subtract(op.constant(np.float32(1)), column), column], 1)

    return _model(image, {"composition": two(mean), "risk": two(share)})


def field(
    spots: list[tuple[int, int]], rows: int = 150, columns: int = 200, large: list[tuple[int, int]] | None = None
) -> np.ndarray:
    """A pale blue field with red squares of 5 pixels (and large ones of 15) around (column, row)."""
    image = np.full((rows, columns, 3), (200, 215, 230), np.uint8)
    for half, places in ((2, spots), (7, large or [])):
        for column, row in places:
            image[max(row - half, 0) : row + half + 1, max(column - half, 0) : column + half + 1] = (250, 20, 60)
    return image


def scan(ellipse: tuple[float, float, float, float] | None, rows: int = 128, columns: int = 192, seed: int = 1) -> np.ndarray:
    """A dark gray scan with a bright ellipse (column, row, half width, half height), uint8 (rows, columns, 3)."""
    rng = np.random.default_rng(seed)
    gray = rng.integers(20, 60, (rows, columns)).astype(np.uint8)
    if ellipse is not None:
        x, y, a, b = ellipse
        row, column = np.mgrid[:rows, :columns] + 0.5
        gray[((column - x) / a) ** 2 + ((row - y) / b) ** 2 < 1] = 220
    return np.repeat(gray[:, :, None], 3, axis=2)


def write(folder: Path, toml: str, segments: Any, report: Any, models: dict[str, ov.Model], cases: dict[str, Any]) -> Path:
    """An unsealed package folder."""
    (folder / "golden").mkdir(parents=True)
    (folder / "package.toml").write_text(toml)
    (folder / "segments.json").write_text(json.dumps(segments))
    (folder / "report.json").write_text(json.dumps(report))
    (folder / "MODEL_CARD.md").write_text("# Test\n")
    for name, model in models.items():
        ov.save_model(model, folder / name, compress_to_fp16=False)
    for name, arrays in cases.items():
        np.savez_compressed(folder / "golden" / f"{name}.npz", **arrays)
    return folder


def write_spots(folder: Path, toml: str = DETECTOR_TOML, report: Any = None) -> Path:
    cases = {"case-01": {"images": np.stack([field([(30, 40), (120, 90)]), field([], large=[(70, 70)])])}}
    return write(folder, toml, SPOTS, report or SPOTS_REPORT, {"network.xml": detector()}, cases)


def write_blob(folder: Path, toml: str = BLOB_TOML, report: Any = None) -> Path:
    images = np.stack([scan((90, 60, 30, 20))])
    cases = {"case-01": {"images": images, "mm_per_pixel": np.array([0.2, 0.2])}}
    return write(folder, toml, BLOB, report or BLOB_REPORT, {"network.xml": blob(), "crops.xml": heads()}, cases)


def sealed(folder: Path) -> Path:
    golden.record(folder)
    package.seal(folder)
    return folder


PATCH_TOML = (
    SLIDE_TOML[: SLIDE_TOML.index("[[network.outputs]]")]
    + '[[network.outputs]]\nname = "patch"\nkind = "scores"\nvalues = ["normal", "tumour"]\n\n[precision]\n'
)
PATCH_REPORT: dict[str, Any] = {
    "quantities": {
        name: {"measure": "Probability", "output": "patch", "value": "tumour", "over": over}
        for name, over in (("mean", "mean"), ("worst", "max"))
    },
    "positive": [{"quantity": "worst", "at_least": 0.5}],
    "summary": {"positive": "Tumour, {worst:.2f}.", "negative": "No tumour, {worst:.2f}."},
    "statements": [
        {
            "name": "tumour",
            "when": "always",
            "finding": code(CLUSTER),
            "measurements": [{"quantity": name, "name": private(name, name)} for name in ("mean", "worst")],
        }
    ],
    "key_images": {"caption": "{label}"},
}


def write_patches(folder: Path) -> Path:
    """A classifier of tiles: the probability of tumour is the mean redness."""
    image, values = _input(64, 64)
    red = op.relu(op.subtract(_channel(values, 0), _channel(values, 1)))
    mean = op.unsqueeze(op.reduce_mean(red, [1, 2, 3], keep_dims=False), [1])
    scores = op.concat([op.subtract(op.constant(np.float32(1)), mean), mean], 1)
    cases = {"case-01": {"images": field([(30, 30)], 100, 100)[np.newaxis]}}
    return write(folder, PATCH_TOML, SPOTS, PATCH_REPORT, {"network.xml": _model(image, {"patch": scores})}, cases)


def write_stains(folder: Path) -> Path:
    """Labels of tiles: 1 where it is red. The report tells what part of the slide that is."""
    image, values = _input(64, 64)
    red = op.greater(op.subtract(_channel(values, 0), _channel(values, 1)), op.constant(np.float32(0.5)))
    labels = op.squeeze(op.select(red, op.constant(np.uint8(1)), op.constant(np.uint8(0))), [3])
    toml = PATCH_TOML.replace(
        'name = "patch"\nkind = "scores"\nvalues = ["normal", "tumour"]', 'name = "red"\nkind = "labels"\nclasses = [1]'
    )
    report = {
        **PATCH_REPORT,
        "quantities": {"share": {"measure": "AreaFraction", "classes": [1]}},
        "positive": [{"quantity": "share", "at_least": 1.0}],
        "summary": {"positive": "{share:.1f} %", "negative": "None."},
        "statements": [
            {
                "name": "share",
                "when": "always",
                "finding": code(CLUSTER),
                "measurements": [{"quantity": "share", "name": private("share", "share")}],
            }
        ],
    }
    cases = {"case-01": {"images": field([], 100, 100, [(50, 50)])[np.newaxis]}}
    return write(folder, toml, SPOTS, report, {"network.xml": _model(image, {"red": labels})}, cases)


AREA_OUTPUT = '[[network.outputs]]\nname = "area"\nkind = "probability"\nclasses = [1]\n\n'
AREA_TOML = (
    SLIDE_TOML[: SLIDE_TOML.index("[[network.outputs]]")].replace("test-spots", "test-area") + AREA_OUTPUT + "[precision]\n"
)
SHAPES_TOML = AREA_TOML.replace("[precision]", '[[objects]]\nfrom = "area"\nmin_area = 300\n\n[precision]')
AREA: dict[str, Any] = {"segmentAttributes": [[segment(1, "Tumour", ("108369006", "SCT", "Neoplasm"))]]}
AREA_REPORT: dict[str, Any] = {
    "quantities": {"share": {"measure": "AreaFraction", "classes": [1]}},
    "positive": [{"quantity": "share", "at_least": 1.0}],
    "summary": {"positive": "Tumour covers {share:.1f} %.", "negative": "No tumour, {share:.1f} %."},
    "statements": [
        {
            "name": "share",
            "when": "always",
            "finding": code(("108369006", "SCT", "Neoplasm")),
            "measurements": [{"quantity": "share", "name": private("share", "Share of tumour")}],
        }
    ],
    "key_images": {"caption": "{label}"},
}


def redness(size: int = 64) -> ov.Model:
    """The probability is how much redder than green a block of two by two pixels is."""
    image, values = _input(size, size)
    red = op.relu(op.subtract(_channel(values, 0), _channel(values, 1)))
    return _model(image, {"area": op.avg_pool(op.transpose(red, [0, 3, 1, 2]), [2, 2], [0, 0], [0, 0], [2, 2], False)})


def tissue_of(rows: int, columns: int, box: tuple[int, int, int, int] | None) -> np.ndarray:
    """A pale blue slide with a red ellipse in a box (left, top, columns, rows)."""
    image = np.full((rows, columns, 3), (200, 215, 230), np.uint8)
    if box is not None:
        y, x = np.mgrid[:rows, :columns]
        left, top, wide, high = box
        inside = ((x - left - wide / 2) / (wide / 2)) ** 2 + ((y - top - high / 2) / (high / 2)) ** 2 < 1
        image[inside] = (250, 20, 60)
    return image


def write_area(folder: Path, toml: str = AREA_TOML, least: float = 1.0) -> Path:
    """A segmentation of slides: red is tumour; positive from ``least`` per cent on."""
    cases = {"case-01": {"images": tissue_of(100, 120, (20, 20, 60, 50))[np.newaxis]}}
    report = AREA_REPORT | {"positive": [{"quantity": "share", "at_least": least}]}
    return write(folder, toml, AREA, report, {"network.xml": redness()}, cases)
