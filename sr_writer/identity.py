"""UIDs that are the same whenever the same thing is said again: every one is derived, none is drawn at random."""

import hashlib
import uuid


def uid(study_uid: str, revision: int, input_digest: str, package_digest: str, role: str) -> str:
    """The UID of one object of one result: equal input gives an equal UID, anywhere and at any time.

    ``role`` tells the objects of a result apart; a suffix ("sr/series") names what belongs to the object.
    """
    return _derived("result", study_uid, str(revision), input_digest, package_digest, role)


def tracking_uid(study_uid: str, tracking_id: str) -> str:
    """The Tracking Unique Identifier (PS3.16 TID 4108) of a finding; it stays over revisions, inputs and package versions."""
    return _derived("tracking", study_uid, tracking_id)


def _derived(*parts: str) -> str:
    """A UUID-derived UID (PS3.5 B.2) from a SHA-256 over length-prefixed parts, so that no two lists of parts collide."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return f"2.25.{uuid.UUID(bytes=digest.digest()[:16], version=5).int}"
