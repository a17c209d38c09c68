"""Where audit messages go: an audit repository, and how far it has got."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository that takes messages by syslog. ``transport`` is "tls" (RFC 5425) or "udp" (RFC 5426)."""

    transport: str
    host: str
    port: int
    ca_file: str = ""  # whose certificates are good (PEM); empty: those the system trusts
    cert_file: str = ""  # our own certificate with its chain, and ...
    key_file: str = ""  # ... its key (PEM, without a password); empty: in cert_file
    timeout_seconds: float = 30.0

    @property
    def name(self) -> str:
        """The address as it is configured."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Forwarded:
    """How far the log has got. Rows up to ``seq`` need not be sent again; ``offered`` is the last that was sent.

    ``behind``: rows that wait, those counted that were sent and may have to be again. ``words``: why it does not go on, ``since``
    when; empty while all is well.
    """

    seq: int = 0
    offered: int = 0
    behind: int = 0
    at: datetime | None = None  # when ``seq`` moved
    words: str = ""
    since: datetime | None = None
