"""MPPS, instance availability and storage commitment as modalities speak them, by both ways of reading."""

import queue
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.dsutils import decode, encode
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    CTImageStorage,
    InstanceAvailabilityNotification,
    ModalityPerformedProcedureStep,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    Verification,
)

from delivery.answers import keep_answers
from domain.errors import TransientError
from domain.evidence import Commitment, Evidence, Member, Source
from domain.instances import Caller
from scp.receiver import Receiver
from scp.reports import Tls, plain
from scp.settings import Peer, ReceiverSettings
from tests.peers import free_port, wait_for
from tests.scp.certificates import Authority
from tests.scp.recording_intake import RecordingIntake
from tests.scp.test_statements import notification, reference, request, series, step
from tests.scp.wire import IMPLICIT, Sender, pdata, pdv

STEP = "1.2.826.0.1.9"


@dataclass
class Witness:
    """Keeps what it is told; ``durable`` are the instances it answers a commitment for."""

    heard: list[tuple[str, Caller, Evidence]] = field(default_factory=list)
    durable: frozenset[str] = frozenset()
    fault: Exception | None = None
    says: str = ""
    since_before: list[tuple[Caller, Commitment]] = field(default_factory=list)
    done: "queue.Queue[tuple[Caller, str]]" = field(default_factory=queue.Queue)
    promises: list[tuple[Caller, Commitment]] = field(default_factory=list)

    def _hear(self, name: str, caller: Caller, evidence: Evidence) -> None:
        if self.fault:
            raise self.fault
        self.heard.append((name, caller, evidence))

    def step_created(self, caller: Caller, evidence: Evidence) -> bool:
        self._hear("created", caller, evidence)
        return sum(name == "created" for name, _, _ in self.heard) == 1

    def step_set(self, caller: Caller, evidence: Evidence) -> str:
        self._hear("set", caller, evidence)
        return self.says

    def testify(self, caller: Caller, evidence: Evidence) -> None:
        self._hear("testified", caller, evidence)

    def commit(self, caller: Caller, evidence: Evidence) -> Commitment:
        self._hear("commit", caller, evidence)
        good = tuple(member for member in evidence.members if member.sop_instance_uid in self.durable)
        return Commitment(evidence.subject, good, tuple(member for member in evidence.members if member not in good))

    def owed(self) -> list[tuple[Caller, Commitment]]:
        return self.since_before

    def reported(self, caller: Caller, transaction_uid: str) -> None:
        self.done.put((caller, transaction_uid))

    def promised(self, caller: Caller, commitment: Commitment) -> bool:
        if self.fault:
            raise self.fault
        self.promises.append((caller, commitment))
        return commitment.transaction_uid == "1.2.3"


@dataclass
class Reported:
    """What a modality was told about its request."""

    reports: list[tuple[int, Dataset, str]] = field(default_factory=list)
    came: threading.Event = field(default_factory=threading.Event)

    def take(self, event: Any) -> tuple[int, None]:
        self.reports.append((event.event_type, event.event_information, event.assoc.requestor.ae_title))
        self.came.set()
        return 0x0000, None

    def first(self) -> tuple[int, list[str], list[str], str]:
        assert self.came.wait(20), "no report came"
        kind, said, by = self.reports[0]
        lists = ("ReferencedSOPSequence", "FailedSOPSequence")
        good, bad = ([str(item.ReferencedSOPInstanceUID) for item in said.get(name, [])] for name in lists)
        return kind, good, bad, by


Start = Callable[..., tuple[Witness, int]]


@pytest.fixture(params=["stock", "fast"])
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    running: list[Receiver] = []

    def begin(
        port: int = 0,
        witness: bool = True,
        owed: Sequence[tuple[Caller, Commitment]] = (),
        tls_of: Callable[[Caller, int], Tls | None] = plain,
    ) -> tuple[Witness, int]:
        heard = Witness(since_before=list(owed))
        peers = (Peer("CT01", "127.0.0.1", port),)
        settings = ReceiverSettings("ANCILLA", peers=peers, stop_seconds=2.0, fast_path=request.param == "fast")
        running.append(Receiver(settings, RecordingIntake(), heard if witness else None, tls_of))
        return heard, running[-1].start()

    yield begin
    for one in running:
        one.stop()


