"""A small synthetic CT series for tests: valid CT Image Storage objects with two air-filled ellipsoids in a body."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

Volume = npt.NDArray[np.int16]


@dataclass
class Series:
    """What to vary. Spacing is (slices, rows, columns) in mm; ``orientation`` is ImageOrientationPatient."""

    slices: int = 24
    size: int = 64
    spacing: tuple[float, float, float] = (5.0, 5.0, 5.0)
    orientation: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    origin: tuple[float, float, float] = (-160.0, -160.0, 0.0)
    seed: str = "series"
    change: Callable[[Dataset], None] | None = None
    tags: dict[str, object] = field(default_factory=dict)

    def hu(self) -> Volume:
        """Hounsfield units, int16 (slices, rows, columns): air, body at 40 HU, two lungs at -850 HU."""
        z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (self.slices, self.size, self.size)), indexing="ij")
        hu = np.full(z.shape, -1000, np.int16)
        hu[(x / 0.85) ** 2 + (y / 0.6) ** 2 < 1] = 40
        for side in (-1, 1):
            hu[((x - side * 0.4) / 0.28) ** 2 + (y / 0.42) ** 2 + (z / 0.8) ** 2 < 1] = -850
        return hu

    def datasets(self) -> list[Dataset]:
        """One data set per slice, in order of position along the normal."""
        row, column = np.array(self.orientation[:3]), np.array(self.orientation[3:])
        normal = np.cross(row, column)
        return [
            self._slice(i, pixels, np.array(self.origin) + normal * i * self.spacing[0]) for i, pixels in enumerate(self.hu())
        ]

    def _slice(self, index: int, pixels: Volume, position: npt.NDArray[np.float64]) -> Dataset:
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
        uid = generate_uid(entropy_srcs=[self.seed, "image", str(index)])
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid
        ds.StudyInstanceUID = generate_uid(entropy_srcs=[self.seed, "study"])
        ds.SeriesInstanceUID = generate_uid(entropy_srcs=[self.seed, "series"])
        ds.FrameOfReferenceUID = generate_uid(entropy_srcs=[self.seed, "frame"])
        ds.SpecificCharacterSet = "ISO_IR 192"
        ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Synthetic^Test", "TEST-1", "", "O"
        ds.StudyDate = ds.SeriesDate = ds.ContentDate = ds.AcquisitionDate = "20260101"
        ds.StudyTime = ds.SeriesTime = ds.ContentTime = ds.AcquisitionTime = "101500"
        ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "1", "A1", ""
        ds.Modality, ds.Manufacturer, ds.BodyPartExamined = "CT", "Synthetic", "CHEST"
        ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber = 2, index + 1, 1
        ds.SeriesDescription, ds.PatientPosition, ds.PositionReferenceIndicator = "Chest", "HFS", ""
        ds.ImageType, ds.KVP, ds.SliceThickness = ["ORIGINAL", "PRIMARY", "AXIAL"], "120", str(self.spacing[0])
        ds.PixelSpacing = [str(self.spacing[1]), str(self.spacing[2])]
        ds.ImageOrientationPatient = [f"{v:.6g}" for v in self.orientation]
        ds.ImagePositionPatient = [f"{v:.6g}" for v in position]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.Rows, ds.Columns = pixels.shape
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "-1024", "1", "HU"
        ds.PixelData = (pixels + 1024).astype("<i2").tobytes()
        for keyword, value in self.tags.items():
            setattr(ds, keyword, value)
        if self.change is not None:
            self.change(ds)
        return ds


def part10(ds: Dataset) -> bytes:
    """The data set as PS3.10 file bytes."""
    stream = io.BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
