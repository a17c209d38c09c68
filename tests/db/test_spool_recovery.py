"""What a power cut leaves: every committed record is found again, what was torn is never believed."""

import errno
import tempfile
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db import spool as spool_module
from db.pack import Record
from db.spool import Spool
from domain.instances import Instance, Place
from tests.db.nouns import CALLER, META, Clock, found, header, put

_PAYLOADS = st.lists(st.binary(max_size=300), min_size=1, max_size=6)


def written(root: Path, payloads: list[bytes]) -> tuple[Path, list[Place]]:
    """A pack with one record per payload."""
    spool = Spool(root)
    places = [put(spool, payload, number)[0] for number, payload in enumerate(payloads)]
    spool.close("a1")
    return root / places[0].pack, places


def record(number: int, payload: bytes) -> bytes:
    """What a pack holds behind so many others; records do not know where they lie."""
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder))
        place, _ = put(spool, payload, number)
        return (Path(folder) / place.pack).read_bytes()


def ends(places: list[Place]) -> list[int]:
    return [place.offset + place.length for place in places]


@settings(deadline=None, max_examples=60)
@given(payloads=_PAYLOADS, share=st.floats(0, 1))
def test_a_pack_cut_at_any_byte_gives_exactly_the_records_committed_before_the_cut(payloads: list[bytes], share: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pack, places = written(Path(folder), payloads)
        cut = round(share * pack.stat().st_size)
        pack.write_bytes(pack.read_bytes()[:cut])
        whole = [place for place, end in zip(places, ends(places), strict=True) if end <= cut]
        recovered, torn = found(Spool(Path(folder)))
        assert [each.place for each in recovered] == whole
        good = ends(whole)[-1] if whole else 0
        assert [each.length for each in torn] == ([cut - good] if cut > good else [])
        assert (pack.stat().st_size if pack.exists() else 0) == good
        assert found(Spool(Path(folder))) == (recovered, [])


@settings(deadline=None, max_examples=60)
@given(payloads=_PAYLOADS, share=st.floats(0, 1, exclude_max=True), indexed=st.integers(0, 5), bit=st.integers(0, 7))
def test_a_flipped_bit_behind_the_index_makes_its_record_torn_and_nothing_behind_it_is_believed(
    payloads: list[bytes], share: float, indexed: int, bit: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pack, places = written(Path(folder), payloads)
        count = min(indexed, len(places) - 1)
        start = ends(places)[count - 1] if count else 0
        data = bytearray(pack.read_bytes())
        at = start + int(share * (len(data) - start))
        data[at] ^= 1 << bit
        pack.write_bytes(data)
        hit = next(number for number, end in enumerate(ends(places)) if at < end)
        recovered, torn = found(Spool(Path(folder)), {places[0].pack: start} if start else {})
        assert [each.place for each in recovered] == places[count:hit]
        assert [(each.offset, each.length) for each in torn] == [
            ((ends(places)[hit - 1] if hit else 0), len(data) - torn[0].offset)
        ]


@settings(deadline=None, max_examples=60)
@given(payloads=_PAYLOADS, torn=st.binary(min_size=1, max_size=300), share=st.floats(0, 1), zeros=st.integers(0, 5000))
def test_zeros_written_ahead_are_the_end_of_a_pack_and_a_record_half_written_over_them_is_torn(
    payloads: list[bytes], torn: bytes, share: float, zeros: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pack, places = written(Path(folder), payloads)
        good = pack.stat().st_size
        half = record(len(payloads), torn)
        half = half[: round(share * (len(half) - 1))]
        if (len(half) + zeros) and not torn.strip(b"\0"):
            half = half[: -len(torn)]  # else zeros would complete it
        with pack.open("ab") as file:
            file.write(half + bytes(zeros))
        recovered, found_torn = found(Spool(Path(folder)))
        assert [each.place for each in recovered] == places
        assert [(each.offset, each.length) for each in found_torn] == ([(good, len(half) + zeros)] if half else [])
        assert pack.stat().st_size == good


def test_a_pack_whose_zeros_were_never_cut_off_gives_every_record_and_no_complaint(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    places = [put(spool, b"small %d" % number, number)[0] for number in range(100)]
    assert (tmp_path / places[0].pack).stat().st_size > places[-1].offset + places[-1].length  # as the power went
    recovered, torn = found(Spool(tmp_path))
    assert [each.place for each in recovered] == places
    assert not torn
    assert (tmp_path / places[0].pack).stat().st_size == places[-1].offset + places[-1].length


@pytest.mark.parametrize("from_end", [1, 4, 5, 8])
def test_one_changed_bit_of_the_pixels_is_enough_not_to_believe_the_record(tmp_path: Path, from_end: int) -> None:
    pack, places = written(tmp_path, [b"good", b"badblock"])
    data = bytearray(pack.read_bytes())
    data[-from_end] ^= 1
    pack.write_bytes(data)
    recovered, [torn] = found(Spool(tmp_path))
    assert [each.place for each in recovered] == places[:1]
    assert torn.words == "the data set is damaged"


def test_a_recovered_record_says_all_that_the_index_needs(tmp_path: Path) -> None:
    clock = Clock()
    spool = Spool(tmp_path, clock=clock)
    place, digest = put(spool, b"payload", 7)
    [again], _ = found(Spool(tmp_path))
    assert again == Instance(header(7), place, digest, CALLER, "a1", clock.at)
    assert spool.view(again.place) == META + b"payload"


def test_the_placeholder_of_an_unfinished_record_is_cut_off(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    first, _ = put(spool, b"kept")
    spool.writer("a1", CALLER, header(2), META).write(b"x" * 200_000)
    recovered, [torn] = found(Spool(tmp_path), {})
    assert [each.place for each in recovered] == [first]
    assert torn.offset == first.offset + first.length
    assert (tmp_path / first.pack).stat().st_size == torn.offset


def test_records_that_are_indexed_are_not_looked_at_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    first, _ = put(spool, b"one", 1)
    second, _ = put(spool, b"two", 2)
    assert [each.place for each in found(spool, {first.pack: first.offset + first.length})[0]] == [second]
    assert found(spool, {first.pack: second.offset + second.length}) == ([], [])


def test_a_pack_that_cannot_be_read_is_reported_and_left_alone_and_the_others_are_recovered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    bad, _ = put(spool, b"one", 1, study="1.2.3")
    good, _ = put(spool, b"two", 2, study="4.5.6")
    size = (tmp_path / bad.pack).stat().st_size
    whole = spool_module.read_record

    def read(file: BinaryIO, pack: str, start: int, end: int) -> Record | str:
        if pack == bad.pack:
            raise OSError(errno.EIO, "bad sector")
        return whole(file, pack, start, end)

    monkeypatch.setattr(spool_module, "read_record", read)
    recovered, torn = found(spool)
    assert [each.place for each in recovered] == [good]
    assert [(each.pack, each.length) for each in torn] == [(bad.pack, 0)]
    assert (tmp_path / bad.pack).stat().st_size == size


def test_indexed_bytes_that_are_missing_are_reported_and_not_passed_over(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    place, _ = put(spool, b"one")
    end = place.offset + place.length
    recovered, torn = found(spool, {place.pack: end + 50, "00/none/a9.pack": 700})
    assert not recovered
    assert {(each.pack, each.offset, each.length) for each in torn} == {(place.pack, end, 50), ("00/none/a9.pack", 0, 700)}