def associate(port: int, *classes: str, reported: Reported | None = None) -> Association:
    ae = AE("CT01")
    for uid in classes:
        ae.add_requested_context(uid)
    handlers = [(evt.EVT_N_EVENT_REPORT, reported.take)] if reported else []
    association = ae.associate("127.0.0.1", port, ae_title="ANCILLA", evt_handlers=handlers)  # type: ignore[arg-type]
    assert association.is_established
    return keep_answers(association)


def test_a_performed_procedure_step_is_heard_from_begin_to_end(start: Start) -> None:
    witness, port = start()
    association = associate(port, ModalityPerformedProcedureStep)
    assert association.send_n_create(step(), ModalityPerformedProcedureStep, STEP)[0].Status == 0x0000
    ended = step("COMPLETED", series("1.1", "1.2"))
    assert association.send_n_set(ended, ModalityPerformedProcedureStep, STEP)[0].Status == 0x0000
    association.release()
    (first, caller, begun), (second, _, end) = witness.heard
    assert (first, begun.subject, begun.study_uid, caller) == ("created", STEP, "1.2.3", Caller("CT01", "ANCILLA", "127.0.0.1"))
    assert (second, end.final, len(end.members)) == ("set", True, 2)


def test_each_refusal_has_the_status_of_the_standard(start: Start) -> None:
    witness, port = start()
    association = associate(port, ModalityPerformedProcedureStep)
    send = lambda ds, uid=STEP: association.send_n_create(ds, ModalityPerformedProcedureStep, uid)[0].Status  # noqa: E731
    change = lambda ds: association.send_n_set(ds, ModalityPerformedProcedureStep, STEP)[0].Status  # noqa: E731
    assert send(step("COMPLETED")) == 0x0106
    assert send(step(study="")) == 0x0120
    assert send(step()) == 0x0000
    assert send(step()) == 0x0111
    witness.says = "unknown"
    assert change(step("COMPLETED")) == 0x0112
    witness.says = "final"
    assert change(step("COMPLETED")) == 0x0110
    assert change(step("NONSENSE")) == 0x0106
    association.release()


def test_what_cannot_be_recorded_is_not_acknowledged(start: Start) -> None:
    witness, port = start()
    witness.fault = TransientError("the disk is full")
    association = associate(port, ModalityPerformedProcedureStep, StorageCommitmentPushModel)
    assert association.send_n_create(step(), ModalityPerformedProcedureStep, STEP)[0].Status == 0x0110
    assert ask(association, "1.1") == 0x0110
    witness.fault = None
    assert association.send_n_create(step(), ModalityPerformedProcedureStep, STEP)[0].Status == 0x0000
    association.release()


def test_an_availability_notification_is_heard(start: Start) -> None:
    witness, port = start()
    association = associate(port, InstanceAvailabilityNotification)
    said = notification(reference("1.1"), reference("1.2"))
    assert association.send_n_create(said, InstanceAvailabilityNotification, STEP)[0].Status == 0x0000
    assert association.send_n_create(notification(), InstanceAvailabilityNotification, STEP)[0].Status == 0x0115
    association.release()
    [(name, _, evidence)] = witness.heard
    assert (name, evidence.source, evidence.study_uid, len(evidence.members)) == (
        "testified",
        Source.AVAILABILITY,
        "1.2.3",
        2,
    )


