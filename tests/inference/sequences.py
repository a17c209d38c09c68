"""Studies of several sequences, each of which shows another sphere on its own grid, and the package that sees them together."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import openvino as ov
import openvino.opset13 as op
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from inference import golden, package
from tests.inference import small_package
from tests.inference.spheres import CENTRE, OUTSIDE, RADIUS, Ball, Vector, turned
from tests.inference.test_geometry import REPORT
from tests.inference.windows.test_windows import BEHIND, HEAD, INFERER

CHANNELS = """
[[input.channels]]
name = "T1"
[[input.channels.any_of]]
description = ["*t1*"]
description_excludes = ["*gd*", "*flair*"]
[[input.channels]]
name = "T1 with contrast"
min_coverage = 0.5
[[input.channels.any_of]]
description = ["*t1*gd*"]
contrast = true
[[input.channels.any_of]]
contrast = true
echo_time_ms = [0, 30]
[[input.channels]]
name = "FLAIR"
min_coverage = 0.5
[[input.channels.any_of]]
description = ["*flair*"]
[[input.channels.any_of]]
inversion_time_ms = [1500, 3500]
scanning_sequence = ["IR"]
"""
NETWORK = """
[network]
file = "network.xml"
input = "image"
layout = "NCDHW"
value = "arbitrary"
[[network.outputs]]
name = "scores"
labels = [1, 2, 3]
"""
STEPS = """
[[preprocessing]]
step = "Orientation"
axcodes = "RAS"
[[preprocessing]]
step = "Spacing"
pixdim = [2.0, 2.0, 2.0]
[[preprocessing]]
step = "ScaleIntensityRange"
channels = ["T1", "T1 with contrast"]
a_min = 0
a_max = 1060
b_min = 0.0
b_max = 1.0
[[preprocessing]]
step = "ScaleIntensityRange"
channels = ["FLAIR"]
a_min = 0
a_max = 2120
b_min = 0.0
b_max = 1.0
[[postprocessing]]
step = "AsDiscrete"
threshold = 0.5
"""
SEGMENTS = {
    "segmentAttributes": [[small_package.segment(n, f"Sphere {n}", ("123037004", "SCT", "Body structure"))] for n in (1, 2, 3)]
}
TOML = (
    HEAD.replace('modality = "CT"', 'modality = "MR"').replace('units = "HU"', 'units = "arbitrary"')
    + CHANNELS
    + NETWORK
    + INFERER
    + STEPS
    + BEHIND
)


@dataclass
class Sequence(Ball):
    """``middle`` is what the grid lies around; the sphere is at ``centre``. ``series`` names the series."""

    modality: str = "MR"
    series: str = "t1"
    middle: Vector = field(default_factory=lambda: CENTRE)
    frame: str = "frame"

    def positions(self) -> Vector:
        return super().positions() + (self.middle - self.centre)

    def values(self) -> npt.NDArray[np.int16]:
        """As of any ball, ``scale`` times as bright."""
        return np.asarray(OUTSIDE + (super().values() - OUTSIDE) * self.scale, np.int16)

    def common(self, name: str) -> Dataset:
        ds = super().common(name)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[self.series, name])
        ds.SeriesInstanceUID = generate_uid(entropy_srcs=[self.series])
        ds.FrameOfReferenceUID = generate_uid(entropy_srcs=[self.frame])
        ds.StudyDate, ds.StudyTime, ds.AccessionNumber, ds.ReferringPhysicianName, ds.StudyID = "20260101", "1015", "A1", "", "1"
        ds.Manufacturer, ds.BodyPartExamined, ds.PatientPosition, ds.PositionReferenceIndicator = "Synthetic", "BRAIN", "HFS", ""
        ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = "SE", "NONE", "", "2D"
        ds.RepetitionTime, ds.EchoTime, ds.EchoTrainLength, ds.SliceThickness = "500", "10", "1", str(self.spacing[0])
        ds.SeriesNumber = 1
        return ds


def study(frame: str = "frame") -> dict[str, Sequence]:
    """T1 axial, T1 with contrast sagittal, FLAIR oblique with thicker slices, each with its own sphere and brightness."""
    x, y, z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, -1.0)
    contrast = {"SeriesDescription": "Sag T1 +Gd", "SeriesNumber": 5, "ContrastBolusAgent": "Gadobutrol"}
    flair = {"SeriesDescription": "Ax FLAIR", "SeriesNumber": 7, "EchoTime": "100", "InversionTime": "2500"}
    return {
        "T1": Sequence(tags={"SeriesDescription": "Ax T1 SE", "SeriesNumber": 3}),
        "T1 with contrast": Sequence(
            series="t1gd",
            orientation=y + z,
            shape=(50, 72, 72),
            centre=CENTRE + np.array([6, -5, 4]),
            tags=contrast,
        ),
        "FLAIR": Sequence(
            series="flair",
            orientation=turned(x, y, (0, 12.0), (2, 7.0)),
            spacing=(4.0, 1.3, 1.3),
            shape=(34, 100, 100),
            centre=CENTRE + np.array([-7, 3, -6]),
            scale=2.0,
            tags=flair,
            frame=frame,
        ),
    }


def scores(shape: tuple[int, ...], channels: int = 3) -> ov.Model:
    """Each channel is the score of a segment."""
    image = op.parameter([-1, channels, *shape], np.float32, name="image")
    image.get_output_tensor(0).set_names({"image"})
    same = op.add(image, op.constant(np.float32(0)))
    same.output(0).get_tensor().set_names({"scores"})
    return ov.Model([op.result(same)], [image], "channels")


def sphere(grid: tuple[int, int, int], spacing: float, centre: Vector) -> npt.NDArray[np.float32]:
    axes = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * spacing for n in grid), indexing="ij")
    far = np.sqrt(sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True)))
    return np.clip((RADIUS - far) / spacing + 0.5, 0, 1).astype(np.float32) * 1060


def convolved(shape: tuple[int, ...], channels: int = 3) -> ov.Model:
    """The same by a convolution that passes each channel on, so that there is something to quantise."""
    image = op.parameter([-1, channels, *shape], np.float32, name="image")
    image.get_output_tensor(0).set_names({"image"})
    one = (1,) * len(shape)
    passing = np.eye(channels, dtype=np.float32).reshape(channels, channels, *one)
    none = [0] * len(shape)
    same = op.relu(op.convolution(image, op.constant(passing), list(one), none, none, list(one)))
    same.output(0).get_tensor().set_names({"scores"})
    return ov.Model([op.result(same)], [image], "channels")


def build(
    folder: Path, toml: str = TOML, window: tuple[int, ...] = (48, 40, 32), model: Callable[[tuple[int, ...]], ov.Model] = scores
) -> Path:
    """A sealed package with one golden case of three channels."""
    small_package.write(folder, toml=toml, segments=SEGMENTS, report=REPORT, model=model(window))
    values = np.stack([sphere((40, 48, 48), 2.5, np.array(c)) for c in ((0, 0, 0), (3, 4, -5), (-6, 2, 0))])
    values[2] *= 2
    np.savez_compressed(folder / "golden" / "case-01.npz", values=values, spacing=np.array([2.5, 2.5, 2.5]))
    golden.record(folder)
    package.seal(folder)
    return folder


SLICES = """
[network]
file = "network.xml"
input = "image"
size = [72, 80]
layout = "NCHW"
value = "arbitrary"
channels_mm = [["T1", 0.0], ["FLAIR", 10.0], ["T1", -5.0]]
[[network.outputs]]
name = "both"
labels = [1]
[[network.outputs]]
name = "flair"
labels = [2]
[[network.outputs]]
name = "below"
labels = [3]
"""
STEPS_OF_SLICES = """
[[preprocessing]]
step = "ScaleIntensityRange"
channels = ["T1"]
a_min = 0
a_max = 1060
b_min = 0.0
b_max = 1.0
[[preprocessing]]
step = "ScaleIntensityRange"
channels = ["FLAIR"]
a_min = 0
a_max = 2120
b_min = 0.0
b_max = 1.0
[[preprocessing]]
step = "Resize"
mode = "bilinear"
"""
_TWO = (
    CHANNELS[: CHANNELS.index('[[input.channels]]\nname = "T1 with')]
    + CHANNELS[CHANNELS.index('[[input.channels]]\nname = "FLAIR"') :]
)
SLICES_TOML = TOML[: TOML.index("[[input.channels]]")] + _TWO + SLICES + STEPS_OF_SLICES + BEHIND


def of_slices(size: tuple[int, ...] = (72, 80)) -> ov.Model:
    """Labels of T1 here (a), FLAIR 10 mm higher (b) and T1 5 mm lower (c): a and b; b without c; c. The convolution passes each
    channel on, so that there is something to quantise."""
    image = op.parameter([-1, 3, *size], np.float32, name="image")
    image.get_output_tensor(0).set_names({"image"})
    passing = op.constant(np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1))
    seen = op.relu(op.convolution(image, passing, [1, 1], [0, 0], [0, 0], [1, 1]))
    a, b, c = (
        op.greater_equal(op.squeeze(op.slice(seen, [i], [i + 1], [1], [1]), [1]), op.constant(np.float32(0.5))) for i in range(3)
    )
    results = []
    for name, found in (("both", op.logical_and(a, b)), ("flair", op.logical_and(b, op.logical_not(c))), ("below", c)):
        labels = op.convert(found, np.uint8)
        labels.output(0).set_names({name})
        results.append(labels)
    return ov.Model(results, [image], "slices")


def build_of_slices(folder: Path, toml: str = SLICES_TOML) -> Path:
    """A sealed package of a network that sees two series slice by slice, with one golden case of both."""
    small_package.write(folder, toml=toml, segments=SEGMENTS, report=REPORT, model=of_slices())
    values = np.stack([sphere((24, 72, 80), 4.0, np.array(c)) for c in ((0, 0, 0), (12, 10, -15))])
    values[1] *= 2
    np.savez_compressed(folder / "golden" / "case-01.npz", values=values, spacing=np.array([4.0, 4.0, 4.0]))
    golden.record(folder)
    package.seal(folder)
    return folder
