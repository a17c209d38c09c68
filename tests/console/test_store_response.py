"""HTTP status and response module as PS3.18 section 10.5.3 and annex I say."""

import pytest
from pydicom.dataset import Dataset

from console.desk import Outcome
from console.store_response import document, http_status, warning

GOOD = Outcome(0, "", "1.2", "1.2.3")
CONFLICT = Outcome(0, "", "1.2", "1.2.4", conflict=True)
FULL = Outcome(0xA700, "no space", "1.2", "1.2.5")
LARGE = Outcome(0xA700, "too large", "1.2", "1.2.6", too_large=True)
OTHER = Outcome(0xC409, "another study", "1.2", "1.2.7")
NAMELESS = Outcome(0xC000, "no Study Instance UID")


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([GOOD, GOOD], 200),
        ([GOOD, CONFLICT], 202),
        ([GOOD, FULL], 202),
        ([FULL, FULL], 503),
        ([LARGE], 413),
        ([LARGE, FULL], 409),
        ([FULL, OTHER], 409),
        ([NAMELESS], 409),
    ],
)
def test_the_status_says_how_much_was_stored(outcomes: list[Outcome], status: int) -> None:
    assert http_status(outcomes) == status


def test_every_file_is_in_the_sequence_for_what_became_of_it() -> None:
    found = Dataset.from_json(document([GOOD, CONFLICT, FULL, OTHER, NAMELESS]))
    assert [one.ReferencedSOPInstanceUID for one in found.ReferencedSOPSequence] == ["1.2.3", "1.2.4"]
    assert [one.ReferencedSOPClassUID for one in found.ReferencedSOPSequence] == ["1.2", "1.2"]
    assert [one.get("WarningReason") for one in found.ReferencedSOPSequence] == [None, 0xB409]
    failed = [(one.ReferencedSOPInstanceUID, one.FailureReason) for one in found.FailedSOPSequence]
    assert failed == [("1.2.5", 0xA700), ("1.2.7", 0xC409)]
    assert [one.FailureReason for one in found.OtherFailuresSequence] == [0xC000]
    assert found.RetrieveURL in ("", None)


def test_sequences_without_items_are_left_out_and_the_first_reason_is_a_warning() -> None:
    assert set(document([GOOD])) == {"00081190", "00081199"}
    assert set(document([FULL])) == {"00081190", "00081198"}
    assert warning([GOOD, FULL, OTHER]) == '299 ancilla "no space"'
    assert warning([GOOD]) == ""
