"""One association as its requestor, synchronous: what is not answered in time is an error, nothing runs in the background.

pynetdicom encodes and decodes the PDUs and command sets; its own requestor is not used, because its threads look for news by
sleeping and it holds a whole data set in memory. Here a data set goes from its file to the socket in pieces, as it is.
"""

import socket
import ssl
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO, Final, NamedTuple, Self

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dsutils import decode, encode
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ, A_RELEASE_RP, A_RELEASE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import build_context

from delivery.tls import context_of
from domain.destinations import Destination
from domain.errors import TransientError
from domain.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION

APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"  # PS3.7 A.2.1
MAX_CONTEXTS: Final = 128  # odd numbers from 1 to 255 (PS3.8 9.3.2.2)
ABORT, ACCEPT, REJECT, DATA, RELEASE, RELEASED = 7, 2, 3, 4, 5, 6  # PDU types (PS3.8 9.3)
ANNOUNCED_LENGTH: Final = 16384  # the largest P-DATA we ask for: only responses come to us
LARGEST_ANSWER: Final = 1 << 20  # bytes; no answer to a C-STORE or an association is longer, an endless one ends here
LARGEST_PIECE: Final = 1 << 17  # bytes sent at once to a peer that names no limit or a huge one


class Kind(NamedTuple):
    """What a presentation context is negotiated for: one SOP class in one transfer syntax."""

    sop_class_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class Response:
    """The status of a response (PS3.7 Annex C) and its Error Comment."""

    status: int
    comment: str = ""