def ask(association: Association, *uids: str) -> int:
    answer, _ = association.send_n_action(
        request(*uids, transaction=generate_uid()), 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
    return int(answer.Status)


def test_a_commitment_is_reported_on_the_association_that_asked(start: Start) -> None:
    witness, port = start()
    witness.durable = frozenset({"1.1"})
    reported = Reported()
    association = associate(port, StorageCommitmentPushModel, Verification, reported=reported)
    assert ask(association, "1.1", "1.2") == 0x0000
    assert reported.first() == (2, ["1.1"], ["1.2"], "CT01")
    assert association.send_c_echo().Status == 0x0000, "the association goes on"
    association.release()


def n_action(number: int) -> bytes:
    ds = Dataset()
    ds.RequestedSOPClassUID, ds.RequestedSOPInstanceUID = StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    ds.CommandField, ds.MessageID, ds.CommandDataSetType, ds.ActionTypeID = 0x0130, number, 1, 1
    body = encode(ds, True, True)
    assert body is not None
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def next_command(sender: Sender) -> int:
    """The Command Field of the next PDU, or 0 when it is a data set."""
    pdu = sender.expect(4)
    return int(decode(BytesIO(pdu[12:]), True, True).CommandField) if pdu[11] & 1 else 0


def test_requests_in_a_row_are_answered_and_reported_each_for_itself(start: Start) -> None:
    witness, port = start()
    witness.durable = frozenset({"1.1", "1.2", "1.3"})
    with Sender(port).associate([(str(StorageCommitmentPushModel), (IMPLICIT,))]) as sender:
        for number in (1, 2, 3):  # without a pause, and without an answer to any report
            sender.send(pdata(pdv(1, 3, n_action(number))) + pdata(pdv(1, 2, encode(request(f"1.{number}"), True, True) or b"")))
        fields = [field for field in (next_command(sender) for _ in range(9)) if field]
        sender.release()
    assert sorted(fields) == [0x0100] * 3 + [0x8130] * 3
    assert fields[0] == 0x8130, "the response comes before its report"


def test_a_commitment_is_reported_on_a_new_association_where_the_modality_listens(start: Start) -> None:
    listening = free_port()
    witness, port = start(port=listening)
    witness.durable = frozenset({"1.1"})
    reported = Reported()
    ae = AE("CT01")
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    server = ae.start_server(("127.0.0.1", listening), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, reported.take)])
    assert server is not None
    try:
        association = associate(port, StorageCommitmentPushModel)
        assert ask(association, "1.1") == 0x0000
        association.release()
        assert reported.first() == (1, ["1.1"], [], "ANCILLA")
    finally:
        server.shutdown()


@pytest.mark.parametrize("trusted", [True, False])
def test_a_report_leaves_by_tls_where_the_modality_wants_it_and_never_without(
    tmp_path: Path, start: Start, trusted: bool
) -> None:
    authority, rogue = Authority(tmp_path, "ours"), Authority(tmp_path, "rogue")
    identity = authority.identity("modality")
    theirs, ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    theirs.load_cert_chain(identity.cert, identity.key)
    ours.load_verify_locations((authority if trusted else rogue).cert)
    listening, reported = free_port(), Reported()
    _, port = start(port=listening, tls_of=lambda _, asked: (ours, "127.0.0.1") if asked == listening else None)
    ae = AE("CT01")
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    handlers = [(evt.EVT_N_EVENT_REPORT, reported.take)]
    server = ae.start_server(("127.0.0.1", listening), block=False, evt_handlers=handlers, ssl_context=theirs)  # type: ignore[arg-type]
    own = Reported()
    try:
        association = associate(port, StorageCommitmentPushModel, reported=own)
        assert ask(association, "1.1") == 0x0000
        assert (reported if trusted else own).first()[2] == ["1.1"]
        assert not (own if trusted else reported).reports
        association.release()
    finally:
        server.shutdown()


ASKED = Caller("CT01", "ANCILLA", "127.0.0.1")
OWED = Commitment("1.2.9", (Member("1.2.840.10008.5.1.4.1.1.2", "1.1"),), ())


def test_a_report_owed_since_before_the_start_is_sent_to_where_the_modality_listens(start: Start) -> None:
    listening, reported = free_port(), Reported()
    ae = AE("CT01")
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    server = ae.start_server(("127.0.0.1", listening), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, reported.take)])
    assert server is not None
    try:
        witness, _ = start(port=listening, owed=[(ASKED, OWED)])
        assert reported.first() == (1, ["1.1"], [], "ANCILLA")
        assert str(reported.reports[0][1].TransactionUID) == "1.2.9"
        assert witness.done.get(timeout=20) == (ASKED, "1.2.9")
    finally:
        server.shutdown()


def test_a_report_owed_to_a_modality_that_never_listens_is_given_up(start: Start) -> None:
    witness, port = start(owed=[(ASKED, OWED)])
    assert witness.done.get(timeout=20) == (ASKED, "1.2.9")
    association = associate(port, StorageCommitmentPushModel)
    assert ask(association, "1.1") == 0x0000
    transaction = witness.done.get(timeout=20)[1]
    assert transaction == witness.heard[0][2].subject
    association.release()


def test_a_modality_that_does_not_listen_after_all_is_told_on_its_own_association(start: Start) -> None:
    _, port = start(port=free_port())
    reported = Reported()
    association = associate(port, StorageCommitmentPushModel, reported=reported)
    assert ask(association, "1.1") == 0x0000
    assert reported.first()[:3] == (2, [], ["1.1"])
    association.release()


