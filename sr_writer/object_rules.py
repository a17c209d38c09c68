"""Rules for every kind of result: which study it belongs to, who made it, when, and how it stands in lists."""

from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset

from sr_writer.rule import Facts, Level, Rule, Words, is_result, some

_MAX_DESCRIPTION: Final = 64  # characters of VR LO (PS3.5 table 6.2-1)
_HIGH: Final = 900  # scanners number their series far below
_COPIED: Final = ("PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyID")
_TEXTS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})


def _series_named(facts: Facts) -> Words:
    text = str(facts.dataset.get("SeriesDescription", ""))
    right = text.startswith("AI") and len(text) <= _MAX_DESCRIPTION
    return None if right else 'Series Description does not start with "AI" or is too long'


def _series_numbered(facts: Facts) -> Words:
    """High, and none of the images' own."""
    number = facts.dataset.get("SeriesNumber")
    taken = {int(h.SeriesNumber) for h in facts.headers if h.get("SeriesNumber") not in (None, "")}
    right = number not in (None, "") and int(number) >= _HIGH and int(number) not in taken
    return None if right else "Series Number is missing, low or that of a series of images"


def _same_study(facts: Facts) -> Words:
    studies = {str(h.StudyInstanceUID) for h in facts.headers if h.get("StudyInstanceUID")}
    same = not studies or str(facts.dataset.get("StudyInstanceUID")) in studies
    return None if same else "another study than the images"


def _same_patient(facts: Facts) -> Words:
    """Archives file by these: a copy that differs makes a second patient or a second order."""
    ours = [str(facts.dataset.get(k) or "") for k in _COPIED]
    study = [h for h in facts.headers if h.get("StudyInstanceUID") == facts.dataset.get("StudyInstanceUID")]
    wrong = [k for k, value in zip(_COPIED, ours, strict=True) if any(str(h.get(k) or "") != value for h in study)]
    return f"{', '.join(wrong)} differ from the images" if wrong else None


def _contributed(facts: Facts) -> Words:
    items = facts.dataset.get("ContributingEquipmentSequence") or ()
    purposes = [i.get("PurposeOfReferenceCodeSequence") for i in items]
    right = any(p and str(p[0].get("CodeValue")) == "109102" for p in purposes)
    return None if right else "no Processing Equipment (109102, DCM) in Contributing Equipment Sequence"


def _timed(facts: Facts) -> Words:
    ds = facts.dataset
    created = ds.get("PresentationCreationDate") or (ds.get("ContentDate") and ds.get("ContentTime"))
    right = created and ds.get("TimezoneOffsetFromUTC")
    return None if right else "no Content Date and Time with Timezone Offset From UTC"


def _spelled(facts: Facts) -> Words:
    """Text beyond ASCII needs a Specific Character Set to be read at all."""
    if facts.dataset.get("SpecificCharacterSet"):
        return None
    return some([text for text in _texts(facts.dataset) if not text.isascii()], "texts are not ASCII without a character set")


def _texts(ds: Dataset) -> Iterator[str]:
    for element in ds:
        if element.VR == "SQ" and element.keyword != "PerFrameFunctionalGroupsSequence":
            for item in element.value:
                yield from _texts(item)
        elif element.VR in _TEXTS and element.value:
            yield str(element.value)


_AIR: Final = "IHE RAD AI Results, Evidence Creator"

OBJECT_RULES: Final = (
    Rule("series-description", is_result, _series_named, "the reader sees in the list that it is an AI result", _AIR),
    Rule("series-number", is_result, _series_numbered, "lists sort by it: results stand behind the images", _AIR, Level.WARNING),
    Rule("study", is_result, _same_study, "a result belongs to the study of its images", "PS3.3 C.7.2.1"),
    Rule("patient", is_result, _same_patient, "archives file by patient, issuer, order and study ID", "PS3.3 C.7.1.1"),
    Rule("contributing-equipment", is_result, _contributed, "which algorithm, in which version", f"{_AIR} 6.5.3.1"),
    Rule("time", is_result, _timed, "when the analysis began, on which clock", f"{_AIR} 6.5.3.1", Level.WARNING),
    Rule("character-set", is_result, _spelled, "names are read as question marks", "PS3.3 C.12.1.1.2"),
)
