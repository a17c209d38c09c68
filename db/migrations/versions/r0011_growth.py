"""What is asked again and again is answered in the same time however large the archive is."""

from alembic import op
from sqlalchemy import Column, Integer, text

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Ends of all packs, not only of those with duplicates; indexes; statements that need not be looked at again."""
    op.execute(
        'INSERT INTO pack_ends (pack, "end") SELECT pack, max("offset" + length) FROM instances WHERE true GROUP BY pack'
        ' ON CONFLICT (pack) DO UPDATE SET "end" = excluded."end" WHERE excluded."end" > pack_ends."end"'
    )
    op.drop_index("studies_last_at", "studies")
    op.create_index("studies_last_at", "studies", ["last_at", "study_uid"])
    op.drop_index("jobs_queue", "jobs")
    op.create_index("jobs_queue", "jobs", ["state", "kind", "run_at", "destination"])
    op.create_index("jobs_state", "jobs", ["state"])
    op.create_index("sent_instance", "sent", ["sop_instance_uid"])
    op.create_index("audit_event", "audit", ["event"], sqlite_where=text("event <> 'stored'"))
    op.add_column("statements", Column("kept", Integer, nullable=False, server_default="0"))
    op.drop_index("statements_at", "statements")
    op.create_index("statements_fresh", "statements", ["at"], sqlite_where=text("kept = 0"))