class Association:
    """A running association with ``destination``. Use as a context manager: leaving it releases, leaving it by an error aborts.

    Every method raises TransientError when the peer rejects, aborts, answers nonsense or not within ``timeout_seconds``.
    """

    def __init__(self, destination: Destination, kinds: Sequence[Kind]) -> None:
        self._timeout = destination.timeout_seconds
        self._peer = f"{destination.name} ({destination.ae_title} at {destination.host}:{destination.port})"
        self._message_id = 0
        self._accepted: dict[Kind, int] = {}
        self._socket = self._connect(destination)
        try:
            self._negotiate(destination, kinds)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        try:
            if kind is None:
                self._release()
            else:
                self._abort()
        finally:
            self._socket.close()

    def accepts(self, kind: Kind) -> bool:
        """Whether the peer takes objects of this SOP class in this transfer syntax."""
        return kind in self._accepted

    def store(self, kind: Kind, sop_instance_uid: str, data_set: BinaryIO, length: int) -> Response:
        """Send one instance (C-STORE, PS3.7 9.1.1): ``length`` bytes of ``data_set`` from where it stands."""
        command = self._command(0x0001, kind.sop_class_uid, has_data_set=True)
        command.AffectedSOPInstanceUID = sop_instance_uid
        command.Priority = 0  # medium
        context = self._accepted[kind]
        self._send_command(context, command)
        while True:
            piece = data_set.read(min(self._piece, length))
            if not piece and length:
                raise TransientError(f"a file for {self._peer} became shorter while it was sent")
            length -= len(piece)
            self._send_pdv(context, 0x02 if not length else 0x00, piece)
            if not length:
                return self._response(0x8001)

    def echo(self, kind: Kind) -> Response:
        """Ask whether somebody is there (C-ECHO, PS3.7 9.1.5)."""
        self._send_command(self._accepted[kind], self._command(0x0030, kind.sop_class_uid, has_data_set=False))
        return self._response(0x8030)

    def _connect(self, destination: Destination) -> socket.socket:
        try:
            connection = socket.create_connection((destination.host, destination.port), timeout=self._timeout)
        except OSError as error:
            raise TransientError(f"{self._peer} cannot be reached: {_words(error)}") from None
        connection.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )  # no waiting for an acknowledgement before the last piece
        return self._secured(connection, destination) if destination.tls else connection

    def _secured(self, connection: socket.socket, destination: Destination) -> socket.socket:
        try:
            return context_of(destination).wrap_socket(connection, server_hostname=destination.host)
        except ssl.SSLError as error:
            connection.close()
            raise TransientError(f"{self._peer}: TLS failed: {error.reason or 'no certificate we trust'}") from None
        except (OSError, ValueError) as error:
            connection.close()
            raise TransientError(f"{self._peer} cannot be reached by TLS: {type(error).__name__}") from None
        except TransientError:
            connection.close()
            raise

    def _negotiate(self, destination: Destination, kinds: Sequence[Kind]) -> None:
        primitive = A_ASSOCIATE()
        primitive.application_context_name = UID(APPLICATION_CONTEXT)
        primitive.calling_ae_title = destination.calling_ae
        primitive.called_ae_title = destination.ae_title
        contexts = [build_context(UID(kind.sop_class_uid), UID(kind.transfer_syntax_uid)) for kind in kinds]
        for index, context in enumerate(contexts):
            context.context_id = 2 * index + 1
        primitive.presentation_context_definition_list = contexts
        primitive.user_information.extend(_user_information())
        self._send(A_ASSOCIATE_RQ(primitive).encode())
        answer = A_ASSOCIATE_AC()
        self._parse(answer, self._receive(ACCEPT, self._deadline()))
        if not answer.presentation_context:  # one result per proposed context is due (PS3.8 9.3.3)
            raise TransientError(f"{self._peer} sent an answer that cannot be read")
        ids = {item.context_id for item in answer.presentation_context if item.result == 0}
        self._accepted = {kind: 2 * index + 1 for index, kind in enumerate(kinds) if 2 * index + 1 in ids}
        self._piece = self._piece_length(answer)

    def _piece_length(self, answer: A_ASSOCIATE_AC) -> int:
        """Bytes of a message per PDU: the peer's maximum covers the PDV's length, context and control header too (PS3.8 D.1)."""
        maximum = answer.user_information.maximum_length if answer.user_information else None
        if maximum is not None and 0 < maximum <= 6:
            raise TransientError(f"{self._peer} accepts no PDU longer than {maximum} bytes")
        return min(maximum or LARGEST_PIECE, LARGEST_PIECE) - 6

    def _command(self, field: int, sop_class_uid: str, has_data_set: bool) -> Dataset:
        self._message_id = self._message_id % 0xFFFF + 1
        command = Dataset()
        command.AffectedSOPClassUID = sop_class_uid
        command.CommandField = field
        command.MessageID = self._message_id
        command.CommandDataSetType = 0x0001 if has_data_set else 0x0101
        return command

    def _send_command(self, context: int, command: Dataset) -> None:
        body = encode(command, True, True)  # Implicit VR Little Endian (PS3.7 6.3.1)
        assert body is not None
        message = struct.pack("<HHLL", 0, 0, 4, len(body)) + body  # Command Group Length comes first (PS3.7 E.1)
        for start in range(0, len(message), self._piece):
            last = start + self._piece >= len(message)
            self._send_pdv(context, 0x03 if last else 0x01, message[start : start + self._piece])

    def _send_pdv(self, context: int, control: int, piece: bytes) -> None:
        size = len(piece)
        self._send(struct.pack(">BBLLBB", DATA, 0, size + 6, size + 2, context, control) + piece)

    def _send(self, data: bytes) -> None:
        try:
            self._socket.settimeout(self._timeout)
            self._socket.sendall(data)
        except OSError as error:
            raise TransientError(f"the connection to {self._peer} broke while sending: {_words(error)}") from None

    def _response(self, field: int) -> Response:
        message = bytearray()
        deadline = self._deadline()  # for the whole response, however many pieces it comes in
        while not _append_command(message, self._receive(DATA, deadline)):
            if len(message) > LARGEST_ANSWER:
                raise TransientError(f"{self._peer} sent a response without end")
        try:
            command = decode(BytesIO(message), True, True)
            answered = (command.CommandField, command.MessageIDBeingRespondedTo)
            response = Response(int(command.Status), str(command.get("ErrorComment") or ""))
        except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError, EOFError, OSError, struct.error):
            raise TransientError(f"{self._peer} sent a response that cannot be read") from None
        if answered != (field, self._message_id):
            raise TransientError(f"{self._peer} answered something that was not asked")
        return response

    def _parse(self, pdu: A_ASSOCIATE_AC | A_ASSOCIATE_RJ | A_ABORT_RQ, data: bytes) -> None:
        try:
            pdu.decode(data)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, struct.error):
            raise TransientError(f"{self._peer} sent an answer that cannot be read") from None

    def _deadline(self) -> float:
        return time.monotonic() + self._timeout

    def _receive(self, expected: int, deadline: float) -> bytes:
        """The next PDU, which has to be of the type expected."""
        header = self._read(6, deadline)
        kind, _, length = struct.unpack(">BBL", header)
        if length > LARGEST_ANSWER:
            raise TransientError(f"{self._peer} announced an answer of {length} bytes")
        pdu = header + self._read(length, deadline)
        if kind == expected:
            return pdu
        raise TransientError(self._refusal(kind, pdu))

    def _refusal(self, kind: int, pdu: bytes) -> str:
        if kind == REJECT:
            rejection = A_ASSOCIATE_RJ()
            self._parse(rejection, pdu)
            return f"{self._peer} rejected the association: {_reason(rejection)}"
        if kind == ABORT:
            return f"{self._peer} aborted the association"
        if kind == RELEASE:
            return f"{self._peer} wants to end the association before all objects were sent"
        return f"{self._peer} answered with an unexpected PDU of type {kind:#04x}"

    def _read(self, length: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < length:
            try:
                self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
                _acknowledge_at_once(self._socket)
                piece = self._socket.recv(length - len(data))
            except TimeoutError:
                raise TransientError(f"{self._peer} did not answer within {self._timeout:g} seconds") from None
            except OSError as error:
                raise TransientError(f"the connection to {self._peer} broke: {_words(error)}") from None
            if not piece:
                raise TransientError(f"{self._peer} closed the connection without an answer")
            data += piece
        return bytes(data)

    def _release(self) -> None:
        """Everything is answered by now: a peer that is rude at the end changes no result."""
        try:
            self._send(A_RELEASE_RQ().encode())
            deadline = self._deadline()
            if (
                self._read(6, deadline)[0] == RELEASE
            ):  # both at once (PS3.8 9.2.3, release collision): the requestor answers first
                self._read(4, deadline)
                self._send(A_RELEASE_RP().encode())
                self._read(10, deadline)
        except TransientError:
            return

    def _abort(self) -> None:
        abort = A_ABORT_RQ()
        abort.source, abort.reason_diagnostic = 0, 0  # by the service user (PS3.8 9.3.8)
        try:
            self._send(abort.encode())
        except TransientError:
            return


def _user_information() -> list[
    MaximumLengthNotification | ImplementationClassUIDNotification | ImplementationVersionNameNotification
]:
    length, class_uid, version = (
        MaximumLengthNotification(),
        ImplementationClassUIDNotification(),
        ImplementationVersionNameNotification(),
    )
    length.maximum_length_received = ANNOUNCED_LENGTH
    class_uid.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    version.implementation_version_name = IMPLEMENTATION_VERSION
    return [length, class_uid, version]


def _append_command(message: bytearray, pdu: bytes) -> bool:
    """Append the command fragments of one P-DATA-TF PDU (PS3.8 9.3.5); True after the last one.

    Raises TransientError when the lengths inside do not fit.
    """
    offset, done = 6, False
    while offset < len(pdu):
        if offset + 6 > len(pdu):
            raise TransientError("the peer sent a response that cannot be read")
        length, _, control = struct.unpack_from(">LBB", pdu, offset)
        end = offset + 4 + length
        if length < 2 or end > len(pdu):
            raise TransientError("the peer sent a response that cannot be read")
        if control & 1:
            message += pdu[offset + 6 : end]
            done = done or bool(control & 2)
        offset = end
    return done


def _reason(rejection: A_ASSOCIATE_RJ) -> str:
    try:
        return str(rejection.reason_str).lower().replace("ae title", "AE title")
    except ValueError:
        return f"source {rejection.source}, reason {rejection.reason_diagnostic}"


def _acknowledge_at_once(connection: socket.socket) -> None:
    """Peers that write a response in two pieces (DCMTK does) wait with the second for our delayed acknowledgement: 40 ms each.

    Linux forgets this setting, so it is renewed before each read.
    """
    if sys.platform == "linux":
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _words(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (error.strerror or type(error).__name__).lower()
