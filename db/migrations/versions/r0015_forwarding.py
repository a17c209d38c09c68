"""How far the audit log was sent to a repository."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, Text

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "audit_forwarding",
        Column("forwarding_id", Integer, primary_key=True),
        Column("seq", BigInteger, nullable=False),
        Column("offered", BigInteger, nullable=False),
        Column("at", BigInteger),
        Column("words", Text, nullable=False),
        Column("since", BigInteger),
    )
