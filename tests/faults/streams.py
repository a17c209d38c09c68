"""Valid conversations as lists of PDUs, and what can be done to them: seeded mutations that know where lengths and types are."""

import random
import struct
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dsutils import encode

from tests.faults.images import image
from tests.scp.objects import dataset, encoded
from tests.scp.wire import ABORT, CT, EXPLICIT, IMPLICIT, RELEASE_RQ, VERIFICATION, command, fragments, pdata, pdv, request

MPPS, AVAILABILITY = "1.2.840.10008.3.1.2.3.3", "1.2.840.10008.5.1.4.33"
CONTEXTS = ((CT, (EXPLICIT,)), (VERIFICATION, (IMPLICIT,)), (MPPS, (EXPLICIT,)), (CT, (IMPLICIT,)), (AVAILABILITY, (EXPLICIT,)))
NUMBERS = (0, 1, 2, 3, 4, 5, 6, 7, 127, 128, 254, 255, 256, 32767, 65535, 65536, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
Pdus = list[bytes]


def statement(context: int, sop_class: str, field: int = 0x0140) -> Pdus:
    """An N-CREATE with a small data set that lists one image."""
    asked = Dataset()
    asked.AffectedSOPClassUID, asked.AffectedSOPInstanceUID = UID(sop_class), UID("2.25.77")
    asked.CommandField, asked.MessageID, asked.CommandDataSetType = field, 5, 1
    body = encode(asked, True, True) or b""
    told, series, one = Dataset(), Dataset(), Dataset()
    one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = CT, "1.2.3.4.1"
    series.SeriesInstanceUID, series.ReferencedImageSequence, series.ReferencedSOPSequence = "1.2.3.2", [one], [one]
    told.StudyInstanceUID, told.PerformedProcedureStepStatus = "1.2.3.1", "COMPLETED"
    told.PerformedSeriesSequence = told.ReferencedSeriesSequence = [series]
    head = pdata(pdv(context, 3, struct.pack("<HHLL", 0, 0, 4, len(body)) + body))
    return [head, *(pdata(item) for item in fragments(context, 2, encoded(told), 300))]


def conversation(random_: random.Random, calling: str = "CT01") -> Pdus:
    """A whole association, as a sender without faults would write it."""
    pdus = [request(CONTEXTS, calling, max_pdu=random_.choice([16384, 0, 4096]))]
    for number in range(random_.randint(1, 3)):
        pdus += _message(random_, number)
    return [*pdus, random_.choice([RELEASE_RQ, RELEASE_RQ, ABORT])]


def _message(random_: random.Random, number: int) -> Pdus:
    kind = random_.randrange(6)
    if kind == 0:
        return [pdata(pdv(3, 3, command(0x30, number, VERIFICATION, has_data=False)))]
    if kind == 1:
        return statement(5, MPPS)
    if kind == 2:
        return statement(9, AVAILABILITY)
    if kind == 3:
        body = encoded(dataset(number + 1), implicit=True)
        return _store(7, number, f"1.2.3.4.{number + 1}", body, random_.choice([60, 400]))
    one = image(7, number, 1, random_.choice([200, 3000]))
    return _store(1, number, one.uid, one.data, random_.choice([70, 500, 16378]))


def _store(context: int, number: int, uid: str, body: bytes, size: int) -> Pdus:
    asked = command(1, number, CT, uid)
    if size < 100:  # command and data in small items, several to a PDU
        items = [*fragments(context, 3, asked, size), *fragments(context, 2, body, size)]
        return [pdata(*items[at : at + 3]) for at in range(0, len(items), 3)]
    return [pdata(pdv(context, 3, asked)), *(pdata(item) for item in fragments(context, 2, body, size))]


def mutated(random_: random.Random, pdus: Pdus, most: int = 3) -> tuple[bytes, int]:
    """The conversation with one to ``most`` PDUs damaged, and how many."""
    found = list(pdus)
    count = random_.randint(1, most)
    for _ in range(count):
        at = random_.randrange(len(found)) if random_.random() < 0.75 else 0
        found[at] = _damaged(random_, found[at], pdus)
    if random_.random() < 0.1:
        random_.shuffle(found)
    return b"".join(found), count


def _damaged(random_: random.Random, pdu: bytes, others: Pdus) -> bytes:
    data, how = (
        bytearray(pdu),
        random_.choice((_type, _length, _lie_inside, _cut, _splice, _repeat, _put_in, _leave_out, _flip, _flip)),
    )
    if len(data) < 12:
        how = random_.choice((_flip, _repeat))
    how(random_, data, others)
    if how in (_splice, _put_in, _leave_out) and random_.random() < 0.5 and len(data) >= 6:
        struct.pack_into(">L", data, 2, len(data) - 6)  # the length made right again: it gets further
    return bytes(data)


def _type(random_: random.Random, data: bytearray, _: Pdus) -> None:
    data[0] = random_.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 0x80, 0xFF])


