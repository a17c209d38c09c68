"""A tiny real model package for tests: a graph of thresholds that finds lungs by column half and opacities by HU band."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as op

from inference import golden, package

TOML = """
format = 1
id = "test-lungs"
version = "1.2.3"
name = "Test lungs"
manufacturer = "Test"
intended_use = "Tests."
regulatory_status = "Not a medical device"
disclaimer = "AI result, tests only"

[procedure]
value = "24627-2"
scheme = "LN"
meaning = "CT Chest"

[input]
modality = "CT"
orientation = "axial"
orientation_tolerance_deg = 20.0
min_slices = 4
slice_spacing_mm = [0.4, 7.5]
max_missing_slices = 2
pixel_spacing_mm = [0.3, 6.0]
units = "HU"
min_rows = 8
min_columns = 8

[network]
file = "network.xml"
input = "hu"
size = [64, 64]
layout = "NCHW"
value = "HU"
channels_mm = [-5.0, 0.0, 5.0]

[[network.outputs]]
name = "lungs"
labels = [1, 2]
[[network.outputs]]
name = "opacity"
labels = [3, 4]

[[preprocessing]]
step = "Resize"
mode = "area"

[[postprocessing]]
step = "KeepLargestConnectedComponent"
segments = [1, 2]
[[postprocessing]]
step = "FillHoles"
segments = [1, 2]
[[postprocessing]]
step = "RestrictTo"
segments = [3, 4]
to = [1, 2]
closing_mm = 10.0
extend = true
[[postprocessing]]
step = "RemoveSmallObjects"
segments = [3, 4]
min_volume_ml = 1.0
together = true

