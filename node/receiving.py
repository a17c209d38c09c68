"""The receiver as the configuration wants it."""

from collections.abc import Sequence

from domain.evidence import Witness
from domain.seams import Intake
from node.config import PeerSettings, Settings
from scp.receiver import Receiver
from scp.settings import Peer, ReceiverSettings


def receiver_for(settings: Settings, intake: Intake, witness: Witness | None = None) -> Receiver:
    """A C-STORE and C-ECHO SCP that is not started yet."""
    scp = settings.scp
    return Receiver(
        ReceiverSettings(
            ae_title=scp.ae_title.strip(),
            bind=scp.bind,
            port=scp.port,
            max_associations=scp.max_associations,
            peers=peers_of(settings.peers),
            admit_unknown=scp.admit_unknown,
        ),
        intake,
        witness,
    )


def peers_of(peers: Sequence[PeerSettings]) -> tuple[Peer, ...]:
    """Who may send, as the receiver wants it."""
    return tuple(Peer(peer.ae_title, peer.address, peer.port) for peer in peers)
