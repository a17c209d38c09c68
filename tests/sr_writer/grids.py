"""Images of every kind that a Segmentation can lie on, without pixels, and labels and probabilities drawn at random on them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import EnhancedCTImageStorage, ExplicitVRLittleEndian, UltrasoundImageStorage, generate_uid

from domain.jobs import Outcome
from domain.results import Analysis, Field, Labels, Segment
from tests.ct_series import Series
from tests.sr_writer import cases

NOWHERE = (
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "SliceThickness",
)
PROBABILITY = cases.Code("122157", "DCM", "Probability")  # fmt: skip
UNIT = cases.Code("1", "UCUM", "no units")
SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"


class Headers(Series):
    """A series of any size whose pixels are never made."""

    def hu(self) -> npt.NDArray[np.int16]:
        return np.zeros((self.slices, 1, 1), np.int16)


def series(slices: int, rows: int, columns: int, **changes: object) -> list[Dataset]:
    """Single-frame CT images in a frame of reference."""
    found = Headers(slices=slices, **changes).datasets()  # type: ignore[arg-type]
    for ds in found:
        del ds.PixelData
        ds.Rows, ds.Columns = rows, columns
    return found


def enhanced(frames: int, rows: int, columns: int, measured_per_frame: bool = False, **changes: object) -> list[Dataset]:
    """One enhanced CT image; ``measured_per_frame`` puts orientation and spacing into the groups of the frames."""
    singles = series(frames, rows, columns, **changes)
    ds = singles[0]
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    groups, shared = [], Dataset()
    for single in singles:
        group, position, orientation, measures = Dataset(), Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = single.ImagePositionPatient
        orientation.ImageOrientationPatient = single.ImageOrientationPatient
        measures.PixelSpacing, measures.SliceThickness = single.PixelSpacing, single.SliceThickness
        group.PlanePositionSequence = Items([position])
        home = group if measured_per_frame else shared
        home.PlaneOrientationSequence, home.PixelMeasuresSequence = Items([orientation]), Items([measures])
        groups.append(group)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        del ds[keyword]
    ds.NumberOfFrames, ds.SharedFunctionalGroupsSequence = frames, Items([shared])
    ds.PerFrameFunctionalGroupsSequence = Items(groups)
    return [ds]


def stills(count: int, rows: int, columns: int) -> list[Dataset]:
    """Ultrasound images without frame of reference."""
    found = series(count, rows, columns)
    for ds in found:
        for keyword in NOWHERE:
            del ds[keyword]
        ds.SOPClassUID, ds.Modality = UltrasoundImageStorage, "US"
    return found


def slide(rows: int = 80, columns: int = 112, tile: int = 32) -> list[Dataset]:
    """One level of a slide in tiles (PS3.3 A.32.8)."""
    (ds,) = series(1, tile, tile)
    for keyword in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "SliceThickness"):
        del ds[keyword]
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = SLIDE
    ds.Modality, ds.ImageType = "SM", ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.TotalPixelMatrixRows, ds.TotalPixelMatrixColumns, ds.TotalPixelMatrixFocalPlanes = rows, columns, 1
    ds.NumberOfFrames = -(-rows // tile) * -(-columns // tile)
    ds.DimensionOrganizationType, ds.NumberOfOpticalPaths = "TILED_FULL", 1
    ds.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    origin, measures, shared, path, specimen = (Dataset() for _ in range(5))
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = 20, 40
    ds.TotalPixelMatrixOriginSequence = Items([origin])
    measures.PixelSpacing, measures.SliceThickness = [0.002, 0.002], 0.001
    shared.PixelMeasuresSequence = Items([measures])
    ds.SharedFunctionalGroupsSequence = Items([shared])
    path.OpticalPathIdentifier = "1"
    ds.OpticalPathSequence = Items([path])
    ds.ContainerIdentifier, ds.IssuerOfTheContainerIdentifierSequence, ds.ContainerTypeCodeSequence = "C1", Items(), Items()
    specimen.SpecimenIdentifier, specimen.SpecimenUID = "S1", generate_uid(entropy_srcs=["specimen"])
    specimen.IssuerOfTheSpecimenIdentifierSequence, specimen.SpecimenPreparationSequence = Items(), Items()
    ds.SpecimenDescriptionSequence = Items([specimen])
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return [ds]


def segments(numbers: Sequence[int]) -> tuple[Segment, ...]:
    return tuple(
        Segment(n, f"Part {n}", cases.ANATOMY, cases.LUNG, (n % 256, 100, 200), f"chest-demo/part/{n}", cases.LUNG, cases.LEFT)
        for n in numbers
    )


def blobs(rng: np.random.Generator, shape: tuple[int, int, int, int], numbers: Sequence[int]) -> npt.NDArray[np.uint16]:
    """Boxes of each label in a layer of their own choosing; some labels stay empty."""
    layers = np.zeros(shape, np.uint16 if max(numbers) > 255 else np.uint8)
    for number in numbers:
        lows = [int(rng.integers(0, n)) for n in shape[1:]]
        highs = [int(rng.integers(low, n)) + 1 for low, n in zip(lows, shape[1:], strict=True)]
        box = tuple(slice(low, high) for low, high in zip(lows, highs, strict=True))
        layers[(number % shape[0], *box)] = number
    return layers


def case(images: list[Dataset], labels: Labels | None = None, fields: tuple[Field, ...] = (), **changes: object) -> cases.Case:
    """A positive answer that consists of these pixels."""
    if labels is not None:  # plane by plane: benchmarks measure memory, and np.unique takes three times that of its array
        numbers = {n for layer in labels.layers for plane in layer for n in np.unique(plane).tolist()}
    else:
        numbers = {field.segment for field in fields}
    analysis = Analysis(
        Outcome.POSITIVE, "Parts.", str(images[0].SeriesInstanceUID), segments(sorted(numbers - {0})), labels, fields=fields
    )
    return cases.Case(analysis, cases.ALGORITHM, images, cases.context(images, **changes))


def slow(found: cases.Case) -> cases.Case:
    """The same, written by highdicom alone."""
    return replace(found, context=replace(found.context, fast=False))
