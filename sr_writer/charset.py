"""Text in the character set of the images, so that names survive byte for byte; UTF-8 when that set is too small for ours."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Final

from pydicom.charset import convert_encodings, decode_bytes, encode_string
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

UTF8: Final = "ISO_IR 192"
_TEXT_VRS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})  # PS3.5 section 6.1.2.2
_PER_FRAME: Final = 0x52009230  # Per-Frame Functional Groups Sequence
_DELIMITERS: Final = {0x5C, 0x09, 0x0A, 0x0C, 0x0D}


def adopt(dataset: Dataset, source: Sequence[str]) -> None:
    """Set Specific Character Set of a finished data set: that of the images if it holds every text, else UTF-8.

    ``source`` are the values of (0008,0005) of the images; empty means the default repertoire (ASCII).
    """
    texts = set(_texts(dataset))
    names = list(source)
    if not any(names) and all(text.isascii() for text in texts):
        dataset.pop("SpecificCharacterSet", None)
        return
    fits = any(names) and all(_survives(text, names) for text in texts)
    dataset.SpecificCharacterSet = names if fits else UTF8


def declared(header: Dataset) -> list[str]:
    """The values of Specific Character Set (0008,0005) as strings; one empty string stands for the default repertoire."""
    value = header.get("SpecificCharacterSet")
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str) else [str(item or "") for item in value]


def _survives(text: str, names: list[str]) -> bool:
    """Whether the text comes back from its bytes as it was; pydicom itself only warns and writes question marks."""
    if text.isascii():
        return True
    try:
        encodings = convert_encodings(names)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return decode_bytes(encode_string(text, encodings), encodings, _DELIMITERS) == text
    except (LookupError, ValueError):
        return False


def elements(dataset: Dataset) -> Iterator[DataElement]:
    """Those of a data set in any order, but for Per-Frame Functional Groups: ten thousands of items, and no text but ASCII code
    meanings. Half the time of iterating over the data set, which sorts its tags."""
    for tag, element in dataset.items():
        if isinstance(element, DataElement) and element.VR != "SQ":
            yield element
        elif tag != _PER_FRAME:
            yield dataset[tag]


def _texts(dataset: Dataset) -> Iterator[str]:
    for element in elements(dataset):
        if element.VR == "SQ":
            for item in element.value:
                yield from _texts(item)
        elif element.VR in _TEXT_VRS:
            yield from _strings(element)


def _strings(element: DataElement) -> Iterator[str]:
    values = element.value if element.VM > 1 else [element.value]
    for value in values:
        if isinstance(value, PersonName):
            for group in value.components:
                yield from group.split("^")
        elif value:
            yield str(value)
