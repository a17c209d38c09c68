"""Which studies are of one patient, by a keyed digest."""

from alembic import op
from sqlalchemy import Column, Index, String

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "patients",
        Column("study_uid", String, primary_key=True),
        Column("mark", String, nullable=False),
        Column("study_date", String, nullable=False),
        Index("patients_mark", "mark", "study_date"),
    )
