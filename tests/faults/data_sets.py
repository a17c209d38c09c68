"""Valid data sets of several kinds, and what can be done to them: seeded mutations that know where lengths and VRs stand."""

import random
import struct
import zlib
from functools import lru_cache

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.ct_series import Series
from tests.faults.images import uid
from tests.scp.objects import encoded
from tests.scp.wire import EXPLICIT, IMPLICIT

BIG, DEFLATED, JPEG = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.70"
NUMBERS = (0, 1, 2, 7, 8, 255, 256, 1024, 1025, 65534, 65535, 1 << 16, 1 << 23, (1 << 31) - 1, (1 << 32) - 2, (1 << 32) - 1)
VRS = [
    bytes(pair) for pair in zip(*[iter(b"AEASATCSDADSDTFDFLISLOLTOBODOFOLOVOWPNSHSLSQSSSTSVTMUCUIULUNURUSUTUV")] * 2, strict=True)
]
TAGS = [(0xFFFE, 0xE000), (0xFFFE, 0xE0DD), (0xFFFE, 0xE00D), (8, 0x18), (0x7FE0, 0x10), (2, 0x10), (0, 0)]
DEEP = 20_000
UNDEFINED = b"\xff\xff\xff\xff"


@lru_cache(1)
def _ct() -> Dataset:
    return Series(slices=4, size=16).datasets()[1]


def _nested(depth: int) -> Dataset:
    """A private sequence in a sequence in ... as a report has them."""
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = "1", "99TEST", "meaning"
    for _ in range(depth):
        outer = Dataset()
        outer.ContentSequence = Sequence([ds, Dataset()])
        outer.ContentSequence.is_undefined_length = depth % 2 == 0
        ds = outer
    return ds


@lru_cache(32)
def valid(kind: int) -> tuple[str, bytes]:
    """Transfer syntax and bytes. The UIDs are those of ``images.uid(kind, 0, 0)``."""
    ds = Dataset()
    ds.update(_ct())
    ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = uid(1, 0, 0), uid(2, 0, 0), uid(3, 0, 0)
    if kind % 2:
        ds.ReferencedStudySequence = Sequence([_nested(3), _nested(1)])
        ds.update({element.tag: element for element in _nested(2)})
    match kind % 7:
        case 1:
            return IMPLICIT, encoded(ds, implicit=True)
        case 2:
            return BIG, encoded(ds, big=True)
        case 3:
            return DEFLATED, encoded(ds, deflated=True)
        case 4:
            return JPEG, _encapsulated(ds)
        case 5:
            del ds.PixelData
            return EXPLICIT, encoded(ds)
    return EXPLICIT, encoded(ds)


def _encapsulated(ds: Dataset) -> bytes:
    """PS3.5 A.4: an offset table and two fragments, which are no JPEG."""
    del ds.PixelData
    items = [b"", bytes(100), bytes(range(100))]
    value = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item for item in items)
    head = struct.pack("<HH2sH", 0x7FE0, 0x0010, b"OB", 0) + UNDEFINED
    return encoded(ds) + head + value + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def mutated(random_: random.Random, number: int) -> tuple[str, bytes]:
    """Data set ``number``, damaged in one to four ways; most keep the UIDs that name it."""
    syntax, data = valid(random_.randrange(14))
    if random_.random() < 0.1:
        syntax = random_.choice([EXPLICIT, IMPLICIT, BIG, DEFLATED, JPEG])  # not what it is
    packed = syntax == DEFLATED and random_.random() < 0.8
    if packed:
        data = _inflated(data)
    if not packed and syntax != DEFLATED:
        for kind in (1, 2, 3):
            data = data.replace(uid(kind, 0, 0).encode(), uid(kind, 5, number // 10 if kind > 1 else number).encode())
    for _ in range(random_.choice([1, 1, 1, 2, 4])):
        data = _damaged(random_, data)
    return syntax, deflated(data) if packed else data


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompress(data, -zlib.MAX_WBITS)
    except zlib.error:  # it was none of this syntax
        return data


def deflated(data: bytes) -> bytes:
    """PS3.5 A.5."""
    packer = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def _damaged(random_: random.Random, data: bytes) -> bytes:
    if len(data) < 16:
        return data
    found = bytearray(data)
    random_.choice((_flip, _cut, _lie, _lie, _lie, _lie, _mix, _leave_out, _nest, _overwrite))(random_, found)
    return bytes(found)


def _flip(random_: random.Random, data: bytearray) -> None:
    for _ in range(random_.choice([1, 4, 64])):
        data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)


def _cut(random_: random.Random, data: bytearray) -> None:
    del data[random_.randrange(len(data)) :]


def _lie(random_: random.Random, data: bytearray) -> None:
    """An element of another VR or tag, or whose length lies."""
    at = _element(random_, data)
    if not at:
        _flip(random_, data)
        return
    kind = random_.randrange(4)
    if kind == 0:
        data[at + 4 : at + 6] = random_.choice([*VRS, b"\0\0", b"ZZ", b"??"])
    elif kind == 1:
        struct.pack_into("<H", data, at + 6, random_.choice(NUMBERS) & 0xFFFF)
    elif kind == 2:
        struct.pack_into("<L", data, at + random_.choice([4, 8]), random_.choice(NUMBERS))
    else:
        struct.pack_into("<HH", data, at, *random_.choice(TAGS))


def _mix(random_: random.Random, data: bytearray) -> None:
    """A piece of it twice, or of another data set."""
    other = valid(random_.randrange(14))[1] if random_.random() < 0.5 else bytes(data)
    at, start = random_.randrange(len(data)), random_.randrange(len(other))
    data[at:at] = other[start : start + random_.choice([8, 200, 3000])]


def _leave_out(random_: random.Random, data: bytearray) -> None:
    at = random_.randrange(len(data))
    del data[at : at + random_.choice([1, 2, 8, 300])]


def _nest(random_: random.Random, data: bytearray) -> None:
    at = _element(random_, data) or random_.randrange(len(data))
    data[at:at] = _sequences(random_)


def _overwrite(random_: random.Random, data: bytearray) -> None:
    at = random_.randrange(len(data))
    data[at : at + 4] = random_.choice([UNDEFINED, b"\0\0\0\0", random_.randbytes(4)])


def _element(random_: random.Random, data: bytearray) -> int:
    """Where some element begins that looks like one (Explicit VR Little Endian); 0: not found."""
    start = random_.randrange(len(data))
    for at in range(start, min(start + 400, len(data) - 12)):
        if bytes(data[at + 4 : at + 6]) in VRS and data[at + 1] in (0, 0x7F, 0x20, 0x28, 0x40):
            return at
    return 0


def _sequences(random_: random.Random) -> bytes:
    """Sequences without end in one another, of explicit, implicit or unknown VR."""
    head = random_.choice([b"\x08\x00\x05\x11SQ\0\0", b"\x08\x00\x05\x11", b"\x08\x00\x05\x11UN\0\0", b"\x09\x00\x10\x10UN\0\0"])
    item = b"\xfe\xff\x00\xe0"
    return (head + UNDEFINED + item + UNDEFINED) * random_.choice([1, 3, 50, 1000])
