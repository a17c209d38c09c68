"""What the writers of results are measured with: a CT of 600 slices, masks of any number of segments, thousands of findings."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from domain.results import Labels, Outline
from tests.ct_series import part10
from tests.sr_writer import cases, grids

SHAPE = (600, 512, 512)  # slices, rows, columns
SPACING = (1.0, 0.7, 0.7)  # mm


def headers() -> list[Dataset]:
    """Of a CT of 600 slices, without pixels."""
    return grids.series(*SHAPE, spacing=SPACING)


def masks(segments: int) -> npt.NDArray[np.uint8]:
    """Ellipsoids, one for each segment, of half the height of the volume for one, of a sixth of it for a hundred."""
    rng = np.random.default_rng(segments)
    volume = np.zeros(SHAPE, np.uint8)
    half = 150 if segments == 1 else 52
    radius = 150 if segments == 1 else 34
    for number in range(1, segments + 1):
        centre = (
            [300, 256, 256] if segments == 1 else [int(rng.integers(half, 600 - half)), *rng.integers(radius, 512 - radius, 2)]
        )
        across = np.arange(-radius, radius + 1) / radius
        rows, columns = (slice(c - radius, c + radius + 1) for c in centre[1:])
        for z in range(-half + 1, half):  # plane by plane, so that the largest memory is that of the writer
            disc = across[:, None] ** 2 + across[None] ** 2 <= 1 - (z / half) ** 2
            volume[centre[0] + z, rows, columns][disc] = number
    return volume


def case(segments: int, images: list[Dataset], output: str) -> cases.Case:
    """The masks as an answer of a model."""
    uids = tuple(str(image.SOPInstanceUID) for image in images)
    return grids.case(images, Labels(masks(segments)[None], uids), outputs=(output,))


def report_case(count: int) -> cases.Case:
    """A report of so many outlined findings of three numbers each, on twenty images."""
    made = cases.positive(cases.Series(slices=20), numbers=(3,), outputs=("sr",))
    model = made.analysis.findings[0]
    rng = np.random.default_rng(count)
    found = []
    for number in range(count):
        angles = np.sort(rng.random(12)) * 2 * np.pi
        points = 30 + 20 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        outline = Outline(str(made.headers[number % 20].SOPInstanceUID), points)
        found.append(replace(model, tracking_id=f"bench/finding/{number}", segment=None, outline=outline))
    return replace(made, analysis=replace(made.analysis, findings=tuple(found)))


def for_dcmqi(segments: int, folder: Path) -> tuple[Path, Path]:
    """The same masks as an NRRD file and their description, as dcmqi takes them."""
    image, described = folder / f"masks{segments}.nrrd", folder / f"masks{segments}.json"
    origin = np.array([-160.0, -160.0, 0.0])
    head = (
        "NRRD0004\ntype: unsigned char\ndimension: 3\nspace: left-posterior-superior\n"
        f"sizes: {SHAPE[2]} {SHAPE[1]} {SHAPE[0]}\n"
        f"space directions: ({SPACING[2]},0,0) (0,{SPACING[1]},0) (0,0,{SPACING[0]})\nkinds: domain domain domain\n"
        f"endian: little\nencoding: raw\nspace origin: ({origin[0]},{origin[1]},{origin[2]})\n\n"
    )
    with image.open("wb") as stream:
        stream.write(head.encode())
        stream.write(masks(segments).tobytes())
    described.write_text(json.dumps(_described(segments)))
    return image, described


def _described(segments: int) -> dict[str, object]:
    def code(value: str, meaning: str) -> dict[str, str]:
        return {"CodeValue": value, "CodingSchemeDesignator": "SCT", "CodeMeaning": meaning}

    attributes = [
        {
            "labelID": number,
            "SegmentDescription": f"Part {number}",
            "SegmentLabel": f"Part {number}",
            "SegmentAlgorithmType": "AUTOMATIC",
            "SegmentAlgorithmName": "bench",
            "SegmentedPropertyCategoryCodeSequence": code("123037004", "Anatomical Structure"),
            "SegmentedPropertyTypeCodeSequence": code("39607008", "Lung"),
            "recommendedDisplayRGBValue": [number, 100, 200],
        }
        for number in range(1, segments + 1)
    ]
    return {
        "@schema": "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/schemas/seg-schema.json#",
        "ContentCreatorName": "bench",
        "SeriesDescription": "Segmentation",
        "SeriesNumber": "300",
        "InstanceNumber": "1",
        "BodyPartExamined": "CHEST",
        "segmentAttributes": [attributes],
    }


def images_as_files(folder: Path) -> Path:
    """The CT as files, for programs that read them."""
    folder.mkdir()
    for number, image in enumerate(headers()):
        image.PixelData = bytes(2)  # dcmqi wants some and reads none
        image["PixelData"].VR = "OW"
        (folder / f"{number:03}.dcm").write_bytes(part10(image))
    return folder
