"""UIDs derive from what they name."""

from pydicom.uid import UID

from sr_writer.identity import tracking_uid, uid


def test_equal_input_gives_an_equal_uid_and_each_part_counts() -> None:
    parts = ("1.2.3", 1, "aa", "bb", "sr")
    assert uid(*parts) == uid(*parts)
    others = [("1.2.4", 1, "aa", "bb", "sr"), ("1.2.3", 2, "aa", "bb", "sr"), ("1.2.3", 1, "ab", "bb", "sr")]
    others += [("1.2.3", 1, "aa", "bc", "sr"), ("1.2.3", 1, "aa", "bb", "seg")]
    assert len({uid(*parts), *(uid(*other) for other in others)}) == 6


def test_parts_do_not_run_into_each_other() -> None:
    assert uid("1.2", 1, "ab", "c", "sr") != uid("1.2", 1, "a", "bc", "sr")


def test_uids_are_valid_and_the_algorithm_does_not_change_by_accident() -> None:
    made = uid("1.2.3", 1, "aa", "bb", "sr")
    assert UID(made).is_valid and made.startswith("2.25.") and len(made) <= 64
    assert made == "2.25.60604168706424636352292417942760643811"


def test_tracking_uids_do_not_depend_on_revision_or_package_version() -> None:
    assert tracking_uid("1.2.3", "p/nodule/1") == tracking_uid("1.2.3", "p/nodule/1")
    assert tracking_uid("1.2.3", "p/nodule/1") != tracking_uid("1.2.3", "p/nodule/2")
    assert tracking_uid("1.2.3", "p/nodule/1") != tracking_uid("1.2.4", "p/nodule/1")
