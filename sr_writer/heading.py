"""What stands around the content: patient, study, series, equipment and time, derived and never drawn from a clock."""

from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from domain.results import Algorithm
from sr_writer import codes
from sr_writer.charset import adopt, declared, elements
from sr_writer.context import Context
from sr_writer.identity import tracking_uid, uid
from sr_writer.source import COPIED

# PS3.7 D.3.3.2: one UID for this writer, whatever it writes.
IMPLEMENTATION_UID: Final = "2.25.12849663802249627628168728046709690660"
IMPLEMENTATION_NAME: Final = "ANCILLA_1"
# Last digit of the Series Number by role. What needs more than ten stands far behind, where no other model's results are.
NUMBERS: Final = {
    "sr": 0, "seg": 1, "sr-volumetric": 2, "labelmap": 3, "gsps": 4, "sc": 5, "pdf": 6, "ann": 7, "kos": 8, "pm": 9,
    "fractional": 40_000,
    "sr-comprehensive": 0, "sr-enhanced": 0,  # sent instead of "sr", never beside it
}  # fmt: skip
_BASE_NUMBER: Final = 9000
_NEXT_OF_ROLE: Final = 10_000  # between "seg" and "seg-2"


@dataclass(frozen=True, slots=True)
class Heading:
    """What the objects of one result share, and how each of them is named. ``first`` names patient and study."""

    algorithm: Algorithm
    context: Context
    first: Dataset

    def uid(self, role: str) -> str:
        """The UID of the object of this role, or of what belongs to it ("sr/series")."""
        c = self.context
        return uid(c.study_uid, c.revision, c.input_digest, c.package_digest, role)

    def series_number(self, role: str) -> int:
        """Unique within a study: 9000 + 10 x slot + role; "seg-2", the second of its kind, stands 10,000 behind the first."""
        kind, _, suffix = role.rpartition("-")
        kind, nth = (kind, int(suffix)) if suffix.isdecimal() else (role, 1)
        return _BASE_NUMBER + 10 * self.context.slot + NUMBERS[kind] + _NEXT_OF_ROLE * (nth - 1)

    def tracking_uid(self, tracking_id: str) -> str:
        """That of the earlier result it was matched with, else derived from this study."""
        return self.context.tracking.get(tracking_id) or tracking_uid(self.context.study_uid, tracking_id)

    def arguments(self, role: str) -> dict[str, Any]:
        """What every constructor of highdicom wants to know."""
        return {
            "series_instance_uid": self.uid(role + "/series"),
            "series_number": self.series_number(role),
            "sop_instance_uid": self.uid(role),
            "instance_number": 1,
            "manufacturer": short(self.algorithm.manufacturer),
            "specific_character_set": None,
        }

    def begin(self, sop_class_uid: str, modality: str, role: str, number: int = 1) -> Dataset:
        """A data set with its identity, for objects that no library makes. ``number`` tells the objects of one series apart:
        those of a role "sc" are "sc-1", "sc-2" ...
        """
        dataset = Dataset()
        dataset.SOPClassUID = sop_class_uid
        dataset.SOPInstanceUID = self.uid(f"{role}-{number}")
        dataset.Modality = modality
        dataset.StudyInstanceUID = self.context.study_uid
        dataset.SeriesInstanceUID = self.uid(role + "/series")
        dataset.SeriesNumber = _BASE_NUMBER + 10 * self.context.slot + NUMBERS[role]
        dataset.InstanceNumber = number
        if modality != "DOC":
            self.place(dataset)
        return dataset

    def place(self, dataset: Dataset) -> None:
        """Laterality is of type 2C where the body part may be a paired one (PS3.3 C.7.3.1): as the images say it, and empty when
        they name neither side nor body part."""
        if self.first.get("BodyPartExamined"):
            dataset.BodyPartExamined = self.first.BodyPartExamined
        if self.first.get("Laterality") or "BodyPartExamined" not in dataset:
            dataset.Laterality = self.first.get("Laterality", "")

    def finish(self, dataset: Dataset, series_description: str) -> None:
        """Replace what a library drew from a clock or at random, copy patient and study, choose the character set."""
        for keyword in COPIED:
            if keyword in self.first:
                dataset[keyword] = deepcopy(self.first[keyword])
        self._equipment(dataset)
        self._times(dataset)
        dataset.SeriesDescription = series_description
        if "BodyPartExamined" in self.first and dataset.Modality == "SEG":
            dataset.BodyPartExamined = self.first.BodyPartExamined
        _meta(dataset)
        _private_schemes(dataset, self.algorithm.manufacturer)
        adopt(dataset, declared(self.first))

    def describe(self, words: str) -> str:
        """A Series Description of at most 64 characters (PS3.5 table 6.2-1).

        The answer comes first: lists show about 25 characters of it. The kind of use ends it, whatever the name's length.
        """
        head, tail = f"AI {words}: ", ", research use"
        return head + _long(self.algorithm.name, 64 - len(head) - len(tail)) + tail

    def started(self) -> datetime:
        """The start of the analysis on the clock of the images, if they say which that is."""
        offset = _offset(str(self.first.get("TimezoneOffsetFromUTC", "")))
        return self.context.started_at if offset is None else self.context.started_at.astimezone(offset)

    def _equipment(self, dataset: Dataset) -> None:
        """PS3.3 C.7.5.1 and C.7.5.2: SEG demands all of manufacturer, model, serial number and versions."""
        ours = self._ours()
        for keyword in ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions", "InstitutionName"):
            if keyword in ours:
                dataset[keyword] = ours[keyword]
        ours.PurposeOfReferenceCodeSequence = [codes.concept(codes.PROCESSING)]
        ours.DeviceUID = self.context.device_uid
        ours.ContributionDateTime = self.started().strftime("%Y%m%d%H%M%S.%f%z")
        ours.ContributionDescription = self.algorithm.disclaimer
        dataset.ContributingEquipmentSequence = [*_scanner(self.first), ours]

    def _ours(self) -> Dataset:
        item = Dataset()
        item.Manufacturer = short(self.algorithm.manufacturer)
        item.ManufacturerModelName = short(self.algorithm.name)
        item.DeviceSerialNumber = self.algorithm.digest[:16] or "0"
        item.SoftwareVersions = short(self.algorithm.version)
        if self.context.institution:
            item.InstitutionName = _long(self.context.institution)
        return item

    def _times(self, dataset: Dataset) -> None:
        started = self.started()
        for prefix in ("InstanceCreation", "Content", "Series"):
            setattr(dataset, prefix + "Date", started.strftime("%Y%m%d"))
            setattr(dataset, prefix + "Time", started.strftime("%H%M%S.%f"))
        dataset.TimezoneOffsetFromUTC = started.strftime("%z")[:5] or "+0000"


