"""A sphere of known place and size, imaged in any geometry: what comes back must be that sphere."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedCTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid

from domain.results import Labels
from inference.source import Source, open_source
from tests.ct_series import part10

Vector = npt.NDArray[np.float64]
CENTRE = np.array([13.0, -8.5, 21.0])  # mm in the patient
RADIUS = 38.0
INSIDE, OUTSIDE = 60, -1000
CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
}


def turned(row: tuple[float, ...], column: tuple[float, ...], *turns: tuple[int, float]) -> tuple[float, ...]:
    """Directions after rotations (axis, degrees) of the patient."""
    matrix = np.eye(3)
    for axis, degrees in turns:
        a, b = [i for i in range(3) if i != axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(np.radians(degrees))
        turn[a, b], turn[b, a] = -np.sin(np.radians(degrees)), np.sin(np.radians(degrees))
        matrix = turn @ matrix
    return tuple(matrix @ row) + tuple(matrix @ column)


@dataclass
class Ball:
    """What to vary. ``spacing`` is (slices, rows, columns) in mm; ``shear`` moves each slice down its columns, as a tilted gantry
    does (mm per mm); ``descending`` writes the slices against their normal."""

    orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0)
    spacing: tuple[float, float, float] = (2.5, 1.6, 1.6)
    shape: tuple[int, int, int] = (48, 72, 80)
    shear: float = 0.0
    descending: bool = False
    modality: str = "CT"
    tags: dict[str, object] = field(default_factory=dict)
    centre: Vector = field(default_factory=lambda: CENTRE)
    scale: float = 1.0  # of the values (MR and PET: real value per stored value)

    def directions(self) -> tuple[Vector, Vector, Vector]:
        row, column = np.array(self.orientation[:3], float), np.array(self.orientation[3:], float)
        normal = np.cross(row, column) * (-1 if self.descending else 1)
        return row, column, normal + self.shear * column

    def positions(self) -> Vector:
        """Centre of the first voxel of each slice; the sphere lies off the middle of the stack."""
        row, column, along = self.directions()
        n, rows, columns = self.shape
        middle = (n - 1) / 2 * self.spacing[0] * along
        middle = middle + (rows - 1) / 2 * self.spacing[1] * column + (columns - 1) / 2 * self.spacing[2] * row
        first = self.centre - middle + 2.3 * row - 3.1 * column
        return np.array([first + i * self.spacing[0] * along for i in range(n)])

    def points(self, index: int) -> Vector:
        """Where each pixel of a slice is, mm: (rows, columns, 3)."""
        row, column, _ = self.directions()
        r, c = np.meshgrid(*(np.arange(n) for n in self.shape[1:]), indexing="ij")
        return self.positions()[index] + r[..., None] * self.spacing[1] * column + c[..., None] * self.spacing[2] * row

    def values(self) -> npt.NDArray[np.int16]:
        """Values with a soft edge as wide as a pixel, so that half of it is where the sphere ends."""
        width = min(self.spacing)
        slices = []
        for i in range(self.shape[0]):
            depth = RADIUS - np.linalg.norm(self.points(i) - self.centre, axis=2)
            share = np.clip(depth / width + 0.5, 0, 1)
            slices.append(np.rint(OUTSIDE + share * (INSIDE - OUTSIDE)))
        return np.array(slices, np.int16)

    def datasets(self) -> list[Dataset]:
        return [self._slice(i, pixels) for i, pixels in enumerate(self.values())]

    def sources(self) -> list[Source]:
        return [open_source(part10(ds)) for ds in self.datasets()]

    def common(self, name: str) -> Dataset:
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["ball", name])
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = CLASSES[self.modality]
        ds.StudyInstanceUID = generate_uid(entropy_srcs=["ball", "study"])
        ds.SeriesInstanceUID = generate_uid(entropy_srcs=["ball", "series"])
        ds.FrameOfReferenceUID = generate_uid(entropy_srcs=["ball", "frame"])
        ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Synthetic^Ball", "BALL", "", "O"
        ds.Modality = self.modality
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.Rows, ds.Columns = self.shape[1:]
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        return ds

    def _slice(self, index: int, pixels: npt.NDArray[np.int16]) -> Dataset:
        ds = self.common(str(index))
        ds.InstanceNumber = index + 1
        ds.PixelSpacing = [f"{self.spacing[1]:.8g}", f"{self.spacing[2]:.8g}"]
        ds.ImageOrientationPatient = [f"{v:.10g}" for v in self.orientation]
        ds.ImagePositionPatient = [f"{v:.8g}" for v in self.positions()[index]]
        self._values(ds, pixels)
        for keyword, value in self.tags.items():
            setattr(ds, keyword, value)
        return ds

    def _values(self, ds: Dataset, pixels: npt.NDArray[np.int16]) -> None:
        if self.modality == "CT":
            ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "-1024", "1", "HU"
            ds.PixelData = (pixels + 1024).astype("<i2").tobytes()
        else:
            ds.PixelData = (pixels - OUTSIDE).astype("<i2").tobytes()

    def enhanced(self, phases: int = 1, shared_rescale: bool = True) -> Dataset:
        """One multi-frame image; frames of the phases interleaved, the sphere only in the last of them, which has most frames."""
        ds = self.common("enhanced")
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = (
            EnhancedCTImageStorage if self.modality == "CT" else EnhancedMRImageStorage
        )
        dimensions = [("FrameContentSequence", 0x00209128), ("FrameContentSequence", 0x00209057)]
        ds.DimensionIndexSequence = Sequence([_dimension(pointer) for _, pointer in dimensions])
        shared, per_frame, stored = Dataset(), [], []
        orientation, measures = Dataset(), Dataset()
        orientation.ImageOrientationPatient = [f"{v:.10g}" for v in self.orientation]
        measures.PixelSpacing = [f"{self.spacing[1]:.8g}", f"{self.spacing[2]:.8g}"]
        shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Sequence([orientation]), Sequence([measures])
        values, places = self.values(), self.positions()
        for i in range(self.shape[0]):
            for phase in range(phases):
                if phase < phases - 1 and i % 2:
                    continue  # earlier phases have fewer slices
                pixels = values[i] if phase == phases - 1 else np.full_like(values[i], OUTSIDE)
                slope = 1 if shared_rescale else 1 + i % 3
                group = self._frame(i, phase, places[i])
                if not shared_rescale:
                    group.PixelValueTransformationSequence = Sequence([_rescale(slope, self.modality)])
                    pixels = np.rint((pixels + 1024) / slope).astype(np.int16) - 1024
                per_frame.append(group)
                stored.append((pixels + 1024).astype("<i2"))
        if shared_rescale:
            shared.PixelValueTransformationSequence = Sequence([_rescale(1, self.modality)])
        ds.SharedFunctionalGroupsSequence = Sequence([shared])
        ds.PerFrameFunctionalGroupsSequence = Sequence(per_frame)
        ds.NumberOfFrames = len(stored)
        ds.PixelData = np.array(stored).tobytes()
        return ds

    def _frame(self, index: int, phase: int, place: Vector) -> Dataset:
        group, content, position = Dataset(), Dataset(), Dataset()
        content.StackID, content.InStackPositionNumber, content.TemporalPositionIndex = "1", index + 1, phase + 1
        content.DimensionIndexValues = [phase + 1, index + 1]
        position.ImagePositionPatient = [f"{v:.8g}" for v in place]
        group.FrameContentSequence, group.PlanePositionSequence = Sequence([content]), Sequence([position])
        return group

    def found(self, labels: Labels, number: int = 1) -> tuple[Vector, float]:
        """Centroid (mm) and volume (ml) of a segment, by where each image or frame says it is."""
        places, row, column = self.positions(), *self.directions()[:2]
        uids = {str(self.common(str(i)).SOPInstanceUID): i for i in range(self.shape[0])}
        total, count = np.zeros(3), 0
        for k, mask in enumerate(labels.mask(number)):
            index = self.order[labels.frames[k] - 1] if labels.frames else uids[labels.sop_instance_uids[k]]
            r, c = np.nonzero(mask)
            across = c[:, None] * self.spacing[2] * row
            total += (places[index] + r[:, None] * self.spacing[1] * column + across).sum(axis=0)
            count += len(r)
        return total / max(count, 1), count * float(np.prod(self.spacing)) / 1000

    order: list[int] = field(default_factory=list)  # slice of each frame of the multi-frame image, set by the test


def _dimension(pointer: int) -> Dataset:
    item = Dataset()
    item.DimensionIndexPointer, item.FunctionalGroupPointer = pointer, 0x00209111
    return item


def _rescale(slope: int, modality: str) -> Dataset:
    item = Dataset()
    item.RescaleSlope, item.RescaleIntercept = str(slope), "-1024"
    item.RescaleType = "HU" if modality == "CT" else "US"
    return item


TRUE_ML = 4 / 3 * np.pi * RADIUS**3 / 1000
X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def minus(v: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(-c for c in v)


GEOMETRIES: dict[str, Ball] = {
    "axial": Ball(),
    "axial, written from head to feet": Ball(descending=True),
    "feet first": Ball(orientation=minus(X) + Y),
    "prone": Ball(orientation=minus(X) + minus(Y)),
    "decubitus, rows and columns exchanged": Ball(orientation=Y + minus(X)),
    "rows and columns flipped": Ball(orientation=X + minus(Y), shape=(48, 80, 72)),
    "coronal": Ball(orientation=X + minus(Z), shape=(50, 72, 72)),
    "sagittal": Ball(orientation=Y + minus(Z), shape=(50, 72, 72), descending=True),
    "oblique": Ball(orientation=turned(X, Y, (0, 27.0))),
    "double oblique": Ball(orientation=turned(X, Y, (0, 24.0), (2, 31.0), (1, 12.0))),
    "tilted gantry": Ball(shear=float(np.tan(np.radians(18)))),
    "5 mm slices of flat pixels": Ball(spacing=(5.0, 1.2, 1.9), shape=(26, 90, 64)),
    "sagittal, turned": Ball(orientation=turned(Y, minus(Z), (1, 17.0)), shape=(50, 72, 72)),
}
