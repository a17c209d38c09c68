"""However a multipart body is cut into chunks, its parts are the same; whatever breaks the rules is said in one sentence."""

import itertools
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from console.multipart import Began, Data, Ended, MultipartError, Splitter, TooManyPartsError

Parts = list[tuple[dict[str, str], bytes]]
BOUNDARY = "ab-c"


def split(chunks: list[bytes], boundary: str = BOUNDARY, max_parts: int = 100) -> Parts:
    """The parts. Raises MultipartError."""
    parts: Parts = []
    ended = True
    splitter = Splitter(boundary, max_parts)
    for chunk in chunks:
        for event in splitter.feed(chunk):
            if isinstance(event, Began):
                assert ended
                parts.append((dict(event.fields), b""))
                ended = False
            elif isinstance(event, Data):
                assert event.content and not ended
                parts[-1] = (parts[-1][0], parts[-1][1] + event.content)
            else:
                assert isinstance(event, Ended) and not ended
                ended = True
    splitter.close()
    return parts


def cut(content: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(min(at, len(content)) for at in cuts), len(content)]
    return [content[start:end] for start, end in itertools.pairwise(bounds)]


def body(payloads: list[bytes], preamble: bytes = b"", padding: bytes = b"", epilogue: bytes = b"") -> bytes:
    parts = b"".join(b"--ab-c%s\r\nContent-Type: application/dicom\r\n\r\n%s\r\n" % (padding, one) for one in payloads)
    return preamble + parts + b"--ab-c--" + epilogue


# Pieces that look like what the splitter searches for, so that chance finds the hard cases.
NOISE = st.lists(
    st.sampled_from(
        [b"\r\n--ab-", b"\r\n--ab-cd", b"\r\n--ab-c-", b"\r\n--ab-c \tx", b"\r", b"\n", b"\r\n", b"--ab-c", b"-", b"x"]
    )
    | st.binary(max_size=20),
    max_size=8,
).map(b"".join)
PAYLOAD = NOISE.filter(lambda one: not ends_a_part(one))


def ends_a_part(payload: bytes) -> bool:
    """Whether RFC 2046 forbids this content: a whole delimiter in it, or one made by what follows."""
    whole = b"\r\n" + payload + b"\r\n--ab-c"
    return any(mark in whole[: len(whole) - 8] + b"\r\n" for mark in (b"\r\n--ab-c\r\n", b"\r\n--ab-c--", b"\r\n--ab-c \r\n"))


@settings(deadline=None, max_examples=500)
@given(
    payloads=st.lists(PAYLOAD, min_size=1, max_size=4),
    preamble=st.sampled_from([b"", b"\r\n", b"this is a preamble\r\n", b"--ab-\r\n"]),
    padding=st.sampled_from([b"", b" ", b"\t  "]),
    epilogue=st.sampled_from([b"", b"\r\n", b"\r\n--ab-c\r\nA: b\r\n\r\nnot a part"]),
    cuts=st.lists(st.integers(0, 600), max_size=30),
)
@example([b""], b"", b"", b"", list(range(600)))
@example([b"\r\n--ab-", b"\r", b"\r\n--ab-c-"], b"\r\n", b" ", b"\r\n", list(range(600)))
def test_any_chunking_gives_the_same_parts(
    payloads: list[bytes], preamble: bytes, padding: bytes, epilogue: bytes, cuts: list[int]
) -> None:
    whole = body(payloads, preamble, padding, epilogue)
    expected = [({"content-type": "application/dicom"}, one) for one in payloads]
    assert split(cut(whole, cuts)) == expected
    assert split([whole[at : at + 1] for at in range(len(whole))]) == expected


@settings(deadline=None, max_examples=300)
@given(content=NOISE.map(lambda one: b"--ab-c" + one) | st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=20))
def test_hostile_bodies_give_the_same_answer_in_any_chunking(content: bytes, cuts: list[int]) -> None:
    def answer(chunks: list[bytes]) -> object:
        try:
            return split(chunks)
        except MultipartError as error:
            return str(error)

    assert answer([content]) == answer(cut(content, cuts))


@settings(deadline=None, max_examples=200)
@given(payloads=st.lists(PAYLOAD, min_size=1, max_size=3), share=st.floats(0, 1, exclude_max=True))
def test_a_body_that_is_cut_off_is_never_complete(payloads: list[bytes], share: float) -> None:
    whole = body(payloads)
    with pytest.raises(MultipartError, match="closing delimiter"):
        split([whole[: int(share * len(whole))]])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "closing delimiter"),
        (b"x" * 70_000, "first delimiter has not come"),
        (b"--ab-c\r\n" + b"A: " + b"x" * 20_000, "header of a part is longer"),
        (b"--ab-c\r\nno field\r\n\r\n\r\n--ab-c--", "a line that is no field"),
        (b"--ab-c\r\n: x\r\n\r\n\r\n--ab-c--", "a line that is no field"),
        (b"--ab-c\r\nA b: x\r\n\r\n\r\n--ab-c--", "a line that is no field"),
    ],
)
def test_what_breaks_the_rules_is_refused(content: bytes, words: str) -> None:
    for chunks in ([content], [content[at : at + 100] for at in range(0, len(content), 100)]):
        with pytest.raises(MultipartError, match=words):
            split(chunks)


@pytest.mark.parametrize("boundary", ["", "x" * 201, "a\r\nb", "ends with space ", "ü", "a;b", 'a"b'])
def test_boundaries_that_are_none_are_refused(boundary: str) -> None:
    with pytest.raises(MultipartError, match="boundary"):
        Splitter(boundary, 1)


def test_parts_are_counted_and_folded_fields_read() -> None:
    folded = b"--ab-c\r\nContent-Type: application/dicom;\r\n\ttransfer-syntax=1.2\r\n\r\nx\r\n--ab-c\r\n\r\ny\r\n--ab-c--"
    assert split([folded]) == [({"content-type": "application/dicom; transfer-syntax=1.2"}, b"x"), ({}, b"y")]
    with pytest.raises(TooManyPartsError):
        split([body([b"1", b"2", b"3"])], max_parts=2)


def test_a_body_full_of_almost_delimiters_takes_no_more_time_than_its_length_allows() -> None:
    chunk = b"\r\n--ab-cx" * 8192  # 72 KiB, no delimiter in it
    splitter = Splitter(BOUNDARY, 1)
    list(splitter.feed(b"--ab-c\r\n\r\n"))
    began = time.process_time()
    taken = sum(len(event.content) for _ in range(64) for event in splitter.feed(chunk) if isinstance(event, Data))
    assert time.process_time() - began < 5
    assert taken > 63 * len(chunk)
