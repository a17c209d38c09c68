"""Storage commitment asked of archives."""

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, String

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "requests",
        Column("transaction_uid", String, primary_key=True),
        Column("job_id", Integer, ForeignKey("jobs.job_id"), nullable=False),
        Column("at", BigInteger, nullable=False),
    )
    op.create_index("requests_job", "requests", ["job_id"])
