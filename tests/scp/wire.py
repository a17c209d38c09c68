"""A sender that puts every byte on the wire itself, so that tests can cut, mix and damage them."""

import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from typing import Self

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dsutils import decode, encode
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification
from pynetdicom.presentation import PresentationContext, build_context

CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
VERIFICATION = "1.2.840.10008.1.1"
RELEASE_RQ = struct.pack(">BBL4x", 5, 0, 4)
ABORT = struct.pack(">BBLBBBB", 7, 0, 4, 0, 0, 0, 0)


@dataclass
class Response:
    """A C-STORE or C-ECHO response."""

    status: int
    comment: str
    command: Dataset


class EndedError(AssertionError):
    """The peer ended the association: ``pdu`` is its A-ABORT, A-ASSOCIATE-RJ, A-RELEASE-RP, or empty when it just closed."""

    def __init__(self, pdu: bytes) -> None:
        super().__init__(pdu.hex() or "closed")
        self.pdu = pdu


def request(
    contexts: Sequence[tuple[str, Sequence[str]]], calling: str = "CT01", called: str = "ANCILLA", max_pdu: int = 16384
) -> bytes:
    """An A-ASSOCIATE-RQ; context ids are 1, 3, 5 ..."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = UID("1.2.840.10008.3.1.1.1")
    primitive.calling_ae_title, primitive.called_ae_title = calling, called
    items: list[PresentationContext] = []
    for number, (abstract, transfer) in enumerate(contexts):
        item = build_context(UID(abstract), [UID(uid) for uid in transfer])
        item.context_id = 2 * number + 1
        items.append(item)
    primitive.presentation_context_definition_list = items
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = max_pdu
    implementation.implementation_class_uid = UID("2.25.1")
    primitive.user_information = [length, implementation]
    return bytes(A_ASSOCIATE_RQ(primitive).encode())


def command(field: int, message_id: int, sop_class: str, sop_instance: str = "", has_data: bool = True) -> bytes:
    """The command set of a C-STORE-RQ (1) or C-ECHO-RQ (0x30)."""
    ds = Dataset()
    ds.AffectedSOPClassUID = UID(sop_class)
    ds.CommandField, ds.MessageID = field, message_id
    ds.CommandDataSetType = 1 if has_data else 0x0101
    if field == 1:
        ds.Priority = 0
        ds.AffectedSOPInstanceUID = UID(sop_instance)
    body = encode(ds, True, True)
    assert body is not None
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def pdv(context: int, control: int, data: bytes) -> bytes:
    """One presentation data value item (PS3.8 9.3.5.1)."""
    return struct.pack(">LBB", len(data) + 2, context, control) + data


def pdata(*items: bytes) -> bytes:
    """A P-DATA-TF PDU of these items."""
    body = b"".join(items)
    return struct.pack(">BBL", 4, 0, len(body)) + body


def fragments(context: int, last: int, data: bytes, size: int) -> list[bytes]:
    """``data`` as items of at most ``size`` bytes; ``last`` is 2 for a data set, 3 for a command."""
    cuts = range(0, len(data), size) if data else [0]
    ends = [start + size >= len(data) for start in cuts]
    return [pdv(context, last if end else last - 2, data[start : start + size]) for start, end in zip(cuts, ends, strict=True)]


class Sender:
    """One connection. ``accepted`` maps (abstract, transfer) to context id after ``associate``."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ids = count(1)
        self.results: dict[int, tuple[int, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def associate(
        self, contexts: Sequence[tuple[str, Sequence[str]]] = ((CT, (EXPLICIT,)),), calling: str = "CT01", called: str = "ANCILLA"
    ) -> Self:
        """Raises EndedError when rejected."""
        self.send(request(contexts, calling, called))
        answer = A_ASSOCIATE_AC()
        answer.decode(self.expect(2))
        self.results = {item.context_id: (item.result, str(item.transfer_syntax)) for item in answer.presentation_context}
        self.peer_maximum = answer.user_information.maximum_length
        return self

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self) -> bytes:
        """The next PDU; empty at the end of the connection."""
        try:
            head = self._exactly(6)
            return head + self._exactly(struct.unpack(">BBL", head)[2]) if head else b""
        except ConnectionResetError:
            return b""

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            piece = self.socket.recv(length - len(data))
            if not piece:
                return b""
            data += piece
        return data

    def expect(self, kind: int) -> bytes:
        pdu = self.read()
        if not pdu or pdu[0] != kind:
            raise EndedError(pdu)
        return pdu

    def response(self) -> Response:
        pdu = self.expect(4)
        (length,) = struct.unpack_from(">L", pdu, 6)
        assert length + 10 == len(pdu) and pdu[11] == 3, "the response is one fragment"
        ds = decode(BytesIO(pdu[12:]), True, True)
        return Response(int(ds.Status), str(ds.get("ErrorComment", "")), ds)

    def echo(self, context: int = 1) -> int:
        self.send(pdata(pdv(context, 3, command(0x30, next(self.ids), VERIFICATION, has_data=False))))
        return self.response().status

    def store(self, data_set: bytes, sop_instance: str, sop_class: str = CT, context: int = 1, size: int = 16378) -> Response:
        """Send an object in PDUs of one item each; its response."""
        message_id = next(self.ids)
        self.send(pdata(pdv(context, 3, command(1, message_id, sop_class, sop_instance))))
        for item in fragments(context, 2, data_set, size):
            self.send(pdata(item))
        response = self.response()
        assert response.command.MessageIDBeingRespondedTo == message_id
        return response

    def release(self) -> None:
        """Release and see it confirmed; the peer then closes the connection or waits for us to."""
        self.send(RELEASE_RQ)
        self.expect(6)
        self.socket.close()


def rejection(pdu: bytes) -> tuple[int, int, int]:
    """Result, source and reason of an A-ASSOCIATE-RJ."""
    item = A_ASSOCIATE_RJ()
    item.decode(pdu)
    return item.result, item.source, item.reason_diagnostic


def join(items: Iterable[bytes]) -> bytes:
    return b"".join(items)
