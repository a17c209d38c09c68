"""The receiver as the configuration wants it."""

import ssl
from collections.abc import Callable, Sequence

from delivery.tls import tls_args
from domain.destinations import Destination
from domain.evidence import Witness
from domain.instances import Caller
from domain.seams import Intake
from domain.strangers import Admission
from node.config import PeerSettings, Settings
from scp.receiver import Receiver
from scp.settings import Peer, ReceiverSettings


def receiver_for(
    settings: Settings,
    intake: Intake,
    witness: Witness | None = None,
    destinations: Callable[[], Sequence[Destination]] = tuple,
) -> Receiver:
    """A C-STORE and C-ECHO SCP that is not started yet. A commitment report to one of ``destinations`` uses its TLS."""
    scp = settings.scp
    return Receiver(
        ReceiverSettings(
            ae_title=scp.ae_title.strip(),
            bind=scp.bind,
            port=scp.port,
            max_associations=scp.max_associations,
            peers=peers_of(settings.peers),
            admit_unknown=scp.admit_unknown,
            request_seconds=scp.request_seconds,
            idle_seconds=scp.idle_seconds,
            max_pdu=scp.max_pdu,
            max_object=scp.max_object,
            max_per_peer=scp.max_associations_per_peer,
            association_seconds=scp.association_seconds,
            requests_per_second=scp.requests_per_second,
            min_bytes_per_second=scp.min_bytes_per_second,
            plain=not (scp.tls and scp.tls.only),
            tls=scp.tls,
        ),
        intake,
        witness,
        lambda caller, port: tls_towards(destinations(), caller, port),
    )


def tls_towards(destinations: Sequence[Destination], caller: Caller, port: int) -> tuple[ssl.SSLContext, str] | None:
    """That of the destination with this title and port; None: it has none. Raises TransientError."""
    found = (each for each in destinations if each.tls and (each.ae_title, each.port) == (caller.calling_ae, port))
    destination = next(found, None)
    return tls_args(destination) if destination else None


def with_admitted(peers: Sequence[PeerSettings], admitted: Sequence[Admission]) -> tuple[PeerSettings, ...]:
    """The peers of the file, then those that ``ancilla admit`` has let in."""
    return (*peers, *(PeerSettings(one.ae_title, one.address, one.port) for one in admitted))


def peers_of(peers: Sequence[PeerSettings]) -> tuple[Peer, ...]:
    """Who may send, as the receiver wants it."""
    return tuple(Peer(peer.ae_title, peer.address, peer.port) for peer in peers)