[precision]
volume_percent = 2.0
volume_ml = 1.0
dice = 0.98
quantity_percent = 3.0
quantity_absolute = 0.5
"""

LEFT, RIGHT = ("7771000", "SCT", "Left"), ("24028007", "SCT", "Right")
LUNG, GLASS = ("39607008", "SCT", "Lung"), ("112120", "DCM", "Ground glass opacity")
DENSE, OPACITY = ("95436008", "SCT", "Lung consolidation"), ("112033", "DCM", "Abnormal opacity")


def code(triple: tuple[str, str, str]) -> dict[str, str]:
    return dict(zip(("value", "scheme", "meaning"), triple, strict=True))


def dcmqi(triple: tuple[str, str, str]) -> dict[str, str]:
    return dict(zip(("CodeValue", "CodingSchemeDesignator", "CodeMeaning"), triple, strict=True))


def segment(number: int, label: str, kind: tuple[str, str, str], side: tuple[str, str, str] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "labelID": number,
        "SegmentLabel": label,
        "SegmentedPropertyCategoryCodeSequence": dcmqi(("91723000", "SCT", "Anatomical Structure")),
        "SegmentedPropertyTypeCodeSequence": dcmqi(kind),
        "recommendedDisplayRGBValue": [50 * number, 100, 200],
    }
    if side:
        found["SegmentedPropertyTypeModifierCodeSequence"] = dcmqi(side)
    return found


SEGMENTS: dict[str, Any] = {
    "segmentAttributes": [
        [segment(1, "Left lung", LUNG, LEFT), segment(2, "Right lung", LUNG, RIGHT)],
        [segment(3, "Ground-glass opacity", GLASS), segment(4, "Consolidation", DENSE)],
    ]
}

REPORT: dict[str, Any] = {
    "quantities": {
        "lung_volume": {"measure": "Volume", "segments": [1, 2]},
        "left_volume": {"measure": "Volume", "segments": [1]},
        "right_volume": {"measure": "Volume", "segments": [2]},
        "left_mean": {"measure": "Mean", "segments": [1]},
        "ggo_volume": {"measure": "Volume", "segments": [3]},
        "ggo_mean": {"measure": "Mean", "segments": [3]},
        "lesion_volume": {"measure": "Volume", "segments": [3, 4]},
        "affected": {"measure": "PercentAffected", "lesions": [3, 4], "organs": [1, 2]},
        "severity": {
            "measure": "ZonalSeverity",
            "lesions": [3, 4],
            "organs": [1, 2],
            "zones": 3,
            "bands_percent": [25, 50, 75],
        },
    },
    "positive": [{"quantity": "lesion_volume", "at_least": 2.0}],
    "require": [{"quantity": "lung_volume", "at_least": 1.0, "words": "The lungs were not found."}],
    "summary": {
        "positive": "Opacities in {affected:.1f} % of the lungs, score {severity}.",
        "negative": "No opacity found. Lung volume {lung_volume} ml.",
    },
    "findings": [
        {
            "name": "left-lung",
            "when": "always",
            "segment": 1,
            "finding": code(LUNG),
            "laterality": code(LEFT),
            "measurements": [{"quantity": "left_volume"}, {"quantity": "left_mean"}],
        },
        {
            "name": "right-lung",
            "when": "always",
            "segment": 2,
            "finding": code(LUNG),
            "laterality": code(RIGHT),
            "measurements": [{"quantity": "right_volume"}],
        },
        {
            "name": "ground-glass-opacity",
            "when": "positive",
            "segment": 3,
            "finding": code(GLASS),
            "site": code(LUNG),
            "outline": True,
            "measurements": [{"quantity": "ggo_volume"}, {"quantity": "ggo_mean"}],
        },
        {
            "name": "consolidation",
            "when": "positive",
            "segment": 4,
            "finding": code(DENSE),
            "site": code(LUNG),
            "outline": True,
        },
    ],
    "statements": [
        {
            "name": "extent",
            "when": "positive",
            "finding": code(OPACITY),
            "measurements": [
                {"quantity": "affected", "name": code(("affected-lung", "99TEST", "Percentage of lung affected"))},
                {"quantity": "severity", "name": code(("ct-severity", "99TEST", "CT severity score"))},
            ],
        },
        {
            "name": "negative",
            "when": "negative",
            "finding": code(OPACITY),
            "evaluations": [{"name": code(OPACITY), "value": code(("272519000", "SCT", "Absent"))}],
            "measurements": [{"quantity": "lung_volume"}],
        },
    ],
    "key_images": {"window": [-600, 1500], "caption": "{label}, {affected:.1f} %"},
}


def graph(size: int = 64) -> ov.Model:
    """Lungs: below -500 HU and at least -990, or an opacity; left (1) is the right half of the picture. Opacity: -700 to -500
    is ground glass, 90 to 110 is consolidation. Only the middle channel counts."""
    hu = op.parameter([-1, 3, size, size], np.float32, name="hu")
    hu.get_output_tensor(0).set_names({"hu"})
    middle = op.squeeze(op.slice(hu, [1], [2], [1], [1]), [1])

    def between(low: float, high: float) -> Any:
        above = op.greater_equal(middle, op.constant(np.float32(low)))
        return op.logical_and(above, op.less(middle, op.constant(np.float32(high))))

    glass, dense = between(-700, -500), between(90, 110)
    lung = op.logical_or(between(-990, -500), dense)
    side = op.constant(np.where(np.arange(size) >= size // 2, 1, 2).astype(np.uint8).reshape(1, 1, size))
    zero, one, two = (op.constant(np.uint8(v)) for v in (0, 1, 2))
    lungs = op.select(lung, side, zero)
    opacity = op.select(glass, one, op.select(dense, two, zero))
    outputs = []
    for name, node in (("lungs", lungs), ("opacity", opacity)):
        result = op.result(node)
        node.output(0).get_tensor().set_names({name})
        outputs.append(result)
    return ov.Model(outputs, [hu], "test")


def chest(slices: int = 12, size: int = 64, lesion: int | None = -600) -> np.ndarray:
    """A body with two lungs (int16, slices, rows, columns), and a box of ``lesion`` HU in the lung at the picture's right."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (slices, size, size)), indexing="ij")
    hu = np.full(z.shape, -1000, np.int16)
    hu[(x / 0.85) ** 2 + (y / 0.6) ** 2 < 1] = 40
    for side in (-1, 1):
        hu[((x - side * 0.4) / 0.28) ** 2 + (y / 0.42) ** 2 + (z / 0.95) ** 2 < 1] = -850
    if lesion is not None:
        hu[slices // 2 : slices // 2 + 2, size // 2 - 4 : size // 2 + 4, int(size * 0.66) : int(size * 0.66) + 6] = lesion
    return hu


def write(folder: Path, toml: str = TOML, segments: Any = None, report: Any = None, model: ov.Model | None = None) -> Path:
    """An unsealed package folder with one golden case."""
    (folder / "golden").mkdir(parents=True)
    (folder / "package.toml").write_text(toml)
    (folder / "segments.json").write_text(json.dumps(segments or SEGMENTS))
    (folder / "report.json").write_text(json.dumps(report or REPORT))
    (folder / "MODEL_CARD.md").write_text("# Test\n")
    ov.save_model(model or graph(), folder / "network.xml", compress_to_fp16=False)
    np.savez_compressed(folder / "golden" / "case-01.npz", hu=chest(), spacing=np.array([5.0, 5.0, 5.0]))
    return folder


def build(folder: Path, **changes: Any) -> Path:
    """A sealed package folder."""
    write(folder, **changes)
    golden.record(folder)
    package.seal(folder)
    return folder
