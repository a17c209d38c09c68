"""Records in packs carry a seal instead of a digest: versions before this one would take them for torn."""

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Nothing in the database changes; that it was opened by this version is what counts."""
