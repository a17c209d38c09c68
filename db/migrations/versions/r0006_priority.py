"""How urgent a job is: the urgent ones go first."""

from alembic import op
from sqlalchemy import Column, Integer

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column; what waits already is routine."""
    op.add_column("jobs", Column("priority", Integer, nullable=False, server_default="2"))
