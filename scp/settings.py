"""What a receiver has to be told, frozen; times are seconds, sizes bytes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """Somebody who may send. ``address`` is an IP address or a network ("10.1.0.0/16"); empty: from anywhere."""

    ae_title: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class ReceiverSettings:
    """The receiver's whole configuration."""

    ae_title: str
    bind: str = "127.0.0.1"
    port: int = 0  # 0: any free port
    max_associations: int = 25  # accepted at the same time; one more is rejected as "local limit exceeded"
    peers: tuple[Peer, ...] = ()
    admit_unknown: bool = False
    request_seconds: float = 10.0  # from connecting to the whole A-ASSOCIATE-RQ (the ARTIM timer of PS3.8 9.1.5)
    idle_seconds: float = 60.0  # without a complete PDU: the association is aborted
    stop_seconds: float = 10.0  # how long stop() waits for running associations before it aborts them
    max_pdu: int = 262144  # announced to the peer; a longer P-DATA-TF ends the association
    max_object: int = 16_000_000_000  # a longer data set is refused
    fast_path: bool = True
