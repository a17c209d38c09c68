"""Who may send."""

import pytest

from domain.errors import ConfigurationError
from domain.instances import Caller
from scp.admission import Admission, Verdict
from scp.settings import Peer

PEERS = (Peer("CT01", "192.0.2.7"), Peer(" MR 1 ", "10.1.0.0/16"), Peer("MR 1", "2001:db8::/32"), Peer("ANY"))


def verdict(calling: str, address: str = "192.0.2.7", called: str = "ANCILLA", admit: bool = False) -> Verdict:
    return Admission(PEERS, "ANCILLA", admit).verdict(Caller(calling, called, address))


def test_nobody_may_send_without_a_rule() -> None:
    assert Admission((), "ANCILLA").verdict(Caller("CT01", "ANCILLA", "127.0.0.1")) is Verdict.CALLING_AE


def test_a_known_title_from_its_address_may_send() -> None:
    assert not verdict("CT01")
    assert not verdict("  CT01 ")
    assert not verdict("CT01", "::ffff:192.0.2.7")
    assert not verdict("ANY", "203.0.113.9")


def test_a_title_is_compared_with_its_case() -> None:
    assert verdict("ct01") is Verdict.CALLING_AE


@pytest.mark.parametrize("address", ["192.0.2.8", "2001:db8::7", "", "not an address"])
def test_a_known_title_from_elsewhere_may_not_send(address: str) -> None:
    assert verdict("CT01", address) is Verdict.ADDRESS


@pytest.mark.parametrize("address", ["10.1.255.1", "2001:db8:1::1", "2001:db8::1%eth0"])
def test_several_rules_for_a_title_add_up(address: str) -> None:
    assert not verdict("MR 1", address)


def test_whoever_calls_somebody_else_is_rejected_even_when_all_are_admitted() -> None:
    assert verdict("CT01", called="OTHER") is Verdict.CALLED_AE
    assert verdict("NEW", called="OTHER", admit=True) is Verdict.CALLED_AE
    assert not verdict("NEW", "203.0.113.9", admit=True)


def test_an_address_that_is_none_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match=r"peer\.address"):
        Admission((Peer("CT01", "10.0.0.0/99"),), "ANCILLA")
