"""Where results go, and what the other side said to each of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Destination:
    """One configured destination. ``kind`` is "dicom", "dicomweb" or "folder"; the fields of the other kinds are empty.

    ``outputs`` are what it gets, whatever the configuration said: those of its profile, if it named none.
    """

    name: str
    kind: str
    host: str = ""
    port: int = 0
    ae_title: str = ""  # called
    calling_ae: str = ""  # ours
    path: str = ""  # of a folder
    outputs: tuple[str, ...] = ("sr", "seg")
    timeout_seconds: float = 30.0
    priors: bool = False  # ask by C-FIND and C-GET for the patient's earlier reports, where this node has none itself
    profile: str = "generic"  # the viewer at the other end
    volumetric: bool = True  # the report of volumes goes with "sr"
    url: str = ""  # of a DICOMweb service, without a slash at its end
    token_file: str = ""  # a bearer token, read at each delivery
    password_file: str = ""  # "user:password", read at each delivery
    ca_file: str = ""  # whose certificates are good (PEM); empty: those the system trusts
    tls: bool = False  # whether a dicom destination is spoken to by TLS
    cert_file: str = ""  # our own certificate with its chain, and ...
    key_file: str = ""  # ... its key (PEM, without a password); empty: in cert_file
    commitment: bool = False  # ask it to take responsibility for what it got (PS3.4 Annex J)
    count: bool = False  # ask by C-FIND how many images of a study it has, before the study counts as complete


@dataclass(frozen=True, slots=True)
class Sent:
    """The answer to one instance. ``status`` is the C-STORE status (PS3.4 B.2.3): 0x0000, a warning 0xBxxx, or a failure."""

    sop_instance_uid: str
    status: int
    comment: str = ""

    @property
    def accepted(self) -> bool:
        """Success or warning: the instance is there."""
        return self.status == 0 or self.status >> 12 == 0xB


@dataclass(frozen=True, slots=True)
class Instead:
    """One kind of result that the other side did not take, and what it took in its place (the same kind of statement)."""

    wanted: str  # "seg"
    given: str  # "gsps"
    sop_instance_uids: tuple[str, ...]  # of what was refused


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of one delivery. ``results`` holds every attempt; ``learned`` what was found out about SOP Classes.

    ``short``: kinds that would be tried next and were not written, because the destination was known to take the first choice.
    """

    results: tuple[Sent, ...]
    instead: tuple[Instead, ...] = ()
    learned: Mapping[str, bool] = field(default_factory=dict)
    short: bool = False


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Whether a destination takes a SOP Class, as it was found out ``at`` that time."""

    sop_class_uid: str
    accepted: bool
    at: datetime
