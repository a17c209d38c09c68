"""A chest CT of nobody, as DICOM: the phantom that also trains the network, drawn with numbers never used in training."""

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.pixels import compress
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEGLSLossless

from training.chest_ct_opacity import scan

SEED, SIZE, FOV_MM = 8, 288, 390.0
LOWEST_MM, STEP_MM, SLICES = -35.0, 6.0, 56
COMMENT = (
    "Synthetic image: a procedural chest phantom with synthetic opacities, made by training/sample_study of Ancilla. "
    "It shows no person and holds no patient data."
)
_EPOCH = (2026, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Study:
    """``hu`` int16 (slices, rows, columns) from feet to head; ``lungs`` and ``opacity`` its truth; ``spacing`` in mm."""

    hu: npt.NDArray[np.int16]
    lungs: npt.NDArray[np.uint8]
    opacity: npt.NDArray[np.uint8]
    spacing: tuple[float, float, float]


def study(seed: int = SEED, size: int = SIZE, slices: int = SLICES) -> Study:
    """The phantom of the demo; equal arguments give equal images."""
    levels = (LOWEST_MM + STEP_MM * SLICES / slices * np.arange(slices)).astype(np.float32)
    return Study(*scan.study(seed, size, lesion_count=14, z=levels, fov_mm=FOV_MM, quiet=0.06, diffuse=0.0))


def uid(*parts: object) -> str:
    """A UID under 2.25 (PS3.5 B.2) that depends on ``parts`` alone."""
    digest = hashlib.sha256("/".join(map(str, ("ancilla-sample", *parts))).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def _who_and_when(ds: Dataset) -> None:
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName, ds.PatientID = "Synthetic^Thorax", "SYNTHETIC-001"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "19600101", "O", "066Y"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid("study"), uid("series")
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = uid("frame"), ""
    for part in ("Study", "Series", "Acquisition", "Content", "InstanceCreation"):
        ds.add_new(f"{part}Date", "DA", "20260101")
        ds.add_new(f"{part}Time", "TM", "120000")
    ds.AccessionNumber, ds.StudyID, ds.ReferringPhysicianName = "SYN0001", "1", ""
    ds.StudyDescription = "Synthetic chest CT (no patient)"
    ds.SeriesDescription = "Synthetic thorax, axial 6 mm"
    ds.SeriesNumber, ds.AcquisitionNumber = 2, 1


def _how(ds: Dataset, spacing: tuple[float, float, float]) -> None:
    ds.SOPClassUID, ds.Modality = CTImageStorage, "CT"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.Manufacturer, ds.ManufacturerModelName = "Ancilla", "Procedural thorax phantom"
    ds.SoftwareVersions, ds.InstitutionName, ds.DeviceSerialNumber = "1", "No hospital", "0"
    ds.BodyPartExamined, ds.PatientPosition = "CHEST", "HFS"
    ds.KVP, ds.ConvolutionKernel, ds.SliceThickness = "120", "SYNTHETIC", f"{spacing[0]:g}"
    ds.SpacingBetweenSlices = f"{spacing[0]:g}"
    ds.PixelSpacing = [f"{spacing[1]:g}", f"{spacing[2]:g}"]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "-1024", "1", "HU"
    ds.WindowCenter, ds.WindowWidth = ["-600", "40"], ["1500", "400"]
    ds.BurnedInAnnotation, ds.ImageComments = "NO", COMMENT


def image(made: Study, level: int) -> Dataset:
    """Slice ``level`` (0 is the lowest) as a CT image, lossless JPEG-LS; instance 1 is the highest slice."""
    ds = Dataset()
    _who_and_when(ds)
    _how(ds, made.spacing)
    pixels = (made.hu[level].astype(np.int32) + 1024).astype(np.uint16)
    ds.SOPInstanceUID, ds.InstanceNumber = uid("image", level), len(made.hu) - level
    corner = -FOV_MM / 2 + made.spacing[1] / 2
    height = LOWEST_MM + level * made.spacing[0]
    ds.ImagePositionPatient = [f"{corner:g}", f"{corner:g}", f"{height:g}"]
    ds.SliceLocation = f"{height:g}"
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    compress(ds, JPEGLSLossless, np.minimum(pixels, 4095), generate_instance_uid=False)
    return ds


def write(made: Study, target: Path) -> None:
    """All images as one .zip, with the same bytes each time."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for level in reversed(range(len(made.hu))):
            ds = image(made, level)
            held = io.BytesIO()
            dcmwrite(held, ds, enforce_file_format=True)
            archive.writestr(zipfile.ZipInfo(f"chest-ct/IM{ds.InstanceNumber:04d}.dcm", _EPOCH), held.getvalue())
