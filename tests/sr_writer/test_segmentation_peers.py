"""Segmentations and maps of every kind of image are read by software that is not ours, without an error, voxel for voxel."""

import sys
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest

from domain.results import Field, Labels
from sr_writer.results import documents
from tests.sr_writer import cases, colour_cases, grids
from tests.sr_writer.reading import saved
from tests.sr_writer.test_peers import complaints, nrrd, run

pytestmark = pytest.mark.peer

OBLIQUE = (0.8, 0.6, 0.0, -0.48, 0.64, 0.6)
HEAT = cases.Code("130402", "DCM", "Class activation")
# dicom3tools 2022 is older than these values and this module; the frame type is QUANTITY in PS3.3 C.8.16.1.4.
NEWER = ("QUANTITY",)


def many(count: int, images: list, frames: tuple[int, ...] = (), outputs: tuple[str, ...] = ("seg",)) -> cases.Case:
    """So many small segments, each in two planes; probabilities and a map where they are asked for."""
    rows, columns = int(images[0].Rows), int(images[0].Columns)
    planes = len(frames) or len(images)
    layers = np.zeros((1, planes, rows, columns), np.uint8)
    for number in range(count):
        row, column = divmod(number * 4, columns - 3)
        for plane in (number % (planes - 1), number % (planes - 1) + 1):
            layers[0, plane, row * 3 : row * 3 + 3, column : column + 3] = number + 1
    uids = (str(images[0].SOPInstanceUID),) * planes if frames else tuple(str(image.SOPInstanceUID) for image in images)
    chance = (layers[0] == 1) * np.float32(0.7)
    fields = (
        Field(grids.PROBABILITY, grids.UNIT, chance, uids, frames, 1),
        Field(HEAT, grids.UNIT, chance * 9 - 1, uids, frames),
    )
    return grids.case(images, Labels(layers, uids, frames), fields, outputs=outputs)


def slide() -> cases.Case:
    (image,) = grids.slide()
    layers = np.zeros((1, 1, 80, 112), np.uint8)
    layers[0, 0, 10:70, 20:100] = 1
    return grids.case([image], Labels(layers, (str(image.SOPInstanceUID),)), outputs=("seg",))


def reduced() -> cases.Case:
    """Maps of a slide with pixels four times as large as those of the level they come from, which they reach beyond."""
    (image,) = grids.slide(rows=318, columns=447)
    layers, uid = np.zeros((1, 1, 80, 112), np.uint8), str(image.SOPInstanceUID)
    layers[0, 0, 10:70, 20:112] = 1
    chance = Field(grids.PROBABILITY, grids.UNIT, layers[0] * np.float32(0.6), (uid,), segment=1, reduced=4)
    heat = replace(chance, name=HEAT, segment=0)
    return grids.case([image], Labels(layers, (uid,), reduced=4), (chance, heat), outputs=("seg", "fractional", "pm"))


