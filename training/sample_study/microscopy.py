"""Microscopic fields of nobody as DICOM (VL Microscopic Image, PS3.3 A.32.2): a sputum smear, a cervical slide; JPEG."""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import simplejpeg
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import JPEGBaseline8Bit, VLMicroscopicImageStorage

from training.sample_study.make import uid

_EPOCH = (2026, 1, 1, 0, 0, 0)
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Sample:
    """What a sample shows: ``name`` of its folder, patient, slide number, ``words``; ``fields`` uint8 (rows, columns, 3)."""

    name: str
    patient: str
    number: str
    words: str
    fields: Sequence[Pixels]


SMEAR_FIELDS = ((3, 0), (7, 2), (0, 0), (12, 3), (1, 0), (5, 1))  # single bacilli and clusters of each field


def smear() -> Sample:
    """Six Ziehl-Neelsen fields with known numbers of bacilli; one is empty."""
    from training.tb_smear_afb import synthetic

    fields = [synthetic.field(9100 + n, singles, clusters).pixels for n, (singles, clusters) in enumerate(SMEAR_FIELDS)]
    return Sample("tb-smear-afb", "Synthetic^Smear", "SYNTHETIC-002", "Synthetic sputum smear, Ziehl-Neelsen, 100x", fields)


def cytology() -> Sample:
    """Four Pap-stained fields of made-up cells; two hold dysplastic ones."""
    from training.cervical_lbc import compose, synthetic

    stamps = [compose.stamp(synthetic.cell(9000 + n, kind)) for kind in range(7) for n in range(6)]
    fields = []
    for n, abnormal in enumerate(([], [3, 4, 5, 6, 5, 3], [], [3, 4])):
        rng = np.random.default_rng((9200, n))
        kinds = [*rng.choice(3, 16, p=[0.45, 0.45, 0.1]).tolist(), *abnormal]
        light, _ = compose.field(stamps, kinds, 1536, 1152, 2.0, rng)
        fields.append(np.asarray(light * 255, np.uint8))
    return Sample("cervical-lbc", "Synthetic^Cytology", "SYNTHETIC-003", "Synthetic cervical cytology, Papanicolaou, 40x", fields)


def _who_and_when(ds: Dataset, sample: Sample) -> None:
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = sample.patient, sample.number, "19600101", "O"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid(sample.name, "study"), uid(sample.name, "series")
    for part in ("Study", "Series", "Acquisition", "Content", "InstanceCreation"):
        ds.add_new(f"{part}Date", "DA", "20260101")
        ds.add_new(f"{part}Time", "TM", "120000")
    ds.AcquisitionDateTime = "20260101120000"
    ds.AccessionNumber, ds.StudyID, ds.ReferringPhysicianName = f"SYN{sample.number[-4:]}", "1", ""
    ds.StudyDescription = ds.SeriesDescription = sample.words
    ds.SeriesNumber, ds.PatientOrientation = 1, ""


def _what(ds: Dataset, sample: Sample) -> None:
    ds.SOPClassUID, ds.Modality, ds.ImageType = VLMicroscopicImageStorage, "GM", ["ORIGINAL", "PRIMARY"]
    ds.Manufacturer, ds.ManufacturerModelName, ds.SoftwareVersions = "Ancilla", "Procedural microscope", "1"
    ds.DeviceSerialNumber, ds.InstitutionName = "0", "No hospital"
    ds.ContainerIdentifier = sample.number
    ds.IssuerOfTheContainerIdentifierSequence, ds.ContainerTypeCodeSequence, ds.AcquisitionContextSequence = [], [], []
    specimen = Dataset()
    specimen.SpecimenIdentifier, specimen.SpecimenUID = sample.number, uid(sample.name, "specimen")
    specimen.IssuerOfTheSpecimenIdentifierSequence, specimen.SpecimenPreparationSequence = [], []
    ds.SpecimenDescriptionSequence = [specimen]
    ds.BurnedInAnnotation = "NO"
    ds.ImageComments = "Synthetic image, made by training/sample_study of Ancilla. It shows no person and holds no patient data."


def image(sample: Sample, number: int) -> Dataset:
    """Field ``number`` (from 1) as a VL Microscopic Image, JPEG baseline."""
    ds, pixels = Dataset(), sample.fields[number - 1]
    _who_and_when(ds, sample)
    _what(ds, sample)
    ds.SOPInstanceUID, ds.InstanceNumber = uid(sample.name, "image", number), number
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "YBR_FULL_422", 0
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), 85, colorsubsampling="422")
    ds.LossyImageCompression, ds.LossyImageCompressionMethod = "01", "ISO_10918_1"
    ds.LossyImageCompressionRatio = f"{pixels.nbytes / len(data):.2f}"
    ds.PixelData = encapsulate([data])
    ds["PixelData"].is_undefined_length = True
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    return ds


def write(sample: Sample, target: Path) -> None:
    """All fields as one .zip, with the same bytes each time."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for number in range(1, len(sample.fields) + 1):
            held = io.BytesIO()
            dcmwrite(held, image(sample, number), enforce_file_format=True)
            archive.writestr(zipfile.ZipInfo(f"{sample.name}/IM{number:04d}.dcm", _EPOCH), held.getvalue())
