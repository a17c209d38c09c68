"""What destinations take."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, String

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "acceptances",
        Column("destination", String, primary_key=True),
        Column("sop_class_uid", String, primary_key=True),
        Column("accepted", Integer, nullable=False),
        Column("at", BigInteger, nullable=False),
    )
