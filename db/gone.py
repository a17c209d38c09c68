"""What is known about the last time a study was purged: a row of evidence, so that a late image finds it."""

import json
from typing import Final

from sqlalchemy import Connection, and_, func, select

from db.schema import evidence
from db.times import from_micros
from domain.errors import PermanentError
from domain.jobs import Job
from domain.retention import Purged

PURGED: Final = "purged"  # kind of the evidence row; its revision is the last one whose images are gone


def last_purge(connection: Connection, study_uid: str) -> Purged | None:
    """The newest purge of a study, or None."""
    mine = and_(evidence.c.study_uid == study_uid, evidence.c.kind == PURGED)
    row = connection.execute(select(evidence).where(mine).order_by(evidence.c.revision.desc()).limit(1)).one_or_none()
    if row is None:
        return None
    said = json.loads(row.details)
    return Purged(row.revision, from_micros(row.at), said["images"], said["bytes"], said["actor"])


def purged_revision(connection: Connection, study_uid: str) -> int:
    """Up to which revision the images of a study are gone; 0: none."""
    mine = and_(evidence.c.study_uid == study_uid, evidence.c.kind == PURGED)
    return int(connection.execute(select(func.max(evidence.c.revision)).where(mine)).scalar_one() or 0)


def refuse_purged(connection: Connection, job: Job) -> None:
    """Raises PermanentError when the images and results that ``job`` is about were deleted."""
    gone = last_purge(connection, job.study_uid)
    if gone is not None and job.revision <= gone.revision:
        raise PermanentError(purged_words(job.study_uid, gone))


def purged_words(study_uid: str, gone: Purged) -> str:
    """The sentence for who asks for what is not there any more."""
    return f"the images and results of study {study_uid} were purged on {gone.at:%Y-%m-%d}; send the study again"
