"""Who may send: closed by default, decided from both AE titles and the IP address alone."""

import ipaddress
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from domain.errors import ConfigurationError
from domain.instances import Caller
from scp.settings import Peer

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Verdict(StrEnum):
    """The words for the administrator; empty (false) when the caller is welcome."""

    WELCOME = ""
    CALLED_AE = "called AE title is not ours"
    CALLING_AE = "calling AE title is unknown"
    ADDRESS = "calling AE title is known, but not from this address"


class _Rule(NamedTuple):
    ae_title: str
    network: Network | None
    port: int


class Admission:
    """The rules of one receiver. AE titles are compared without leading and trailing spaces (PS3.8 9.3.2)."""

    def __init__(self, peers: Iterable[Peer], our_ae: str, admit_unknown: bool = False) -> None:
        """Raises ConfigurationError for an address that is none."""
        self.replace(peers)
        self._our_ae = our_ae.strip()
        self._admit_unknown = admit_unknown

    def replace(self, peers: Iterable[Peer]) -> None:
        """Other peers from now on; running associations go on. Raises ConfigurationError and changes nothing."""
        self._rules = tuple(_Rule(peer.ae_title.strip(), _network(peer), peer.port) for peer in peers)

    def verdict(self, caller: Caller) -> Verdict:
        """``Verdict.WELCOME``, or why the caller is rejected. The called AE title is checked in any case."""
        if caller.called_ae.strip() != self._our_ae:
            return Verdict.CALLED_AE
        if self._admit_unknown:
            return Verdict.WELCOME
        rules = [rule for rule in self._rules if rule.ae_title == caller.calling_ae.strip()]
        if not rules:
            return Verdict.CALLING_AE
        return Verdict.WELCOME if any(_covers(rule.network, caller.address) for rule in rules) else Verdict.ADDRESS

    def port(self, caller: Caller) -> int:
        """Where a caller listens itself; 0: it does not."""
        rules = (
            rule for rule in self._rules if rule.ae_title == caller.calling_ae.strip() and _covers(rule.network, caller.address)
        )
        return next((rule.port for rule in rules if rule.port), 0)


def _network(peer: Peer) -> Network | None:
    if not peer.address:
        return None
    try:
        return ipaddress.ip_network(peer.address, strict=False)
    except ValueError:
        raise ConfigurationError(f'peer.address "{peer.address}" is neither an IP address nor a network') from None


def _covers(network: Network | None, address: str) -> bool:
    if network is None:
        return True
    try:
        found = ipaddress.ip_address(address.partition("%")[0])  # without the scope of a link-local address
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)  # how a dual-stack socket shows IPv4 callers
    return (mapped or found) in network
