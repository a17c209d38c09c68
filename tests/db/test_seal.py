"""A seal does not care how a data set was cut, and notices every piece that is missing or in another's place."""

from hypothesis import given
from hypothesis import strategies as st

from db.seal import PIECE, Seal


def seal(*fragments: bytes) -> int:
    one = Seal()
    for fragment in fragments:
        one.update(fragment)
    return one.value()


@given(data=st.binary(max_size=200), times=st.integers(1, 2000), cuts=st.lists(st.integers(0, 400_000), max_size=12))
def test_it_is_the_same_however_the_data_set_was_cut(data: bytes, times: int, cuts: list[int]) -> None:
    whole = data * times
    at = sorted(min(cut, len(whole)) for cut in cuts)
    assert seal(whole) == seal(*(whole[start:end] for start, end in zip([0, *at], [*at, len(whole)], strict=True)))


@given(data=st.binary(min_size=1, max_size=100), length=st.integers(1, 2 * PIECE), at=st.floats(0, 1), bit=st.integers(0, 7))
def test_one_bit_changes_it(data: bytes, length: int, at: float, bit: int) -> None:
    whole = bytearray((data * (length // len(data) + 1))[:length])
    before = seal(bytes(whole))
    whole[int(at * (length - 1))] ^= 1 << bit
    assert seal(bytes(whole)) != before


@given(sectors=st.integers(1, 300), hole=st.integers(0, 299), filling=st.integers(1, 255))
def test_a_sector_that_was_never_written_changes_it(sectors: int, hole: int, filling: int) -> None:
    whole = bytearray(bytes([filling]) * 512 * sectors)
    before = seal(bytes(whole))
    start = hole % sectors * 512
    whole[start : start + 512] = bytes(512)
    assert seal(bytes(whole)) != before


def test_zeros_at_the_end_and_pieces_in_another_order_change_it() -> None:
    one, other = bytes(range(256)) * (PIECE // 256), bytes(range(255, -1, -1)) * (PIECE // 256)
    assert seal(one) != seal(one, bytes(8))
    assert seal(one, other) != seal(other, one)
    assert seal() != seal(bytes(1))
