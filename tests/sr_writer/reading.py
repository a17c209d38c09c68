"""Ways to look into a content tree, written apart from the rules they check."""

import io
from collections.abc import Iterator

import pydicom
from pydicom.dataset import Dataset

from sr_writer.document import Document


def saved(document: Document) -> bytes:
    stream = io.BytesIO()
    document.write(stream)
    return stream.getvalue()


def reread(document: Document) -> Dataset:
    """Through the file format and back, as a PACS would see it."""
    return pydicom.dcmread(io.BytesIO(saved(document)))


def by_role(documents: tuple[Document, ...]) -> dict[str, Dataset]:
    return {document.role: reread(document) for document in documents}


def named(item: Dataset, code: str) -> list[Dataset]:
    return [i for i in item.get("ContentSequence", ()) if i.ConceptNameCodeSequence[0].CodeValue == code]


def groups(report: Dataset) -> list[Dataset]:
    return [group for container in named(report, "126010") for group in named(container, "125007")]


def template(group: Dataset) -> str:
    return str(group.ContentTemplateSequence[0].TemplateIdentifier)


def tracking(group: Dataset) -> tuple[str, str]:
    return str(named(group, "112039")[0].TextValue), str(named(group, "112040")[0].UID)


def walk(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", ()):
        yield child
        yield from walk(child)
