"""Files of purged studies that are still to be deleted."""

from alembic import op
from sqlalchemy import Column, String

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "leftovers",
        Column("kind", String, primary_key=True),
        Column("path", String, primary_key=True),
        Column("study_uid", String, nullable=False),
    )
