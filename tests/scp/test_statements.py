"""Reading what others say belongs to a study, also when they are broken or mean harm."""

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from domain.evidence import Commitment, Evidence, Member, Source
from scp import availability, commitment, mpps, references
from scp.references import TooManyError

CT = "1.2.840.10008.5.1.4.1.1.2"


def reference(uid: str, availability: str = "ONLINE") -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID, item.InstanceAvailability = CT, uid, availability
    return item


def series(*uids: str, name: str = "ReferencedImageSequence", uid: str = "1.5") -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = uid
    setattr(item, name, [reference(one) for one in uids])
    return item


def step(status: str = "IN PROGRESS", *performed: Dataset, study: str = "1.2.3") -> Dataset:
    ds, scheduled = Dataset(), Dataset()
    scheduled.StudyInstanceUID = study
    ds.ScheduledStepAttributesSequence = [scheduled]
    ds.PerformedProcedureStepStatus = status
    ds.PerformedSeriesSequence = list(performed)
    return ds


def uids(evidence: Evidence | None) -> list[str]:
    assert evidence is not None
    return [member.sop_instance_uid for member in evidence.members]


pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR UI")


def test_a_step_names_its_study_when_it_begins_and_its_images_when_it_ends() -> None:
    begun = mpps.created("1.9", step())
    assert begun == Evidence(Source.MPPS, "1.9", "1.2.3", final=False)
    others = series("1.7", name="ReferencedNonImageCompositeSOPInstanceSequence", uid="1.6")
    ended = mpps.changed("1.9", step("COMPLETED", series("1.1", "1.2"), others))
    assert (ended.final, ended.study_uid, uids(ended)) == (True, "", ["1.1", "1.2", "1.7"])
    assert ended.members[0] == Member(CT, "1.1", "1.5")


def test_a_discontinued_step_has_ended_and_one_without_status_has_not() -> None:
    assert mpps.changed("1.9", step("DISCONTINUED")).final
    assert not mpps.changed("1.9", Dataset()).final


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        (step("COMPLETED"), 0x0106),
        (step(study=""), 0x0120),
        (step(study="Doe^John"), 0x0120),
        (Dataset(), 0x0106),
    ],
    ids=["it begins completed", "no study", "a study that is no UID", "nothing"],
)
def test_a_step_that_cannot_be_understood_is_refused(attributes: Dataset, status: int) -> None:
    with pytest.raises(mpps.RefusedStepError) as refused:
        mpps.created("1.9", attributes)
    assert refused.value.status == status
    assert "Doe" not in str(refused.value)


def test_a_step_over_two_studies_is_refused() -> None:
    two = step()
    two.ScheduledStepAttributesSequence.append(step(study="4.5").ScheduledStepAttributesSequence[0])
    with pytest.raises(mpps.RefusedStepError):
        mpps.created("1.9", two)


def test_an_unknown_status_is_refused() -> None:
    with pytest.raises(mpps.RefusedStepError):
        mpps.changed("1.9", step("FINISHED"))


def notification(*items: Dataset) -> Dataset:
    ds = Dataset()
    ds.StudyInstanceUID = "1.2.3"
    one = Dataset()
    one.SeriesInstanceUID = "1.5"
    one.ReferencedSOPSequence = list(items)
    ds.ReferencedSeriesSequence = [one]
    return ds


def test_a_notification_lists_what_is_available_and_leaves_out_what_is_not() -> None:
    listed = notification(reference("1.1"), reference("1.2", "UNAVAILABLE"), reference("1.3", "NEARLINE"))
    found = availability.notified("1.9", listed)
    assert uids(found) == ["1.1", "1.3"]
    assert found is not None and (found.study_uid, found.subject, found.final) == ("1.2.3", "1.9", True)


def test_a_notification_of_nothing_is_none() -> None:
    assert availability.notified("1.9", notification(reference("1.1", "UNAVAILABLE"))) is None
    assert availability.notified("1.9", Dataset()) is None


def request(*listed: str, transaction: str = "1.9") -> Dataset:
    ds = Dataset()
    ds.TransactionUID = transaction
    ds.ReferencedSOPSequence = [reference(uid) for uid in listed]
    return ds


def test_a_commitment_request_lists_each_instance_once_and_none_that_cannot_exist() -> None:
    assert uids(commitment.requested(request("1.1", "1.1", "", "x/../y", "1" * 65, "1.2"))) == ["1.1", "1.2"]


@pytest.mark.parametrize("asked", [request(), request("1.1", transaction=""), request("nonsense"), Dataset()])
def test_a_commitment_request_for_nothing_is_none(asked: Dataset) -> None:
    assert commitment.requested(asked) is None


def test_a_statement_longer_than_anybody_makes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "MOST_MEMBERS", 3)
    assert len(uids(commitment.requested(request("1.1", "1.2", "1.3")))) == 3
    with pytest.raises(TooManyError):
        commitment.requested(request("1.1", "1.2", "1.3", "1.4"))


def test_a_report_tells_what_is_durable_and_what_is_not() -> None:
    member, other = Member(CT, "1.1"), Member(CT, "1.2")
    kind, whole = commitment.report(Commitment("1.9", (member,), ()), "ANCILLA")
    assert (kind, whole.TransactionUID, whole.RetrieveAETitle) == (1, "1.9", "ANCILLA")
    assert "FailedSOPSequence" not in whole
    kind, part = commitment.report(Commitment("1.9", (member,), (other,)), "ANCILLA")
    assert kind == 2
    assert [item.ReferencedSOPInstanceUID for item in part.ReferencedSOPSequence] == ["1.1"]
    assert [(item.ReferencedSOPInstanceUID, item.FailureReason) for item in part.FailedSOPSequence] == [("1.2", 0x0112)]
    assert "ReferencedSOPSequence" not in commitment.report(Commitment("1.9", (), (other,)), "ANCILLA")[1]


HOSTILE: list[Callable[[], object]] = [
    lambda: "text where a sequence should be",
    lambda: ["1.1", "1.2"],
    lambda: b"\xff" * 20,
    lambda: None,
    lambda: 17,
]


@pytest.mark.parametrize("value", HOSTILE, ids=["text", "texts", "bytes", "nothing", "a number"])
@pytest.mark.parametrize("keyword", ["PerformedSeriesSequence", "ScheduledStepAttributesSequence", "ReferencedSOPSequence"])
def test_what_is_no_sequence_lists_nothing(keyword: str, value: Callable[[], object]) -> None:
    ds = Dataset()
    element = DataElement(Tag(keyword), "LO", None, already_converted=True)
    element._value = value()
    ds[keyword] = element
    assert references.items(ds, keyword) == []


@settings(max_examples=300, deadline=None)
@example(raw=b"\0\0\0\0\0\0\0\x01\0\0\0\0AA\0\0", vr="SQ")  # an element of no known kind inside a sequence that stands for a UID
@given(st.binary(max_size=40), st.sampled_from(["SQ", "UI", "CS", "FD", "US", "ZZ"]))
def test_bytes_of_any_kind_raise_nothing(raw: bytes, vr: str) -> None:
    ds = Dataset()
    for keyword in ("PerformedSeriesSequence", "ReferencedSeriesSequence", "ReferencedSOPSequence", "StudyInstanceUID"):
        tag = Tag(keyword)
        ds._dict[tag] = RawDataElement(tag, vr, len(raw), raw, 0, False, True)
    assert references.items(ds, "PerformedSeriesSequence") is not None
    assert mpps.changed("1.9", ds).members == ()
    assert availability.notified("1.9", ds) is None
    assert commitment.requested(ds) is None
