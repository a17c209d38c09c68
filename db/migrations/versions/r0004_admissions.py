"""Callers that an administrator has let in, and what rejected ones wanted to send."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, String, Text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the table and the column."""
    op.create_table(
        "admissions",
        Column("ae_title", String, primary_key=True),
        Column("address", String, primary_key=True),
        Column("port", Integer, nullable=False),
        Column("actor", String, nullable=False),
        Column("at", BigInteger, nullable=False),
    )
    op.add_column("strangers", Column("proposed", Text, nullable=False, server_default="[]"))
