"""The procedure a report speaks about, in codes that every reader of TID 1500 knows."""

from typing import Final

from pydicom.dataset import Dataset

from domain.results import Algorithm, Code

# PS3.16 CID 100, Quantitative Diagnostic Imaging Procedure: what TID 1500 row 8 takes Procedure Reported from.
_KNOWN: Final = frozenset(
    {
        ("363679005", "SCT"), ("258177008", "SCT"), ("126020", "DCM"), ("126021", "DCM"), ("126022", "DCM"), ("433139009", "SCT"),
        ("446315002", "SCT"), ("25045-6", "LN"), ("25056-3", "LN"), ("49118-3", "LN"), ("44136-0", "LN"), ("44139-4", "LN"),
        ("443271005", "SCT"), ("443844003", "SCT"), ("39142-5", "LN"), ("39632-5", "LN"), ("RPID5427", "RADLEX"),
    }
)  # fmt: skip
_OF_MODALITY: Final = {
    "CT": Code("25045-6", "LN", "CT unspecified body region"),
    "MR": Code("25056-3", "LN", "MRI unspecified body region"),
    "NM": Code("49118-3", "LN", "NM unspecified body region"),
    "PT": Code("44136-0", "LN", "PET unspecified body region"),
}
_ANY: Final = Code("363679005", "SCT", "Imaging procedure")


def reported(algorithm: Algorithm, image: Dataset) -> Code:
    """Procedure Reported: that of the package when CID 100 has it, else the one of CID 100 for the modality of ``image``.

    The group may be extended, but validators do not follow; the package's own, more exact code stands in Performed Procedure
    Code Sequence (PS3.3 C.17.2), and what was ordered in Procedure Code Sequence.
    """
    own = algorithm.procedure
    return own if (own.value, own.scheme) in _KNOWN else _OF_MODALITY.get(str(image.get("Modality", "")), _ANY)