ALL = ("seg", "labelmap", "fractional", "pm")
CASES = {
    "one": many(1, grids.series(4, 64, 64), outputs=ALL),
    "five": many(5, grids.series(4, 64, 64)),
    "fifty": many(50, grids.series(6, 64, 64)),
    "hundred and four": many(104, grids.series(8, 64, 64)),
    "oblique": many(5, grids.series(5, 64, 64, orientation=OBLIQUE)),
    "frames": many(5, grids.enhanced(6, 64, 64), (2, 3, 4, 6), ALL),
    "loop": colour_cases.without_pixels(colour_cases.loop(outputs=("seg",))),
    "stills": many(2, grids.stills(2, 32, 32)),
    "slide": slide(),
    "reduced": reduced(),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    folder = tmp_path_factory.mktemp("segmentations")
    written = {}
    for name, case in CASES.items():
        for document in documents(*case.arguments):
            written[name, document.role] = folder / f"{name.replace(' ', '-')}-{document.role}.dcm"
            written[name, document.role].write_bytes(saved(document))
    return written


def test_dciodvfy_finds_no_error_in_any_of_them(files: dict[tuple[str, str], Path]) -> None:
    known = {key: path for key, path in files.items() if key[1] != "labelmap"}  # newer than this dicom3tools
    found = {key: complaints(run("dciodvfy", path), "Error", "Warning", "Abort") for key, path in known.items()}
    wrong = {key: [line for line in lines if not any(each in line for each in NEWER)] for key, lines in found.items()}
    assert {key: lines for key, lines in wrong.items() if lines} == {}


@pytest.mark.parametrize("name", ["one", "five", "fifty", "hundred and four", "oblique"])
def test_dcmqi_reads_every_voxel_back(name: str, files: dict[tuple[str, str], Path], tmp_path: Path) -> None:
    labels = CASES[name].analysis.labels
    assert labels is not None
    tool = Path(sys.executable).parent / "segimage2itkimage"
    for role in ("seg", "labelmap") if (name, "labelmap") in files else ("seg",):
        (tmp_path / role).mkdir()
        output = run(tool, "--inputDICOM", files[name, role], "--outputDirectory", tmp_path / role, "--outputType", "nrrd")
        assert "ERROR" not in output.upper(), output
        counted = {number: int((labels.layers == number).sum()) for number in range(1, int(labels.layers.max()) + 1)}
        found = [nrrd(path) for path in sorted((tmp_path / role).glob("*.nrrd"))]
        assert {number: sum(int((each == number).sum()) for each in found) for number in counted} == counted


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("loop", "stills", "slide", "reduced", "frames")])
def test_highdicom_reads_every_voxel_back_by_source_image(name: str, files: dict[tuple[str, str], Path]) -> None:
    labels = CASES[name].analysis.labels
    assert labels is not None
    seg = hd.seg.segread(files[name, "seg"])
    array = seg.get_pixels_by_source_instance(
        labels.sop_instance_uids, combine_segments=True, assert_missing_frames_are_empty=True
    )
    np.testing.assert_array_equal(array, labels.layers[0])


def test_highdicom_reads_every_voxel_back_by_source_frame(files: dict[tuple[str, str], Path]) -> None:
    labels = CASES["frames"].analysis.labels
    assert labels is not None
    seg = hd.seg.segread(files["frames", "seg"])
    array = seg.get_pixels_by_source_frame(
        labels.sop_instance_uids[0], labels.frames, combine_segments=True, assert_missing_frames_are_empty=True
    )
    np.testing.assert_array_equal(array, labels.layers[0])


@pytest.mark.parametrize("name", ["slide", "reduced"])
def test_highdicom_reads_the_total_pixel_matrix_of_a_slide(name: str, files: dict[tuple[str, str], Path]) -> None:
    labels = CASES[name].analysis.labels
    assert labels is not None
    matrix = hd.seg.segread(files[name, "seg"]).get_total_pixel_matrix(combine_segments=True)
    np.testing.assert_array_equal(matrix, labels.layers[0, 0])


@pytest.mark.parametrize("role", ["seg", "fractional", "pm", "pm-2"])
def test_a_reduced_map_has_its_own_spacing_from_the_origin_of_its_level_on(role: str, files: dict[tuple[str, str], Path]) -> None:
    level, ds = CASES["reduced"].headers[0], hd.imread(files["reduced", role])
    assert (ds.TotalPixelMatrixRows, ds.TotalPixelMatrixColumns) == (80, 112)
    assert ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing == [0.008, 0.008]
    assert level.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing == [0.002, 0.002]
    origin = ds.TotalPixelMatrixOriginSequence[0]
    assert (origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem) == (20, 40)
    assert ds.ImageOrientationSlide == [0, -1, 0, -1, 0, 0] and ds.FrameOfReferenceUID == level.FrameOfReferenceUID
    for frame in ds.PerFrameFunctionalGroupsSequence:
        place = frame.PlanePositionSlideSequence[0]
        assert place.XOffsetInSlideCoordinateSystem == pytest.approx(20 - (place.RowPositionInTotalImagePixelMatrix - 1) * 0.008)
    named = ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert [item.ReferencedSOPInstanceUID for item in named] == [level.SOPInstanceUID]


@pytest.mark.parametrize("name", ["one", "frames"])
def test_values_of_a_map_come_back_in_highdicom_and_dcmqi(name: str, files: dict[tuple[str, str], Path], tmp_path: Path) -> None:
    field = CASES[name].analysis.fields[1]
    image = hd.imread(files[name, "pm-2"])
    np.testing.assert_allclose(
        np.sort(image.get_frames(apply_real_world_transform=True), axis=None), np.sort(field.values, axis=None)
    )
    tool = Path(sys.executable).parent / "paramap2itkimage"
    output = run(tool, "--inputDICOM", files[name, "pm-2"], "--outputDirectory", tmp_path)
    assert "ERROR" not in output.upper(), output
