"""The two command sets of C-STORE, read and written directly: Implicit VR Little Endian, group 0000 (PS3.7 9.3.1)."""

import struct
from typing import Final, NamedTuple

from scp.header import usable_uid
from scp.statuses import Reply

STORE_REQUEST, STORE_RESPONSE = 0x0001, 0x8001
NO_DATA_SET: Final = 0x0101
_GROUP_LENGTH, _CLASS, _FIELD, _MESSAGE, _RESPONDED = 0x0000, 0x0002, 0x0100, 0x0110, 0x0120
_PRIORITY, _DATA_SET, _STATUS, _COMMENT, _INSTANCE = 0x0700, 0x0800, 0x0900, 0x0902, 0x1000
_STORE_REQUEST: Final = STORE_REQUEST.to_bytes(2, "little")
_NO_DATA_SET: Final = NO_DATA_SET.to_bytes(2, "little")
_head = struct.Struct("<HHL").unpack_from


class StoreRequest(NamedTuple):
    """A C-STORE-RQ that is as it should be."""

    message_id: int
    sop_class_uid: str
    sop_instance_uid: str


def store_request(command: bytes) -> StoreRequest | None:
    """The request, or None for any other command and for anything unusual: that is left to pynetdicom."""
    elements = _elements(command)
    if elements is None or elements.get(_FIELD) != _STORE_REQUEST or len(elements.get(_PRIORITY, b"")) != 2:
        return None
    message, data_set = elements.get(_MESSAGE, b""), elements.get(_DATA_SET, b"")
    if len(message) != 2 or len(data_set) != 2 or data_set == _NO_DATA_SET:
        return None
    sop_class, instance = usable_uid(elements.get(_CLASS, b"")), usable_uid(elements.get(_INSTANCE, b""))
    return StoreRequest(int.from_bytes(message, "little"), sop_class, instance) if sop_class and instance else None


def _elements(command: bytes) -> dict[int, bytes] | None:
    """Element number to value; None when it is not a list of elements of group 0000 in ascending order."""
    found: dict[int, bytes] = {}
    at, end, last = 0, len(command), -1
    while at < end:
        if end - at < 8:
            return None
        group, number, length = _head(command, at)
        if group or number <= last or length > end - at - 8:
            return None
        found[number] = command[at + 8 : at + 8 + length]
        at, last = at + 8 + length, number
    return found


def store_response(context: int, request: StoreRequest, reply: Reply) -> bytes:
    """A whole P-DATA-TF PDU with the C-STORE-RSP (PS3.8 9.3.5)."""
    elements = [
        _text(_CLASS, request.sop_class_uid, b"\0"),
        _number(_FIELD, STORE_RESPONSE),
        _number(_RESPONDED, request.message_id),
        _number(_DATA_SET, NO_DATA_SET),
        _number(_STATUS, reply.status),
        _text(_COMMENT, reply.words, b" ") if reply.words else b"",
        _text(_INSTANCE, request.sop_instance_uid, b"\0"),
    ]
    body = b"".join(elements)
    size = len(body) + 12
    return (
        struct.pack(">BBLLBB", 4, 0, size + 6, size + 2, context, 3) + struct.pack("<HHLL", 0, _GROUP_LENGTH, 4, len(body)) + body
    )


def _number(element: int, value: int) -> bytes:
    return struct.pack("<HHLH", 0, element, 2, value)


def _text(element: int, text: str, padding: bytes) -> bytes:
    value = text.encode("ascii", "replace")
    value += padding * (len(value) % 2)
    return struct.pack("<HHL", 0, element, len(value)) + value
