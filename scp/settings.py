"""What a receiver has to be told, frozen; times are seconds, sizes bytes."""

from dataclasses import dataclass

from scp.tls import TlsSettings


@dataclass(frozen=True, slots=True)
class Peer:
    """Somebody who may send. ``address`` is an IP address or a network ("10.1.0.0/16"); empty: from anywhere."""

    ae_title: str
    address: str = ""
    port: int = 0  # where it listens for storage commitment reports; 0: they go back on its own association


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
    max_per_peer: int = 0  # associations of one AE title and address at the same time; 0: only max_associations counts
    association_seconds: float = 0.0  # from acceptance; then it is aborted; 0: as long as it takes
    requests_per_second: float = 0.0  # of one address; more are rejected as "temporary congestion"; 0: any number
    min_bytes_per_second: float = 0.0  # of a message that is being sent, judged after idle_seconds; 0: any
    plain: bool = True  # whether ``port`` is open
    tls: TlsSettings | None = None
