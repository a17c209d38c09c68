"""Requests that were seen before are understood at once, and as if they had never been seen."""

import pytest
from pynetdicom.pdu import A_ASSOCIATE_RQ

from scp.requests import Requests
from tests.scp.conftest import Start
from tests.scp.objects import image
from tests.scp.test_receiver import even_context_id
from tests.scp.wire import CT, EXPLICIT, IMPLICIT, VERIFICATION, request


def decoder(data: bytes, calls: list[bytes]) -> A_ASSOCIATE_RQ:
    calls.append(data)
    pdu = A_ASSOCIATE_RQ()
    pdu.decode(data)
    return pdu


def test_equal_bytes_are_decoded_once_and_others_again() -> None:
    requests, calls = Requests(), list[bytes]()
    first, other = request([(CT, (EXPLICIT,))]), request([(CT, (EXPLICIT,))], calling="CT02")
    answers = [requests.decoded(data, lambda data=data: decoder(data, calls)) for data in (first, first, other)]  # type: ignore[misc]
    assert calls == [first, other]
    assert answers[0] is answers[1] and answers[2].to_primitive().calling_ae_title == "CT02"
    assert answers[0].protocol_version == 1


def test_what_cannot_be_decoded_is_not_kept() -> None:
    requests, calls, bad = Requests(), list[bytes](), even_context_id()
    for _ in range(2):
        with pytest.raises(ValueError, match="odd"):
            requests.decoded(bad, lambda: decoder(bad, calls))
    assert len(calls) == 2


def test_the_longest_unseen_and_the_very_long_are_not_kept() -> None:
    requests, calls = Requests(most=2), list[bytes]()
    a, b, c = (request([(CT, (EXPLICIT,))], calling=title) for title in "ABC")
    long = request([(f"1.2.3.{number}", [f"1.2.840.10008.1.2.4.{n}" for n in range(50, 70)]) for number in range(128)])
    for data in (a, b, a, c, a, b, long, long):
        requests.decoded(data, lambda data=data: decoder(data, calls))  # type: ignore[misc]
    assert calls == [a, b, c, b, long, long]


def test_associations_that_ask_for_the_same_do_not_share_what_happens_to_them(start: Start) -> None:
    running = start()
    proposed = [(CT, (EXPLICIT,)), (CT, (IMPLICIT,)), (VERIFICATION, (IMPLICIT,)), ("1.2.840.10008.5.1.4.1.2.2.1", (IMPLICIT,))]
    with running.sender().associate(proposed) as first, running.sender().associate(proposed) as second:
        assert first.results == second.results
        assert first.store(image(1), "1.2.3.4.1").status == 0
        first.release()
        assert second.echo(context=5) == 0
        assert second.store(image(2), "1.2.3.4.2").status == 0
        second.release()
    closed = running.intake.wait_for("closed", 2)
    assert {call[1] for call in closed} == {"association-1", "association-2"}