def _length(random_: random.Random, data: bytearray, _: Pdus) -> None:
    struct.pack_into(">L", data, 2, _number(random_, len(data) - 6))


def _cut(random_: random.Random, data: bytearray, _: Pdus) -> None:
    del data[random_.randrange(len(data) + 1) :]


def _splice(random_: random.Random, data: bytearray, others: Pdus) -> None:
    other = random_.choice(others)
    data[random_.randrange(len(data) + 1) :] = other[random_.randrange(len(other) + 1) :]


def _repeat(random_: random.Random, data: bytearray, _: Pdus) -> None:
    data *= random_.choice([2, 3, 20])


def _put_in(random_: random.Random, data: bytearray, _: Pdus) -> None:
    at = random_.randrange(len(data) + 1)
    data[at:at] = random_.randbytes(random_.choice([1, 2, 7, 300]))


def _leave_out(random_: random.Random, data: bytearray, _: Pdus) -> None:
    at = random_.randrange(len(data) + 1)
    del data[at : at + random_.choice([1, 2, 4, 50])]


def _number(random_: random.Random, true: int) -> int:
    return random_.choice([max(0, true + random_.choice([-7, -2, -1, 1, 2, 7])), *NUMBERS]) & 0xFFFFFFFF


def _lie_inside(random_: random.Random, data: bytearray, others: Pdus) -> None:
    """The length of an item, a presentation context id (even ones too), a message control header."""
    if data[0] == 4:
        (true,) = struct.unpack_from(">L", data, 6)
        where = random_.randrange(3)
        if where == 0:
            struct.pack_into(">L", data, 6, _number(random_, true))
        else:
            data[9 + where] = random_.randrange(256)
        return
    places = [
        at for at in range(74, len(data) - 4) if data[at + 1] == 0 and data[at] in (0x10, 0x20, 0x30, 0x40, 0x50, 0x51, 0x52)
    ]
    if not places:
        _flip(random_, data, others)
        return
    at = random_.choice(places)
    if data[at] == 0x20 and random_.random() < 0.5:
        data[at + 4] = random_.randrange(256)  # a presentation context id, even ones too
    else:
        (true,) = struct.unpack_from(">H", data, at + 2)
        struct.pack_into(">H", data, at + 2, _number(random_, true) & 0xFFFF)


def _flip(random_: random.Random, data: bytearray, _: Pdus) -> None:
    for _time in range(random_.choice([1, 1, 2, 8])):
        if data:
            data[random_.randrange(len(data))] = random_.choice([0, 1, 0x7F, 0x80, 0xFF, random_.randrange(256)])


def split(stream: bytes) -> list[int]:
    """The types of the PDUs in an answer. Raises AssertionError when it is not whole PDUs."""
    types, source = [], BytesIO(stream)
    while head := source.read(6):
        assert len(head) == 6, "an answer that ends in the middle of a PDU"
        kind, _, length = struct.unpack(">BBL", head)
        assert len(source.read(length)) == length, "an answer that ends in the middle of a PDU"
        types.append(kind)
    return types
