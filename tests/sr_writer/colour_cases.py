"""Analyses of colour and of multi-frame images, made by hand: a photograph through a microscope, an ultrasound loop."""

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage, VLMicroscopicImageStorage, generate_uid

from domain.jobs import Outcome
from domain.results import Analysis, Finding, KeyImage, Labels, Line, Marks, Measurement, Outline
from tests.ct_series import Series
from tests.sr_writer import cases, grids

PURPLE: Final = (120, 40, 160)
LENGTH: Final = cases.Code("410668003", "SCT", "Length")
MM: Final = cases.Code("mm", "UCUM", "millimeter")
LONG_AXIS: Final = cases.Code("103339001", "SCT", "Long axis")
CELL: Final = cases.Code("4421005", "SCT", "Cell")


def smear(columns: int = 800, rows: int = 600) -> npt.NDArray[np.uint8]:
    """A field of pink with dark spots, uint8 (rows, columns, 3)."""
    pixels = np.full((rows, columns, 3), (235, 200, 215), np.uint8)
    pixels[100:110, 200:240] = (90, 20, 60)
    return pixels


def _image(kind: str, pixels: npt.NDArray[np.uint8], modality: str, seed: str) -> Dataset:
    ds = Series(slices=1, seed=seed).datasets()[0]
    for keyword in ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "FrameOfReferenceUID", "RescaleSlope",
                    "RescaleIntercept", "RescaleType", "SliceThickness", "KVP", "BodyPartExamined"):  # fmt: skip
        del ds[keyword]
    ds.SOPClassUID, ds.Modality = kind, modality
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPInstanceUID = generate_uid(entropy_srcs=[seed, "colour"])
    ds.Rows, ds.Columns = pixels.shape[-3:-1] if pixels.shape[-1] == 3 else pixels.shape[-2:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.SamplesPerPixel, ds.PhotometricInterpretation = (3, "RGB") if pixels.shape[-1] == 3 else (1, "MONOCHROME2")
    if ds.SamplesPerPixel == 3:
        ds.PlanarConfiguration = 0
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OB"
    return ds


def microscope(crops: int = 0, count: int = 500, **changes: object) -> cases.Case:
    """Marks on a photograph; ``crops`` small regions of it are key images beside the whole."""
    pixels = smear()
    image = _image(VLMicroscopicImageStorage, pixels, "GM", "smear")
    del image.PixelData
    uid = str(image.SOPInstanceUID)
    points = np.random.default_rng(1).random((count, 1, 2), np.float32) * np.array([800, 600], np.float32)
    scores = np.linspace(0, 1, count, dtype=np.float32)
    marks = Marks("smear/bacilli", "Bacilli", cases.ABNORMAL, CELL, uid, points, PURPLE, scores)
    boxes = np.array([[[10, 10], [30, 10], [30, 25], [10, 25]]], np.float32)
    other = Marks("smear/clumps", "Clumps", cases.ABNORMAL, CELL, uid, boxes, (250, 250, 0))
    keys = [KeyImage(uid, pixels[::2, ::2], "whole field", region=(0, 0, 800, 600))]
    keys += [KeyImage(uid, pixels[80:130, 190:250], f"crop {n}", region=(190, 80, 60, 50)) for n in range(crops)]
    finding = Finding(
        "smear/rod/1", CELL, outline=Outline(uid, np.array([[200, 100], [240, 100], [240, 110], [200, 110], [200, 100]], float)),
        lines=(Line(LONG_AXIS, uid, np.array([[200, 105], [240, 105]], float)),), label="Rod",
        measurements=(Measurement(LENGTH, 0.004, MM),),
    )  # fmt: skip
    analysis = Analysis(
        Outcome.POSITIVE, f"{count} bacilli.", str(image.SeriesInstanceUID), findings=(finding,), key_images=tuple(keys),
        marks=(marks, other),
    )  # fmt: skip
    return cases.Case(analysis, cases.ALGORITHM, [image], cases.context([image], **changes))


def slide(**changes: object) -> cases.Case:
    """Cells on a tiled slide of 2000 x 1500 pixels: marks over all of it, a box, and a region of it as key image."""
    (image,) = grids.slide(rows=1500, columns=2000, tile=256)
    uid = str(image.SOPInstanceUID)
    points = np.array([[[1900, 1400]], [[10, 20]], [[700, 650]]], np.float32)
    marks = Marks("slide/cells", "Cells", cases.ABNORMAL, CELL, uid, points, PURPLE, np.array([0.9, 0.5, 0.7], np.float32))
    box = np.array([[600, 600], [800, 600], [800, 700], [600, 700], [600, 600]], float)
    finding = Finding("slide/cluster/1", CELL, outline=Outline(uid, box), label="Cluster")
    key = KeyImage(uid, smear(400, 300), "region", region=(500, 500, 400, 300))
    analysis = Analysis(
        Outcome.POSITIVE, "Three cells.", str(image.SeriesInstanceUID), findings=(finding,), marks=(marks,), key_images=(key,)
    )
    return cases.Case(analysis, cases.ALGORITHM, [image], cases.context([image], **changes))


def loop(**changes: object) -> cases.Case:
    """The second of three frames of an ultrasound loop, with a segment and both axes."""
    frames = np.zeros((3, 64, 96), np.uint8)
    frames[1, 20:40, 30:60] = 180
    image = _image(UltrasoundMultiFrameImageStorage, frames, "US", "loop")
    image.NumberOfFrames, image.FrameTime = 3, "40"
    image.FrameIncrementPointer = 0x00181063
    uid = str(image.SOPInstanceUID)
    layers = np.zeros((1, 3, 64, 96), np.uint8)
    layers[0, 1, 20:40, 30:60] = 3
    box = np.array([[30, 20], [60, 20], [60, 40], [30, 40], [30, 20]], float)
    segment = cases.SEGMENTS[2]
    finding = Finding(
        segment.tracking_id, segment.type, segment=3, outline=Outline(uid, box, 2), label="Nodule",
        lines=(Line(LONG_AXIS, uid, np.array([[30, 30], [60, 30]], float), 2),), measurements=(Measurement(LENGTH, 12, MM),),
    )  # fmt: skip
    analysis = Analysis(
        Outcome.POSITIVE, "A nodule.", str(image.SeriesInstanceUID), segments=(segment,), findings=(finding,),
        labels=Labels(layers, (uid,) * 3, (1, 2, 3)), key_images=(KeyImage(uid, frames[1], "frame 2", 2),),
    )  # fmt: skip
    return cases.Case(analysis, cases.ALGORITHM, [image], cases.context([image], **changes))


def without_pixels(case: cases.Case) -> cases.Case:
    """Headers as the node hands them over."""
    for header in case.headers:
        header.pop("PixelData", None)
    return replace(case, headers=case.headers)
