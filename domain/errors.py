"""Errors are named by what to do about them, so that no caller has to guess.

AncillaError
|- TransientError        try again later (network down, disk full)
|  |- OutOfSpaceError    the spool is below its reserve: C-STORE answers 0xA700
|  `- NotKeptError       what was taken until its association ends could not be kept: no release, an abort
|- UnsuitableError       a statement about the input, not a fault: the PACS is told "not analysed", and why
`- PermanentError        give up; trying again gives the same
   |- UnnameableError    an object without usable UIDs, or no DICOM at all: C-STORE answers 0xC000
   |- ConfigurationError one sentence that names the key and says what to do: exit code 2
   |- PackageError       a model package that is incomplete, tampered with or asks for an unknown step
   `- LostLeaseError     somebody else holds this job now; drop the result
"""

from enum import StrEnum


class AncillaError(Exception):
    """Root of every error this product raises on purpose; its text is one sentence fit for an administrator."""


class TransientError(AncillaError):
    """Try again later."""


class OutOfSpaceError(TransientError):
    """Free space is below the configured reserve."""


class NotKeptError(TransientError):
    """Images acknowledged on condition that their association is released could not be made durable."""


class PermanentError(AncillaError):
    """Give up: the same input gives the same error."""


class UnnameableError(PermanentError):
    """The object cannot be identified (no usable UIDs, or not DICOM)."""


class ConfigurationError(PermanentError):
    """The configuration or the command line is wrong; the text names the key."""


class PackageError(PermanentError):
    """A model package cannot be trusted or understood."""


class LostLeaseError(PermanentError):
    """The lease of a claimed job ran out and another worker may hold it."""


class Reason(StrEnum):
    """Why an input was not analysed; the value is stable and stands in the audit log and in the SR."""

    NO_IMAGES = "no-images"
    TOO_FEW_SLICES = "too-few-slices"
    SPACING = "slice-spacing"
    GAP = "missing-slices"
    DUPLICATE_POSITION = "duplicate-positions"
    MIXED_ORIENTATION = "mixed-orientations"
    ORIENTATION = "orientation"
    LOCALIZER = "localizer"
    GEOMETRY = "geometry"
    MODALITY = "modality"
    RESCALE = "rescale"
    DECODE = "undecodable"
    TOO_LARGE = "too-large"
    MISSING_SERIES = "missing-series"
    FRAME_OF_REFERENCE = "frame-of-reference"
    OTHER = "other"


class UnsuitableError(AncillaError):
    """The input does not meet the model's contract: an answer in itself, sent to the PACS as *not analysed*.

    ``reason`` is the code, ``str(error)`` the sentence a radiologist reads.
    """

    def __init__(self, reason: Reason, words: str) -> None:
        super().__init__(words)
        self.reason = reason

    def __reduce__(self) -> tuple[type["UnsuitableError"], tuple[Reason, str]]:
        return (UnsuitableError, (self.reason, str(self)))
