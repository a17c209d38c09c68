"""A request that was accepted before is answered with the same bytes, and the association works as the first did."""

from pynetdicom.pdu_primitives import A_ASSOCIATE, UserIdentityNegotiation

from scp.outcomes import Outcome, Outcomes
from scp.settings import Peer
from tests.scp.conftest import Running, Start
from tests.scp.objects import image
from tests.scp.wire import CT, EXPLICIT, IMPLICIT, VERIFICATION, request

OFFER = [(VERIFICATION, (IMPLICIT,)), (CT, (EXPLICIT,)), ("1.2.840.10008.5.1.4.31", (IMPLICIT,))]  # the last is none of ours


def accept(running: Running) -> tuple[bytes, int]:
    """The whole answer to the request, and the status of an object stored afterwards."""
    with running.sender() as sender:
        sender.send(request(OFFER))
        answer = sender.expect(2)
        assert sender.echo() == 0
        status = sender.store(image(), "1.2.3.4.1", context=3).status
        sender.release()
    return answer, status


def test_the_same_request_gets_the_same_answer_and_the_association_works(start: Start) -> None:
    running = start()
    first = accept(running)
    assert [accept(running) for _ in range(3)] == [first] * 3
    assert first[1] == 0
    assert len(running.intake.stored) == 4
    assert [call[2] for call in running.intake.wait_for("closed", 4)] == ["released"] * 4


def test_a_caller_who_is_not_admitted_any_more_is_rejected_though_its_request_was_accepted_before(start: Start) -> None:
    running = start()
    accept(running)
    running.receiver.admit([Peer("OTHER")])
    with running.sender() as sender:
        sender.send(request(OFFER))
        assert sender.read()[0] == 3


def test_what_one_receiver_accepts_is_not_what_another_answers(start: Start) -> None:
    answers = {accept(start(max_pdu=size))[0] for size in (16384, 32768)}
    assert len(answers) == 2


def outcome(*items: object) -> Outcome:
    asked = A_ASSOCIATE()
    asked._user_information = list(items)  # type: ignore[arg-type]
    return Outcome(asked, (), (), b"answer")


def test_who_says_who_the_user_is_is_judged_anew() -> None:
    outcomes, named, plain = Outcomes(), outcome(UserIdentityNegotiation()), outcome()
    outcomes.keep(named)
    outcomes.keep(plain)
    assert outcomes.find(named.request) is None
    assert outcomes.find(plain.request) == plain


def test_the_number_that_is_kept_is_bounded() -> None:
    outcomes, several = Outcomes(most=2), [outcome() for _ in range(3)]
    for each in several:
        outcomes.keep(each)
    assert [outcomes.find(each.request) is not None for each in several] == [False, True, True]