def test_a_request_for_nothing_or_for_another_action_is_refused(start: Start) -> None:
    witness, port = start()
    association = associate(port, StorageCommitmentPushModel)
    asked = (StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    assert association.send_n_action(request(), 1, *asked)[0].Status == 0x0115
    assert association.send_n_action(request("1.1"), 2, *asked)[0].Status == 0x0123
    assert witness.heard == []
    association.release()


def test_a_message_of_another_service_ends_the_association(start: Start) -> None:
    witness, port = start()
    association = associate(port, ModalityPerformedProcedureStep, StorageCommitmentPushModel)
    context = next(c for c in association.accepted_contexts if c.abstract_syntax == StorageCommitmentPushModel)
    context.abstract_syntax = ModalityPerformedProcedureStep  # a client that mixes up its contexts
    association._accepted_cx = {context.context_id: context}  # type: ignore[dict-item]
    answer, _ = association.send_n_create(step(), ModalityPerformedProcedureStep, STEP)
    assert "Status" not in answer
    wait_for(lambda: association.is_aborted, "the abort")
    assert witness.heard == []


def test_without_a_witness_nothing_of_this_is_offered(start: Start) -> None:
    _, port = start(witness=False)
    association = associate(port, ModalityPerformedProcedureStep, StorageCommitmentPushModel, Verification)
    assert [context.abstract_syntax for context in association.accepted_contexts] == [Verification]
    association.release()


def test_images_and_statements_share_an_association_and_images_stay_off_the_other_contexts(start: Start) -> None:
    witness, port = start()
    association = associate(port, CTImageStorage, ModalityPerformedProcedureStep)
    assert association.send_n_create(step(), ModalityPerformedProcedureStep, STEP)[0].Status == 0x0000
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID, image.StudyInstanceUID, image.SeriesInstanceUID = CTImageStorage, "1.1", "1.2", "1.3"
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    assert association.send_c_store(image).Status == 0x0000
    association.release()
    assert len(witness.heard) == 1


def test_a_role_that_a_modality_proposes_for_itself_is_no_obstacle(start: Start) -> None:
    _, port = start()
    ae = AE("CT01")
    ae.add_requested_context(StorageCommitmentPushModel)
    role = build_role(StorageCommitmentPushModel, scu_role=True)
    association = ae.associate("127.0.0.1", port, ae_title="ANCILLA", ext_neg=[role])
    assert association.is_established and ask(association, "1.1") == 0x0000
    association.release()


def archive_reports(port: int, *reports: tuple[str, int]) -> list[int]:
    """As an archive, in the role of the provider; the statuses of the answers.

    An association for each: pynetdicom's requestor may take the second answer for a request when it comes very fast.
    """
    return [_archive_reports(port, *report) for report in reports]


def _archive_reports(port: int, transaction: str, event: int) -> int:
    ae = AE("CT01")
    ae.add_requested_context(StorageCommitmentPushModel)
    role = build_role(StorageCommitmentPushModel, scp_role=True)
    association = ae.associate("127.0.0.1", port, ae_title="ANCILLA", ext_neg=[role])
    assert association.is_established
    [context] = association.accepted_contexts
    assert (context.as_scu, context.as_scp) == (False, True)
    information = Dataset()
    if transaction:
        information.TransactionUID = transaction
    information.ReferencedSOPSequence, information.FailedSOPSequence = [reference("1.2.3.1")], [reference("1.2.3.2")]
    answer, _ = association.send_n_event_report(
        information, event, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
    association.release()
    return int(answer.Status)


def test_an_archive_reports_what_it_commits_to(start: Start) -> None:
    witness, port = start()
    assert archive_reports(port, ("1.2.3", 2), ("9.9", 2), ("", 1)) == [0x0000, 0x0112, 0x0115]
    (caller, promise), _ = witness.promises
    assert caller.calling_ae == "CT01"
    assert [member.sop_instance_uid for member in promise.durable] == ["1.2.3.1"]
    assert [member.sop_instance_uid for member in promise.missing] == ["1.2.3.2"]


def test_a_report_that_cannot_be_recorded_is_not_acknowledged(start: Start) -> None:
    witness, port = start()
    witness.fault = TransientError("the disk is full")
    assert archive_reports(port, ("1.2.3", 1)) == [0x0110]
