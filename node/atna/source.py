"""Who this node is in its audit messages, and whom it means by the names in its log."""

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from domain.destinations import Destination
from node.config import Settings


@dataclass(frozen=True, slots=True)
class Party:
    """One active participant: how it is called, its AE title and where on the network it is, as far as that is known."""

    name: str
    ae_title: str = ""
    place: str = ""  # address or host name

    @property
    def place_kind(self) -> int:
        """NetworkAccessPointTypeCode: 2 an IP address, 1 a machine name."""
        try:
            ipaddress.ip_address(self.place)
        except ValueError:
            return 1
        return 2


@dataclass(frozen=True, slots=True)
class Source:
    """This node. ``log`` is the URI of its audit log."""

    ae_title: str
    host: str
    site: str = ""
    log: str = ""
    destinations: Mapping[str, Destination] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """AuditSourceID."""
        return f"{self.ae_title}@{self.host}"

    @property
    def party(self) -> Party:
        """This node as a participant."""
        return Party(self.ae_title, self.ae_title, self.host)

    def actor(self, words: str) -> Party | None:
        """Who an ``actor`` of the log is; None: this node itself."""
        if words == "node" or words.startswith("node "):
            return None
        if words.startswith("operator:"):
            name, _, place = words.removeprefix("operator:").partition("@")
            return Party(name, "", self.host if place in ("", "local") else place)
        name, _, address = words.rpartition("@")
        return Party(name or words, name, address if name else "")

    def destination(self, name: str) -> Party:
        """Where results went; one that is configured no longer is a name only."""
        found = self.destinations.get(name)
        if found is not None:
            return Party(name, found.ae_title, found.host or urlsplit(found.url).hostname or (self.host if found.path else ""))
        ae_title, at, address = name.removeprefix("sender:").rpartition("@")
        return Party(ae_title, ae_title, address) if at else Party(name or "unknown")


def source_of(settings: Settings) -> Source:
    """The node of a configuration on this machine."""
    named = {destination.name: destination for destination in settings.destinations}
    log = settings.node.database.replace("sqlite:///", "file://", 1)
    return Source(settings.scp.ae_title.strip(), socket.gethostname(), settings.node.institution, log, named)
