"""Whose study it is, as a digest only this installation can make: enough to find the patient's earlier studies, and no more."""

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path

from db.spool import Spool
from domain.errors import PermanentError
from domain.instances import Instance
from inference.source import open_source, text


@dataclass(frozen=True, slots=True)
class Identity:
    """``mark`` is 32 hex digits; ``study_date`` YYYYMMDD or empty."""

    mark: str
    study_date: str


def identity(spool_dir: Path, instance: Instance, installation: str) -> Identity | None:
    """From Patient ID and its issuer (PS3.3 C.7.1.1); None when the image has no Patient ID or cannot be read."""
    try:
        source = open_source(Spool(spool_dir).view(instance.place))
    except PermanentError:
        return None
    patient = text(source.header, "PatientID").strip()
    if source.fault or not patient:
        return None
    words = "\n".join((text(source.header, "IssuerOfPatientID").strip(), patient))
    mark = hmac.new(installation.encode(), words.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:32]
    date = text(source.header, "StudyDate").strip()
    return Identity(mark, date if len(date) == 8 and date.isdigit() else "")
