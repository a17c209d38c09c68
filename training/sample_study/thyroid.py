"""A thyroid ultrasound of nobody, as DICOM: two pictures and a cine loop, drawn with numbers never used in training."""

import io
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.pixels import compress
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, UltrasoundImageStorage, UltrasoundMultiFrameImageStorage

from training.sample_study.make import uid
from training.thyroid_us_nodule import scene, sound
from training.thyroid_us_nodule.nodule import Nodule

ROWS, COLUMNS, VIEW_MM = 352, 448, 40.0
SCREEN, TOP, LEFT = (448, 576), 56, 64
FRAMES = 12
COMMENT = (
    "Synthetic image: a procedural ultrasound phantom, made by training/sample_study of Ancilla. "
    "It shows no person and holds no patient data."
)
_EPOCH = (2026, 1, 1, 0, 0, 0)
_SOLID = Nodule((1.0, 17.5), (5.0, 6.2), 0.1, 3, 2, 2, (False, False, False, True), False)
_MIXED = Nodule((-1.0, 16.0), (8.0, 5.6), 0.05, 2, 1, 0, (True, False, False, False), True)


@dataclass(frozen=True, slots=True)
class Picture:
    """Frames uint8 (N, rows, columns) of the whole screen, the nodule's mask in each, and what was drawn."""

    name: str
    words: str
    frames: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_]
    nodule: Nodule


def _plan(nodule: Nodule, long: bool) -> scene.Arrangement:
    half = (19.0, 9.0) if long else (11.0, 9.5)
    return scene.Arrangement((ROWS, COLUMNS), long, scene.Plan((0.0, 17.0), half, 7.5, VIEW_MM, 0.0, 0.0), [nodule])


def _frame(nodule: Nodule, long: bool, seed: int, words: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    drawn = scene.depict(_plan(nodule, long), np.random.default_rng(seed))
    grey = sound.insonify(drawn.tissue, np.random.default_rng(seed + 1))
    screen = Image.new("L", (SCREEN[1], SCREEN[0]))
    screen.paste(Image.fromarray((grey * 255).astype(np.uint8)), (LEFT, TOP))
    write = ImageDraw.Draw(screen)
    write.text((LEFT, 12), f"SYNTHETIC  {words}", fill=220, font=ImageFont.load_default(16))
    write.text((LEFT, SCREEN[0] - 28), "Ancilla phantom, no patient", fill=150, font=ImageFont.load_default(13))
    for k in range(int(ROWS / COLUMNS * VIEW_MM / 5) + 1):
        y = TOP + 5 * k * COLUMNS / VIEW_MM
        write.line((LEFT + COLUMNS + 8, y, LEFT + COLUMNS + (18 if k % 2 == 0 else 13), y), fill=200)
    mask = np.zeros(SCREEN, bool)
    mask[TOP : TOP + ROWS, LEFT : LEFT + COLUMNS] = drawn.labels > 0
    return np.asarray(screen), mask


def pictures(frames: int = FRAMES) -> list[Picture]:
    """Across, lengthwise, and a sweep across in which another nodule grows and shrinks."""
    made = []
    for name, words, long, seed in (
        ("across", "RIGHT LOBE, TRANSVERSE", False, 41),
        ("along", "RIGHT LOBE, LONGITUDINAL", True, 47),
    ):
        pixels, mask = _frame(_SOLID, long, seed, words)
        made.append(Picture(name, words, pixels[None], mask[None], _SOLID))
    sweep = []
    for k in range(frames):
        share = np.sqrt(max(0.0, 1 - (2.3 * (k - 0.55 * frames) / frames) ** 2))
        small = replace(_MIXED, half=(max(0.05, _MIXED.half[0] * share), max(0.05, _MIXED.half[1] * share)))
        sweep.append(_frame(small, False, 61, "LEFT LOBE, SWEEP"))
    made.append(Picture("sweep", "LEFT LOBE, SWEEP", np.stack([s[0] for s in sweep]), np.stack([s[1] for s in sweep]), _MIXED))
    return made


def _who_and_when(ds: Dataset) -> None:
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName, ds.PatientID = "Synthetic^Thyroid", "SYNTHETIC-002"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "19700101", "O", "056Y"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid("thyroid-study"), uid("thyroid-series")
    for part in ("Study", "Series", "Acquisition", "Content", "InstanceCreation"):
        ds.add_new(f"{part}Date", "DA", "20260101")
        ds.add_new(f"{part}Time", "TM", "120000")
    ds.AccessionNumber, ds.StudyID, ds.ReferringPhysicianName = "SYN0002", "2", ""
    ds.StudyDescription = "Synthetic thyroid ultrasound (no patient)"
    ds.SeriesDescription = "Synthetic thyroid, both lobes"
    ds.SeriesNumber, ds.AcquisitionNumber = 1, 1


def _region() -> Dataset:
    """Ultrasound Region Calibration (PS3.3 C.8.5.5), tissue, centimetres."""
    ds = Dataset()
    ds.RegionSpatialFormat, ds.RegionDataType, ds.RegionFlags = 1, 1, 0
    ds.RegionLocationMinX0, ds.RegionLocationMinY0 = LEFT, TOP
    ds.RegionLocationMaxX1, ds.RegionLocationMaxY1 = LEFT + COLUMNS - 1, TOP + ROWS - 1
    ds.PhysicalUnitsXDirection = ds.PhysicalUnitsYDirection = 3
    ds.PhysicalDeltaX = ds.PhysicalDeltaY = VIEW_MM / 10 / COLUMNS
    return ds


def image(made: Picture, number: int) -> Dataset:
    """One picture or loop as an ultrasound object, lossless JPEG-LS."""
    ds, many = Dataset(), len(made.frames) > 1
    _who_and_when(ds)
    ds.SOPClassUID = UltrasoundMultiFrameImageStorage if many else UltrasoundImageStorage
    ds.SOPInstanceUID, ds.InstanceNumber = uid("thyroid", made.name), number
    ds.Modality, ds.ImageType = "US", ["ORIGINAL", "PRIMARY", "", "0001"]
    ds.Manufacturer, ds.ManufacturerModelName = "Ancilla", "Procedural ultrasound phantom"
    ds.SoftwareVersions, ds.InstitutionName, ds.DeviceSerialNumber = "1", "No hospital", "0"
    ds.BodyPartExamined, ds.ImageComments, ds.BurnedInAnnotation = "THYROID", COMMENT, "NO"
    ds.PatientOrientation, ds.LossyImageCompression = "", "00"
    ds.SequenceOfUltrasoundRegions = Sequence([_region()])
    if many:
        ds.NumberOfFrames, ds.FrameTime, ds.FrameIncrementPointer = len(made.frames), "50", 0x00181063
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.Rows, ds.Columns = made.frames.shape[1:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    compress(ds, JPEGLSLossless, made.frames if many else made.frames[0], generate_instance_uid=False)
    return ds


def write(target: Path, frames: int = FRAMES) -> None:
    """All images as one .zip, with the same bytes each time."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for number, made in enumerate(pictures(frames), 1):
            held = io.BytesIO()
            dcmwrite(held, image(made, number), enforce_file_format=True)
            archive.writestr(zipfile.ZipInfo(f"thyroid/IM{number:04d}.dcm", _EPOCH), held.getvalue())
