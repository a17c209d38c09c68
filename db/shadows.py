"""Answers kept in shadow: how many there are, of which studies, and the live answers they stand beside."""

from collections.abc import Collection
from datetime import datetime
from typing import Final, cast

from sqlalchemy import ColumnElement, func, select, text

from db.database import Database
from db.rows import job_of
from db.schema import IN_SHADOW, jobs
from db.times import to_micros
from domain.jobs import Job, JobKind
from domain.moves import JobState

# Not a parameter, and not a Boolean ("shadow = 1 = 1"): only so is the index of the few used.
_IN_SHADOW: Final = cast(ColumnElement[bool], text(IN_SHADOW))
_ANSWERED: Final = (JobState.DONE, JobState.DECLINED, JobState.FAILED)


class Shadows:
    """The part of the store that compares what was sent with what was not."""

    _database: Database

    def shadow_count(self) -> int:
        """How many answers are kept in shadow."""
        ended = (jobs.c.state + "").in_(_ANSWERED)  # else SQLite looks for the many that ended, and not for the few in shadow
        query = select(func.count()).select_from(jobs).where(_IN_SHADOW, ended)
        with self._database.read(latest=False) as connection:
            return int(connection.execute(query).scalar_one())

    def shadowed(self, study_uids: Collection[str]) -> dict[str, list[str]]:
        """The models that ran or run in shadow on these studies."""
        mine = (_IN_SHADOW, jobs.c.study_uid.in_(study_uids), jobs.c.state != JobState.CANCELLED)
        query = select(jobs.c.study_uid, jobs.c.model_id).where(*mine).distinct().order_by(jobs.c.study_uid, jobs.c.model_id)
        found: dict[str, list[str]] = {}
        with self._database.read(latest=False) as connection:
            for study_uid, model_id in connection.execute(query):
                found.setdefault(study_uid, []).append(model_id)
        return found

    def answers_with_shadow(self, since: datetime | None = None) -> list[Job]:
        """All answers, live ones too, of studies that have one in shadow (queued ``since`` then); the oldest first."""
        terms: list[ColumnElement[bool]] = [_IN_SHADOW, jobs.c.state.in_(_ANSWERED)]
        if since is not None:
            terms.append(jobs.c.created_at >= to_micros(since))
        some = select(jobs.c.study_uid).where(*terms).distinct()
        answered = (jobs.c.kind == JobKind.INFER, jobs.c.state.in_(_ANSWERED), jobs.c.study_uid.in_(some))
        with self._database.read(latest=False) as connection:
            return [job_of(row) for row in connection.execute(select(jobs).where(*answered).order_by(jobs.c.job_id))]
