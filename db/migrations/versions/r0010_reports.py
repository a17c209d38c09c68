"""Reports of storage commitment that are owed."""

from alembic import op
from sqlalchemy import BigInteger, Column, String, Text

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "reports",
        Column("calling_ae", String, primary_key=True),
        Column("called_ae", String, primary_key=True),
        Column("address", String, primary_key=True),
        Column("transaction_uid", String, primary_key=True),
        Column("durable", Text, nullable=False),
        Column("missing", Text, nullable=False),
        Column("at", BigInteger, nullable=False),
    )