def _scanner(first: Dataset) -> list[Dataset]:
    """The scanner stays visible as (109101, DCM, "Acquisition Equipment") when it says who made it."""
    if not first.get("Manufacturer"):
        return []
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [codes.concept(codes.ACQUISITION)]
    for keyword in ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber", "StationName"):
        if first.get(keyword):
            item[keyword] = deepcopy(first[keyword])
    return [item]


def _meta(dataset: Dataset) -> None:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_NAME
    dataset.file_meta = meta
    dataset.preamble = b"\x00" * 128


def _private_schemes(dataset: Dataset, organization: str) -> None:
    """PS3.3 C.12.1.1: who answers for the private coding schemes used anywhere in the object."""
    items = []
    for designator in sorted(_designators(dataset)):
        item = Dataset()
        item.CodingSchemeDesignator = designator
        item.CodingSchemeResponsibleOrganization = "Ancilla" if designator == codes.PRIVATE else organization
        items.append(item)
    if items:
        dataset.CodingSchemeIdentificationSequence = items


def _designators(dataset: Dataset) -> set[str]:
    """Designators that begin with 99 are private (PS3.3 section 8.2)."""
    found: set[str] = set()
    for element in elements(dataset):
        if element.VR == "SQ":
            for item in element.value:
                found |= _designators(item)
        elif element.VR == "SH" and element.keyword == "CodingSchemeDesignator" and str(element.value).startswith("99"):
            found.add(str(element.value))
    return found


def _offset(text: str) -> timezone | None:
    if len(text) != 5 or text[0] not in "+-" or not text[1:].isdecimal():
        return None
    minutes = int(text[1:3]) * 60 + int(text[3:])
    return timezone(timedelta(minutes=minutes if text[0] == "+" else -minutes)) if minutes < 24 * 60 else None


def _long(text: str, length: int = 64) -> str:
    """Fit for VR LO: no backslash, which separates values, and no more characters than allowed."""
    return " ".join(text.replace("\\", "/").split())[:length].rstrip()


def short(text: str) -> str:
    """A name made fit for VR LO, never empty: the attributes that need one are of type 1."""
    return _long(text) or "unknown"
