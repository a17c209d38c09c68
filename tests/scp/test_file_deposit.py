"""A PS3.10 file in fragments ends in the intake exactly as its data set is, or is refused with a reason."""

import itertools
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import OutOfSpaceError
from domain.instances import Caller, Header, Receipt
from scp.file_deposit import FileDeposit
from scp.part10 import META_LIMIT, PREAMBLE, meta_bytes
from tests.scp.objects import image
from tests.scp.recording_intake import RecordingIntake
from tests.scp.wire import CT

CALLER = Caller("CT01", "ANCILLA", "192.0.2.7")
EXPLICIT = "1.2.840.10008.1.2.1"


def file_of(data_set: bytes, syntax: str = EXPLICIT) -> bytes:
    return meta_bytes(Header(CT, "9.9.9", syntax, "", ""), "SOMEBODY") + data_set


def deposit(intake: RecordingIntake, **options: object) -> FileDeposit:
    return FileDeposit(intake, CALLER, "association-1", **options)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=150)
@given(cuts=st.lists(st.integers(0, 1200), max_size=12), preamble=st.binary(min_size=128, max_size=128))
def test_any_fragmentation_gives_the_same_data_set(cuts: list[int], preamble: bytes) -> None:
    intake = RecordingIntake()
    data_set = image(pixels=500)
    content = preamble + file_of(data_set)[128:]
    bounds = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    one = deposit(intake)
    for start, end in itertools.pairwise(bounds):
        piece = bytearray(content[start:end])
        one.write(piece)
        piece[:] = b"\xee" * len(piece)  # a fragment may be overwritten afterwards
    assert one.finish().status == 0
    assert one.receipt is Receipt.STORED and one.header is not None
    (stored,) = intake.stored
    assert stored.data_set == data_set
    assert stored.header.sop_instance_uid == one.header.sop_instance_uid == "1.2.3.4.1"  # the data set counts, not group 0002


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"", 0xC000, "not a DICOM file"),
        (b"\0" * 140, 0xC000, "not a DICOM file"),
        (PREAMBLE, 0xC000, "no transfer syntax"),
        (PREAMBLE + b"\x02\x00\x10\x00UI\xff\xff", 0xC000, "File Meta Information"),
        (PREAMBLE + struct.pack("<HH2sHL", 2, 1, b"OB", 0, 0xFFFFFFF0) + b"x" * META_LIMIT, 0xC000, "longer than 1 MiB"),
        (file_of(b""), 0xC000, "no Study Instance UID"),
        (file_of(image(StudyInstanceUID=None)), 0xC000, "no Study Instance UID"),
        (file_of(image(), "1.2.3.4.5"), 0xC122, "transfer syntax is private or unknown"),
        (file_of(image(), "../../etc/passwd"), 0xC122, "transfer syntax is private or unknown"),
        (file_of(image(SOPClassUID="1.2.840.10008.1.1")), 0x0122, "not a storage SOP class"),
    ],
)
def test_what_cannot_be_kept_is_refused_once_with_a_reason(content: bytes, status: int, words: str) -> None:
    intake = RecordingIntake()
    one = deposit(intake)
    one.write(content)
    one.write(b"and more" * 10)
    reply = one.finish() if content else deposit(intake).finish()
    assert reply.status == status and words in reply.words
    assert len(intake.named("refused")) == 1 and not intake.stored and intake.open_writers == 0


def test_objects_of_another_study_and_too_large_ones_are_refused() -> None:
    intake = RecordingIntake()
    other = deposit(intake, study_uid="1.2.3.77")
    other.write(file_of(image()))
    assert other.finish().status == 0xC409 and other.header is not None
    large = deposit(intake, max_object=400)
    large.write(file_of(image(pixels=100)))
    large.write(b"x" * 400)
    assert large.too_large and large.finish().status == 0xA700
    right = deposit(intake, study_uid="1.2.3.1")
    right.write(file_of(image()))
    assert right.finish().status == 0 and not right.too_large
    assert intake.open_writers == 0


def test_a_full_disk_and_a_file_that_never_ends_leave_nothing() -> None:
    intake = RecordingIntake(failures={"commit": [OutOfSpaceError("full")]})
    one = deposit(intake)
    one.write(file_of(image()))
    assert one.finish().status == 0xA700 and not one.too_large and one.receipt is None
    for content in (file_of(image()), file_of(image())[:150], b""):
        half = deposit(intake)
        half.write(content)
        half.discard()
    assert intake.open_writers == 0 and not intake.stored
