"""Damaged data sets: each is stored as it came or refused with a status, and nobody who reads it later is surprised."""

import random
import struct
import time
import zlib
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from db.engine import open_store
from db.spool import Recovered, Spool
from domain.errors import UnsuitableError
from domain.instances import Caller, Instance, Receipt
from inference.analyse import choose
from inference.package import load
from inference.source import Source, integer, numbers, open_source, text, words
from node.geometry import gap, plane
from node.intake import Intake
from node.rules import parse_rule
from scp.deposit import Announced, Depositor
from scp.file_deposit import FileDeposit
from scp.header import read_header
from scp.part10 import meta_bytes
from scp.statuses import Reply, Status
from tests.faults.data_sets import DEEP, DEFLATED, UNDEFINED, deflated, mutated, valid
from tests.faults.feeding import Complaints
from tests.faults.rounds import report, rounds
from tests.faults.vitals import forget_peak, vitals
from tests.inference import small_package
from tests.scp.wire import EXPLICIT, IMPLICIT

SEED = 20260104
OBJECTS = rounds(1_200, 20_000)
SLOWEST = 3.0  # seconds for one object: received, indexed and read by everybody
PEAK = 200_000  # KiB more than before, at any moment
CALLER = Caller("CT01", "ANCILLA", "127.0.0.1")
REFUSALS = {
    Status.CANNOT_UNDERSTAND,
    Status.MISMATCH,
    Status.OUT_OF_RESOURCES,
    Status.SOP_CLASS_NOT_SUPPORTED,
    Status.TRANSFER_SYNTAX_NOT_SUPPORTED,
}
RULE = parse_rule(
    {
        "Modality": "CT",
        "SliceThickness": {"max": 5.0},
        "ImageType": {"excludes": ["LOCALIZER"]},
        "SeriesDescription": {"matches": "(?i)chest"},
        "PixelSpacing": {"min": 0.1},
        "PatientName": {"excludes": ["PHANTOM"]},
    },
    "when",
)
ASKED = ("Modality", "PatientName", "StudyDate", "PixelSpacing", "ImagePositionPatient", "Rows", "ImageType", "ContentSequence")
pytestmark = pytest.mark.filterwarnings("ignore")  # pydicom about values


