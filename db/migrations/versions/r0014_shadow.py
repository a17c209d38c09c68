"""Jobs whose answers are kept here and go nowhere."""

from alembic import op
from sqlalchemy import Column, Integer, text

revision = "0014"
down_revision = "0013"
SHADOW = "shadow = 1"  # few jobs are


def upgrade() -> None:
    """Add the column; whatever is there was meant to be sent."""
    op.add_column("jobs", Column("shadow", Integer, nullable=False, server_default="0"))
    few = {"sqlite_where": text(SHADOW), "postgresql_where": text(SHADOW)}
    op.create_index("jobs_shadow", "jobs", ["study_uid", "model_id", "state"], **few)  # type: ignore[arg-type]
