"""Synthetic CT images to send: as many as wanted, each with its own SOP Instance UID, quickly written."""

import io
import random
import struct
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

FIRST = 1_000_000  # so that all numbers have equal length and one UID can be put in the place of another


def write_images(folder: Path, count: int, rows: int, columns: int) -> None:
    """``count`` CT images of 16-bit noise in ``folder``: 512 x 512 is half a megabyte, 32 x 24 about two kilobytes."""
    folder.mkdir(parents=True)
    root = generate_uid()[:40].rstrip(".")
    template = _image(root, rows, columns)
    first = f"{root}.{FIRST}".encode()
    for index in range(count):
        (folder / f"{index:06d}.dcm").write_bytes(template.replace(first, f"{root}.{FIRST + index}".encode()))


def write_large(file: Path, size: int) -> None:
    """One CT object of ``size`` bytes of noise (less than 4 GB), written in pieces."""
    rows = columns = 1024
    frames = max(1, size // (rows * columns * 2))
    noise = random.Random(2).randbytes(rows * columns * 2)
    with file.open("wb") as stream:
        one = _image(generate_uid()[:40].rstrip("."), rows, columns, frames)
        stream.write(one[: -len(noise) - 4])  # all but the length and the value of Pixel Data
        stream.write(struct.pack("<L", frames * len(noise)))
        for _ in range(frames):
            stream.write(noise)


def _image(root: str, rows: int, columns: int, frames: int = 0) -> bytes:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{root}.{FIRST}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = f"{root}.1", f"{root}.2", f"{root}.3"
    ds.PatientName, ds.PatientID, ds.StudyID, ds.Modality = "Bench^Mark", "BENCH-1", "1", "CT"
    ds.StudyDate, ds.StudyTime, ds.SeriesNumber, ds.InstanceNumber = "20260101", "120000", 1, 1
    ds.ImageType, ds.KVP, ds.SliceThickness = ["ORIGINAL", "PRIMARY", "AXIAL"], "120", "1"
    ds.ImagePositionPatient, ds.ImageOrientationPatient, ds.PixelSpacing = [0, 0, 0], [1, 0, 0, 0, 1, 0], [0.7, 0.7]
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.Rows, ds.Columns = 1, "MONOCHROME2", rows, columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleIntercept, ds.RescaleSlope = "-1024", "1"
    if frames:
        ds.NumberOfFrames = frames
    ds.PixelData = random.Random(1).randbytes(rows * columns * 2)
    stream = io.BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
