"""What a report says, read without the code that wrote it."""

from collections.abc import Iterator

from pydicom.dataset import Dataset

TRACKING_UID = "112040"


def items(ds: Dataset) -> Iterator[Dataset]:
    """Every content item of a Structured Report."""
    for item in ds.get("ContentSequence", ()):
        yield item
        yield from items(item)


def concept(item: Dataset) -> str:
    """The code of a content item's name."""
    names = item.get("ConceptNameCodeSequence")
    return str(names[0].CodeValue) if names else ""


def words(ds: Dataset) -> str:
    """All text and the meaning of all codes that are values."""
    found = []
    for item in items(ds):
        if "TextValue" in item:
            found.append(str(item.TextValue))
        if "ConceptCodeSequence" in item:
            found.append(str(item.ConceptCodeSequence[0].CodeMeaning))
    return "\n".join(found)


def tracking_uids(ds: Dataset) -> set[str]:
    """Tracking Unique Identifiers (PS3.16 TID 1501)."""
    return {str(item.UID) for item in items(ds) if concept(item) == TRACKING_UID}


def predecessors(ds: Dataset) -> set[str]:
    """SOP Instance UIDs in the Predecessor Documents Sequence (PS3.3 C.17.2)."""
    return {
        str(instance.ReferencedSOPInstanceUID)
        for study in ds.get("PredecessorDocumentsSequence", ())
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }


def measured(ds: Dataset) -> list[tuple[str, float, str]]:
    """Every number: the meaning of its name, the value, the unit."""
    found = []
    for item in items(ds):
        if "MeasuredValueSequence" in item and item.MeasuredValueSequence:
            value = item.MeasuredValueSequence[0]
            name = str(item.ConceptNameCodeSequence[0].CodeMeaning)
            found.append((name, float(value.NumericValue), str(value.MeasurementUnitsCodeSequence[0].CodeValue)))
    return found
