"""Coded concepts the writer itself uses, and the way from the product's codes to those of DICOM."""

from typing import Final

from highdicom.sr import CodedConcept

from domain.errors import PermanentError, Reason
from domain.jobs import Outcome
from domain.results import Code

PRIVATE: Final = "99ANCILLA"

AI_FAMILY: Final = Code("123110", "DCM", "Artificial Intelligence")  # CID 7162
ACQUISITION: Final = Code("109101", "DCM", "Acquisition Equipment")  # CID 7005
PROCESSING: Final = Code("109102", "DCM", "Processing Equipment")
DEVICE: Final = Code("121007", "DCM", "Device")
SUMMARY: Final = Code("111017", "DCM", "CAD Processing and Findings Summary")
IMAGING_MEASUREMENTS: Final = Code("126010", "DCM", "Imaging Measurements")
CONCLUSION: Final = Code("121077", "DCM", "Conclusion")
COMMENT: Final = Code("121106", "DCM", "Comment")
QUALITATIVE_EVALUATIONS: Final = Code("C0034375", "UMLS", "Qualitative Evaluations")  # TID 1500 row 12
IMAGE_REGION: Final = Code("111030", "DCM", "Image Region")
SOURCE_IMAGE: Final = Code("121322", "DCM", "Source Image for Image Processing Operation")  # CID 7202
OF_INTEREST: Final = Code("113000", "DCM", "Of Interest")  # CID 7010
MEASUREMENT_REPORT: Final = Code("126000", "DCM", "Imaging Measurement Report")  # CID 7021
PROBABILITY: Final = Code("122157", "DCM", "Probability")
NO_UNITS: Final = Code("1", "UCUM", "no units")
WHOLE_FINDING: Final = Code("WHOLE_FINDING", PRIVATE, "Whole finding, all slices")
WHOLE_STUDY: Final = Code("WHOLE_STUDY", PRIVATE, "Whole study, all images")
REASON: Final = Code("REASON", PRIVATE, "Reason for missing analysis")
FAILED: Final = Code("FAILED", PRIVATE, "Processing failed")

# CID 6047: "succeeded" is about the algorithm, "findings" about the patient.
SUMMARIES: Final = {
    Outcome.POSITIVE: Code("111242", "DCM", "All algorithms succeeded; with findings"),
    Outcome.NEGATIVE: Code("111241", "DCM", "All algorithms succeeded; without findings"),
    Outcome.NOT_ANALYSED: Code("111245", "DCM", "No algorithms succeeded; without findings"),
    Outcome.FAILED: Code("111245", "DCM", "No algorithms succeeded; without findings"),
}
PARTLY: Final = {
    Outcome.POSITIVE: Code("111244", "DCM", "Not all algorithms succeeded; with findings"),
    Outcome.NEGATIVE: Code("111243", "DCM", "Not all algorithms succeeded; without findings"),
}

# Code Value is SH, 16 characters at most (PS3.5 table 6.2-1), so the reasons have short values of their own.
REASONS: Final = {
    Reason.NO_IMAGES: Code("NO_IMAGES", PRIVATE, "No images to analyse"),
    Reason.TOO_FEW_SLICES: Code("TOO_FEW_SLICES", PRIVATE, "Too few slices"),
    Reason.SPACING: Code("SLICE_SPACING", PRIVATE, "Slice spacing not supported"),
    Reason.GAP: Code("MISSING_SLICES", PRIVATE, "Slices missing"),
    Reason.DUPLICATE_POSITION: Code("DUPLICATE_POS", PRIVATE, "Several images at one position"),
    Reason.MIXED_ORIENTATION: Code("MIXED_ORIENT", PRIVATE, "Images of several orientations"),
    Reason.ORIENTATION: Code("ORIENTATION", PRIVATE, "Orientation not supported"),
    Reason.LOCALIZER: Code("LOCALIZER", PRIVATE, "Localizer images only"),
    Reason.GEOMETRY: Code("GEOMETRY", PRIVATE, "Geometry missing or contradictory"),
    Reason.MODALITY: Code("MODALITY", PRIVATE, "Modality not supported"),
    Reason.RESCALE: Code("RESCALE", PRIVATE, "Pixel values cannot be converted"),
    Reason.DECODE: Code("UNDECODABLE", PRIVATE, "Pixel data cannot be decoded"),
    Reason.TOO_LARGE: Code("TOO_LARGE", PRIVATE, "Series too large"),
    Reason.MISSING_SERIES: Code("MISSING_SERIES", PRIVATE, "A series of the model's input is missing"),
    Reason.FRAME_OF_REFERENCE: Code("FRAME_OF_REF", PRIVATE, "No common frame of reference"),
    Reason.OTHER: Code("OTHER", PRIVATE, "Other reason"),
}


def concept(code: Code) -> CodedConcept:
    """The code as highdicom wants it. Raises PermanentError for a code that DICOM cannot hold (PS3.3 section 8.8)."""
    if not code.value or not code.scheme or not code.meaning:
        raise PermanentError(f"The code ({code.value}, {code.scheme}, {code.meaning}) lacks a value, a scheme or a meaning.")
    if len(code.meaning) > 64 or len(code.scheme) > 16:
        raise PermanentError(f"The code ({code.value}, {code.scheme}) has a meaning over 64 or a scheme over 16 characters.")
    return CodedConcept(code.value, code.scheme, code.meaning)
