"""Why a study was judged complete, how far packs without rows were read, and what each infer job answered."""

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, String, Text

revision = "0002"
down_revision = "0001"

# A study that is still receiving must go on waiting for the associations that are open, so their evidence is made
# from the instances; that of older revisions tells why they were complete.
_BACKFILL = """
INSERT INTO evidence (study_uid, revision, kind, subject, details, at)
SELECT i.study_uid, i.revision, 'association', i.association_id,
       '{"how":"' || COALESCE(NULLIF(MAX(a.how), ''), 'open') || '"}', MAX(i.received_at)
FROM instances i LEFT JOIN associations a ON a.association_id = i.association_id
GROUP BY i.study_uid, i.revision, i.association_id
"""


def upgrade() -> None:
    """Add the tables and columns, and fill the evidence."""
    op.create_table(
        "evidence",
        Column("study_uid", String, ForeignKey("studies.study_uid"), primary_key=True),
        Column("revision", Integer, primary_key=True),
        Column("kind", String, primary_key=True),
        Column("subject", String, primary_key=True),
        Column("details", Text, nullable=False),
        Column("at", BigInteger, nullable=False),
    )
    op.create_index("evidence_subject", "evidence", ["kind", "subject"])
    op.create_table(
        "pack_ends",
        Column("pack", String, primary_key=True),
        Column("end", BigInteger, nullable=False),
    )
    op.add_column("jobs", Column("outcome", String))
    op.add_column("jobs", Column("summary", Text, nullable=False, server_default=""))
    op.add_column("jobs", Column("timings", Text, nullable=False, server_default="{}"))
    op.execute(_BACKFILL)
