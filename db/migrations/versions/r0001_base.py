"""Studies, what arrived, jobs and their results, and the audit log with the triggers that keep it append-only."""

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, String, Text, text

revision = "0001"
down_revision = None

_REFUSE = "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"


def upgrade() -> None:
    """Make the tables."""
    _receiving()
    _jobs()
    _results()
    _audit()


def _receiving() -> None:
    op.create_table(
        "studies",
        Column("study_uid", String, primary_key=True),
        Column("state", String, nullable=False),
        Column("revision", Integer, nullable=False),
        Column("quiet_at", BigInteger, nullable=False),
        Column("deadline", BigInteger, nullable=False),
        Column("first_at", BigInteger, nullable=False),
        Column("last_at", BigInteger, nullable=False),
    )
    op.create_index("studies_state", "studies", ["state"])
    op.create_index("studies_last_at", "studies", ["last_at"])
    op.create_table(
        "instances",
        Column("instance_id", Integer, primary_key=True),
        Column("study_uid", String, ForeignKey("studies.study_uid"), nullable=False),
        Column("revision", Integer, nullable=False),
        Column("series_uid", String, nullable=False),
        Column("sop_instance_uid", String, nullable=False),
        Column("sop_class_uid", String, nullable=False),
        Column("transfer_syntax_uid", String, nullable=False),
        Column("modality", String, nullable=False),
        Column("winner", Integer, nullable=False),
        Column("digest", String, nullable=False),
        Column("pack", String, nullable=False),
        Column("offset", BigInteger, nullable=False),
        Column("length", BigInteger, nullable=False),
        Column("calling_ae", String, nullable=False),
        Column("called_ae", String, nullable=False),
        Column("address", String, nullable=False),
        Column("association_id", String, nullable=False),
        Column("received_at", BigInteger, nullable=False),
    )
    op.create_index("instances_sop", "instances", ["sop_instance_uid"])
    op.create_index("instances_study", "instances", ["study_uid", "series_uid"])
    op.create_table(
        "associations",
        Column("association_id", String, primary_key=True),
        Column("calling_ae", String, nullable=False),
        Column("called_ae", String, nullable=False),
        Column("address", String, nullable=False),
        Column("opened_at", BigInteger, nullable=False),
        Column("closed_at", BigInteger),
        Column("how", String, nullable=False),
    )
    op.create_index("associations_closed_at", "associations", ["closed_at"])
    op.create_table(
        "strangers",
        Column("calling_ae", String, primary_key=True),
        Column("called_ae", String, primary_key=True),
        Column("address", String, primary_key=True),
        Column("count", Integer, nullable=False),
        Column("first_at", BigInteger, nullable=False),
        Column("last_at", BigInteger, nullable=False),
        Column("words", Text, nullable=False),
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        Column("job_id", Integer, primary_key=True),
        Column("kind", String, nullable=False),
        Column("state", String, nullable=False),
        Column("study_uid", String, ForeignKey("studies.study_uid"), nullable=False),
        Column("revision", Integer, nullable=False),
        Column("model_id", String, nullable=False),
        Column("package_digest", String, nullable=False),
        Column("series_uids", Text, nullable=False),
        Column("input_digest", String, nullable=False),
        Column("destinations", Text, nullable=False),
        Column("destination", String, nullable=False),
        Column("parent_id", Integer, ForeignKey("jobs.job_id")),
        Column("attempts", Integer, nullable=False),
        Column("token", Integer, nullable=False),
        Column("worker", String, nullable=False),
        Column("run_at", BigInteger, nullable=False),
        Column("lease_until", BigInteger),
        Column("created_at", BigInteger, nullable=False),
        Column("started_at", BigInteger),
        Column("finished_at", BigInteger),
        Column("reason", Text, nullable=False),
    )
    op.create_index("jobs_queue", "jobs", ["state", "kind", "run_at"])
    op.create_index("jobs_study", "jobs", ["study_uid"])
    op.create_index("jobs_parent", "jobs", ["parent_id"])


def _results() -> None:
    op.create_table(
        "artifacts",
        Column("artifact_id", Integer, primary_key=True),
        Column("job_id", Integer, ForeignKey("jobs.job_id"), nullable=False),
        Column("role", String, nullable=False),
        Column("path", String, nullable=False),
        Column("digest", String, nullable=False),
        Column("size", BigInteger, nullable=False),
        Column("sop_class_uid", String, nullable=False),
        Column("sop_instance_uid", String, nullable=False),
        Column("series_uid", String, nullable=False),
    )
    op.create_index("artifacts_job", "artifacts", ["job_id"])
    op.create_table(
        "sent",
        Column("sent_id", Integer, primary_key=True),
        Column("job_id", Integer, ForeignKey("jobs.job_id"), nullable=False),
        Column("attempt", Integer, nullable=False),
        Column("sop_instance_uid", String, nullable=False),
        Column("status", Integer, nullable=False),
        Column("comment", Text, nullable=False),
        Column("at", BigInteger, nullable=False),
    )
    op.create_index("sent_job", "sent", ["job_id"])


def _audit() -> None:
    op.create_table(
        "audit",
        Column("seq", Integer, primary_key=True),
        Column("at", BigInteger, nullable=False),
        Column("event", String, nullable=False),
        Column("study_uid", String, nullable=False),
        Column("job_id", Integer),
        Column("actor", String, nullable=False),
        Column("details", Text, nullable=False),
        Column("hash", String, nullable=False),
    )
    op.create_index("audit_study", "audit", ["study_uid"])
    op.create_index("audit_job", "audit", ["job_id"], sqlite_where=text("job_id IS NOT NULL"))
    op.create_table(
        "audit_head",
        Column("head_id", Integer, primary_key=True),
        Column("rows", Integer, nullable=False),
        Column("hash", String, nullable=False),
    )
    op.execute(f"INSERT INTO audit_head (head_id, rows, hash) VALUES (1, 0, '{'0' * 64}')")  # noqa: S608 - a constant
    op.execute(f"CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit {_REFUSE}")
    op.execute(f"CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit {_REFUSE}")
