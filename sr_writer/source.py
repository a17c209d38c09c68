"""The images a result speaks about, reduced to what the writer may rely on: every attribute present, none surprising."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Final

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.uid import ExplicitVRLittleEndian

from domain.errors import PermanentError
from domain.results import Analysis

# Type 2 attributes of Patient and General Study (PS3.3 C.7.1.1, C.7.2.1): there, even if empty.
TYPE_2: Final = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip

# Patient, Patient Study, General Study and request identification: copied unchanged when the images have them.
COPIED: Final = (
    *TYPE_2, "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "OtherPatientIDsSequence", "PatientBirthTime",
    "PatientSpeciesDescription", "PatientSpeciesCodeSequence", "ResponsiblePerson", "ResponsibleOrganization",
    "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence", "EthnicGroup",
    "PatientComments", "StudyDescription", "ProcedureCodeSequence", "IssuerOfAccessionNumberSequence",
    "ReferencedStudySequence", "PhysiciansOfRecord", "NameOfPhysiciansReadingStudy", "PatientAge", "PatientSize",
    "PatientWeight", "PatientSexNeutered", "AdmissionID", "IssuerOfAdmissionIDSequence", "ServiceEpisodeID",
    "ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID",
    "ClinicalTrialSiteName", "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID", "ClinicalTrialTimePointID",
    "ClinicalTrialTimePointDescription", "LongitudinalTemporalInformationModified",
)  # fmt: skip

_GEOMETRY: Final = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID",
    "PositionReferenceIndicator", "Modality", "InstanceNumber", "Rows", "Columns", "PixelSpacing", "SliceThickness",
    "SpacingBetweenSlices", "ImageOrientationPatient", "ImagePositionPatient", "ImagerPixelSpacing", "PatientOrientation",
    "NumberOfFrames", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "ImageType",
    "DimensionOrganizationSequence", "DimensionIndexSequence", "SamplesPerPixel", "LossyImageCompression",
    "LossyImageCompressionRatio", "LossyImageCompressionMethod",
    # of slides (PS3.3 C.8.12.4, C.7.6.22)
    "TotalPixelMatrixColumns", "TotalPixelMatrixRows", "TotalPixelMatrixOriginSequence", "TotalPixelMatrixFocalPlanes",
    "ImageOrientationSlide", "DimensionOrganizationType", "NumberOfOpticalPaths", "OpticalPathSequence", "ContainerIdentifier",
    "IssuerOfTheContainerIdentifierSequence", "ContainerTypeCodeSequence", "SpecimenDescriptionSequence",
)  # fmt: skip
_EQUIPMENT: Final = (
    "Modality", "Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber", "StationName",
    "InstitutionName", "BodyPartExamined", "Laterality",
)  # fmt: skip
# What presentation states and derived pictures repeat of the image (PS3.3 C.11.1, C.11.2, C.8.12.14).
_VALUES: Final = (
    "PhotometricInterpretation", "RescaleIntercept", "RescaleSlope", "RescaleType", "WindowCenter", "WindowWidth",
    "TotalPixelMatrixColumns", "TotalPixelMatrixRows", "PixelAspectRatio", "BurnedInAnnotation",
    "SequenceOfUltrasoundRegions",
)  # fmt: skip
_OTHERS: Final = ("SpecificCharacterSet", "TimezoneOffsetFromUTC", "ReferencedRequestSequence")
_PLANE: Final = ("FrameOfReferenceUID", "PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "Rows", "Columns")


_CLASS, _UID, _ROWS, _COLUMNS = (Tag(keyword) for keyword in ("SOPClassUID", "SOPInstanceUID", "Rows", "Columns"))
_USED: Final = frozenset(
    Tag(keyword) for keyword in (*_GEOMETRY, *COPIED, *_EQUIPMENT, *_OTHERS, *_VALUES) if tag_for_keyword(keyword) is not None
)


def readable(header: Dataset) -> Dataset:
    """A header reduced to what the writer uses and can read: an attribute with an impossible value counts as absent."""
    kept: dict[BaseTag, DataElement | RawDataElement] = {}
    for tag in header.keys() & _USED:
        try:
            kept[tag] = _sound(header[tag])
        except (ValueError, TypeError, OverflowError, NotImplementedError):
            continue
    return Dataset(kept)


def _sound(element: DataElement) -> DataElement:
    """The element; ValueError if it should be numbers and is not, which pydicom tells nobody until they are used."""
    if element.VR in ("DS", "IS"):
        value = element.value
        for number in value if isinstance(value, MultiValue) else (value,):
            if number not in (None, ""):
                float(number)
    return element


def first_of(analysis: Analysis, headers: Sequence[Dataset]) -> Dataset:
    """A decoded copy of the header that names patient and study. Raises PermanentError when there is none."""
    if not headers:
        raise PermanentError("A result needs the header of at least one object of the study it speaks about.")
    header = next((h for h in headers if h.get("SeriesInstanceUID") == analysis.series_uid), headers[0])
    copy = Dataset()
    for keyword in (*COPIED, *_EQUIPMENT, *_OTHERS):
        if keyword in header:
            copy[keyword] = deepcopy(header[keyword])
    for keyword in TYPE_2:
        if keyword not in copy:
            setattr(copy, keyword, "")
    copy.decode()  # nested text too, or it would keep its old bytes under a new character set
    return copy


def stand_in(header: Dataset, study_uid: str) -> Dataset:
    """The geometry and identity of one image with empty patient attributes, for libraries that read both.

    The patient's own attributes are copied later, unchanged: a library that validates them would refuse a study for a
    birth date in the wrong form.
    """
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword in _GEOMETRY:
        if keyword in header:
            image[keyword] = header[keyword]
    for keyword in TYPE_2:
        setattr(image, keyword, "")
    image.StudyInstanceUID = study_uid
    if not image.get("SliceThickness") and "PixelSpacing" in image:
        image.SliceThickness = image.get("SpacingBetweenSlices") or image.PixelSpacing[0]
    return image


def by_uid(headers: Sequence[Dataset]) -> dict[str, Dataset]:
    """Headers by SOP Instance UID; those without one cannot be referenced and are left out."""
    return {str(uid): h for h in headers if (uid := value(h, _UID)) and value(h, _CLASS)}


def is_image(header: Dataset) -> bool:
    """Whether the object has a pixel matrix to point at."""
    return bool(value(header, _ROWS) and value(header, _COLUMNS))


def value(header: Dataset, tag: BaseTag) -> Any:
    """The value of one attribute, None if it is absent: three times faster than by keyword, which shows in long series."""
    element = header.get(tag)
    return None if element is None else element.value


def has_plane(header: Dataset) -> bool:
    """Whether the image lies in a frame of reference (PS3.3 C.7.6.2)."""
    return all(header.get(keyword) not in (None, "") for keyword in _PLANE)


def extent(header: Dataset) -> tuple[int, int]:
    """Columns and rows that coordinates on an image count in: on a slide, those of the total pixel matrix (PS3.3 C.8.12.4)."""
    return int(header.get("TotalPixelMatrixColumns") or header.Columns), int(header.get("TotalPixelMatrixRows") or header.Rows)
