"""Which studies are of one patient, without saying who that is: a keyed digest made by the node, and the date of the study."""

from sqlalchemy import and_, exists, insert, select, update

from db.database import Database
from db.rows import artifact_of
from db.schema import artifacts, jobs, patients
from domain.jobs import Artifact, JobKind, Outcome
from domain.moves import JobState


class Patients:
    """The part of the store that finds the earlier results of a patient."""

    _database: Database

    def recognise(self, study_uid: str, mark: str, study_date: str) -> None:
        """Remember whose study this is. ``mark`` is a keyed digest, ``study_date`` YYYYMMDD or empty; the last word counts."""
        values = {"mark": mark, "study_date": study_date}
        with self._database.write() as tx:
            known = tx.connection.execute(update(patients).where(patients.c.study_uid == study_uid).values(values)).rowcount
            if not known:
                tx.connection.execute(insert(patients), {"study_uid": study_uid, **values})

    def earlier(self, study_uid: str, model_id: str) -> tuple[str, list[Artifact]]:
        """Study Instance UID and artifacts of the newest answer of this model to an earlier study of the same patient;
        an empty UID when there is none. Earlier is by study date; studies without a date do not count."""
        mine = patients.alias()
        same = and_(
            mine.c.study_uid == study_uid,
            patients.c.mark == mine.c.mark,
            patients.c.study_uid != study_uid,
            patients.c.study_date != "",
            patients.c.study_date < mine.c.study_date,
        )
        answered = and_(
            jobs.c.study_uid == patients.c.study_uid,
            jobs.c.model_id == model_id,
            jobs.c.kind == JobKind.INFER,
            jobs.c.shadow == 0,  # nobody else has ever seen the others
            jobs.c.state == JobState.DONE,
            jobs.c.outcome.in_((Outcome.POSITIVE, Outcome.NEGATIVE)),
            exists().where(artifacts.c.job_id == jobs.c.job_id),
        )
        newest = (patients.c.study_date.desc(), jobs.c.revision.desc(), jobs.c.job_id.desc())
        query = select(jobs.c.job_id, jobs.c.study_uid).select_from(jobs, patients, mine).where(same, answered).order_by(*newest)
        with self._database.read() as connection:
            found = connection.execute(query.limit(1)).one_or_none()
            if found is None:
                return "", []
            rows = connection.execute(
                select(artifacts).where(artifacts.c.job_id == found.job_id).order_by(artifacts.c.artifact_id)
            )
            return str(found.study_uid), [artifact_of(row) for row in rows]
