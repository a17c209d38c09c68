"""Where results go, and what the other side said to each of them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Destination:
    """One configured destination. ``kind`` is "dicom" or "folder"; the fields of the other kind are empty."""

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
