"""What others say belongs to a study, how long each device pauses, and what was missing when a job was queued."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, String, Text

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the tables and the column."""
    op.create_table(
        "statements",
        Column("statement_id", Integer, primary_key=True),
        Column("source", String, nullable=False),
        Column("subject", String, nullable=False),
        Column("study_uid", String, nullable=False),
        Column("calling_ae", String, nullable=False),
        Column("address", String, nullable=False),
        Column("final", Integer, nullable=False),
        Column("at", BigInteger, nullable=False),
    )
    op.create_index("statements_subject", "statements", ["source", "subject", "study_uid"], unique=True)
    op.create_index("statements_study", "statements", ["study_uid"])
    op.create_index("statements_at", "statements", ["at"])
    op.create_table(
        "members",
        Column("statement_id", Integer, primary_key=True),
        Column("sop_instance_uid", String, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "habits",
        Column("calling_ae", String, primary_key=True),
        Column("studies", Integer, nullable=False),
        Column("pauses", Text, nullable=False),
        Column("hasty", Integer, nullable=False),
    )
    op.add_column("jobs", Column("missing", Text, nullable=False, server_default="[]"))
