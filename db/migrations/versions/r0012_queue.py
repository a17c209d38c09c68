"""The next job is the first entry of an index, however many wait."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """In the order in which jobs are claimed."""
    op.drop_index("jobs_queue", "jobs")
    op.create_index("jobs_queue", "jobs", ["state", "kind", "priority", "run_at", "destination"])
