"""What arrives: one image or other object, who sent it, and where its bytes lie."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Caller:
    """One peer on one association. AE titles are stripped of padding; ``address`` is an IP address."""

    calling_ae: str
    called_ae: str
    address: str


@dataclass(frozen=True, slots=True)
class Header:
    """What names an instance and places it in its study; read without touching pixels."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    study_uid: str
    series_uid: str
    modality: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the PS3.10 bytes of one instance lie: ``pack`` is a path relative to the spool, offset and length in bytes."""

    pack: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Instance:
    """One durable instance. ``digest`` is the SHA-256 (hex) of its data set as received, file meta information excluded."""

    header: Header
    place: Place
    digest: str
    caller: Caller
    association_id: str
    received_at: datetime


class Receipt(StrEnum):
    """What the store made of an arriving instance; every one of them is answered 0x0000."""

    STORED = "stored"  # new
    DUPLICATE = "duplicate"  # same UID, equal bytes: nothing kept, one audit row
    CONFLICT = "conflict"  # same UID, other bytes: kept beside the first, which stays the one that counts
    TAKEN = "taken"  # the store judges it a moment later: the receiver of C-STORE does not ask
