"""Records in packs carry a seal instead of a digest: versions before this one would take them for torn."""

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Nothing in the database changes; that it was opened by this version is what counts."""