class House:
    """Real storage, a depositor in front of it, the readers behind it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "spool"
        self.spool = Spool(self.root)
        self.store = open_store(folder / "ancilla.db", lambda: datetime.now(UTC))
        received = self.store.received
        self.found: list[Instance] = []

        def noting(instance: Instance, quiet: float, most: float) -> Receipt:
            self.found.append(instance)
            return received(instance, quiet, most)

        self.store.received = noting  # type: ignore[method-assign]
        self.intake = Intake(self.spool, self.store, 30, 1800, lambda: datetime.now(UTC))
        self.contract = load(small_package.build(folder / "package")).contract

    def deposit(self, syntax: str, data: bytes, cuts: random.Random) -> Reply:
        """As a C-STORE, in pieces of any size, on an association of its own."""
        association_id = self.intake.opened(CALLER)
        deposit = Depositor(self.intake, CALLER, association_id, 1 << 30).begin(Announced("", "", syntax))
        size = cuts.choice([1, 13, 700, 16_000, 1 << 18]) if len(data) < 20_000 else cuts.choice([700, 16_000, 1 << 18])
        for start in range(0, len(data), size):
            deposit.write(memoryview(data)[start : start + size])
        reply = deposit.finish()
        self.intake.closed(association_id, "released")
        return reply

    def deposit_file(self, data: bytes, cuts: random.Random) -> Reply:
        """As a PS3.10 file of a folder or STOW-RS."""
        association_id = self.intake.opened(CALLER)
        deposit = FileDeposit(self.intake, CALLER, association_id)
        size = cuts.choice([100, 4000, 1 << 18])
        for start in range(0, len(data), size):
            deposit.write(memoryview(data)[start : start + size])
        reply = deposit.finish()
        self.intake.closed(association_id, "released")
        return reply

    def read(self, instance: Instance) -> Source:
        """What everybody behind the receiver reads of an object."""
        view = self.spool.view(instance.place)
        source = open_source(view)
        for keyword in ASKED:
            text(source.header, keyword), words(source.header, keyword), integer(source.header, keyword)
            numbers(source.header, keyword, 3)
        RULE.wants(source.header)
        gap([plane(view)] * 6)
        _, chosen = choose([source] * self.contract.min_slices, self.contract)
        assert isinstance(chosen, UnsuitableError), "equal positions are no volume"
        return source


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def judged(house: House, reply: Reply, syntax: str) -> str:
    """What became of an object, in a word, after all checks; of a file the syntax may be damaged too."""
    if reply.status != 0:
        assert reply.status in REFUSALS, reply
        assert 0 < len(reply.words) <= 64 and reply.words.isascii(), reply
        assert house.found == []
        return f"{reply.status:04X}"
    instance = house.found.pop()
    assert instance.header.transfer_syntax_uid == (syntax or instance.header.transfer_syntax_uid)
    source = house.read(instance)
    return "stored, unreadable" if source.fault else "stored"


def test_mutated_data_sets_are_stored_or_refused_and_read_without_surprise(house: House) -> None:
    random_, complaints, became = random.Random(SEED), Complaints(), Counter[str]()
    slowest = peak = 0.0
    house.read(stored(house, *valid(0)))
    start = None
    for number in range(OBJECTS):
        syntax, data = mutated(random_, number)
        begin = time.monotonic()
        if number % 4 == 3:
            became[judged(house, house.deposit_file(file(random_, syntax, data), random_), "")] += 1
        else:
            became[judged(house, house.deposit(syntax, data, random_), syntax)] += 1
        slowest = max(slowest, time.monotonic() - begin)
        assert slowest < SLOWEST, (number, syntax, data[:2000].hex())
        assert complaints.lines == [], (number, syntax, data[:2000].hex())
        if number == OBJECTS // 5:
            start = vitals()
            forget_peak()
    assert start is not None
    end = vitals()
    peak = end.peak - start.memory
    assert peak < PEAK, (start, end)
    assert end.memory - start.memory < 60_000, (start, end)
    assert end.descriptors <= start.descriptors + 34  # the spool keeps 32 maps
    assert became["stored"] > OBJECTS / 10 and became["C000"] > OBJECTS / 20, became
    report(objects=OBJECTS, slowest_seconds=round(slowest, 2), peak_kib=peak, memory_kib=(start.memory, end.memory))
    report(**{name.replace(" ", "_"): count for name, count in became.items()})
    intact(house)


def stored(house: House, syntax: str, data: bytes) -> Instance:
    assert house.deposit(syntax, data, random.Random(0)).status == 0
    return house.found.pop()


def file(random_: random.Random, syntax: str, data: bytes) -> bytes:
    """A PS3.10 file around a data set; of some the meta information is damaged too."""
    meta = bytearray(meta_bytes(replace(read_header(valid(0)[1], EXPLICIT), transfer_syntax_uid=syntax), "CT01"))
    if random_.random() < 0.1:
        meta[random_.randrange(128, len(meta))] = random_.randrange(256)
    return bytes(meta) + data


def intact(house: House) -> None:
    """Packs hold whole records only, and nothing else lies in the spool."""
    files = [path for path in house.root.rglob("*") if path.is_file()]
    assert all(path.suffix == ".pack" for path in files)
    records = list(Spool(house.root).recover({}))
    assert all(isinstance(record, Recovered) for record in records), [
        record for record in records if not isinstance(record, Recovered)
    ]
    assert len(records) == sum(1 for _ in house.store.audit(event="stored")) + sum(
        1 for event in ("duplicate", "conflict") for _ in house.store.audit(event=event)
    )


def nested(head: bytes, depth: int) -> bytes:
    return (head + UNDEFINED + b"\xfe\xff\x00\xe0" + UNDEFINED) * depth


@pytest.mark.parametrize("head", [b"\x08\x00\x05\x11SQ\0\0", b"\x08\x00\x05\x11UN\0\0"], ids=["SQ", "UN"])
@pytest.mark.parametrize("where", ["before the UIDs", "after the UIDs"])
def test_sequences_nested_20000_deep_end_nobody(house: House, head: bytes, where: str) -> None:
    data = bytearray(valid(5)[1])
    at = data.index(b"\x08\x00\x16\x00UI") if where == "before the UIDs" else len(data)
    data[at:at] = nested(head, DEEP)
    begin, complaints = time.monotonic(), Complaints()
    became = judged(house, house.deposit(EXPLICIT, bytes(data), random.Random(1)), EXPLICIT)
    assert became in ("C000", "stored, unreadable", "stored")
    assert time.monotonic() - begin < SLOWEST
    assert complaints.lines == []


def test_a_small_object_that_inflates_to_a_big_one_is_bounded(house: House) -> None:
    """In the header, where the receiver has to look, and in the pixels, where it has not."""
    plain, zeros = valid(5)[1], bytes(1 << 20)
    at, complaints = plain.index(b"\x08\x00\x16\x00UI"), Complaints()
    house.read(stored(house, DEFLATED, deflated(plain)))
    forget_peak()
    before = vitals()
    for data in (
        bomb(plain[:at] + b"\x08\x00\x06\x00UT\0\0" + struct.pack("<L", 320 << 20), zeros),
        bomb(plain + b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<L", 320 << 20), zeros),
    ):
        begin = time.monotonic()
        assert judged(house, house.deposit(DEFLATED, data, random.Random(2)), DEFLATED) in ("C000", "stored, unreadable")
        assert time.monotonic() - begin < 10
    assert vitals().peak - before.memory < 700_000  # the reader of pixels stops at 256 MiB, twice
    assert complaints.lines == []


def bomb(head: bytes, block: bytes) -> bytes:
    """``head`` and 320 MiB behind it, deflated."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return packer.compress(head) + b"".join(packer.compress(block) for _ in range(320)) + packer.flush()


def test_lengths_that_promise_gigabytes_hold_no_memory(house: House) -> None:
    plain, rest = valid(5)[1], memoryview(b"\1" * (200 << 20))
    at = plain.index(b"\x08\x00\x16\x00UI")
    forget_peak()
    before = vitals()
    for vr in (b"UT\0\0", b"OB\0\0", b"UN\0\0"):
        for syntax in (EXPLICIT, IMPLICIT):
            association_id = house.intake.opened(CALLER)
            deposit = Depositor(house.intake, CALLER, association_id, 1 << 30).begin(Announced("", "", syntax))
            deposit.write(plain[:at] + b"\x08\x00\x06\x00" + vr + struct.pack("<L", 0xFFFFFFFE))
            for start in range(0, len(rest), 100_000):
                deposit.write(rest[start : start + 100_000])
            assert deposit.finish().status == Status.CANNOT_UNDERSTAND
    assert vitals().peak - before.memory < 150_000  # 8 MiB are held, and moved as they grow; never the 200 that came
