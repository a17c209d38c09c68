"""How long to wait before trying again: doubling, capped, and spread so that jobs do not come back all at once."""

import hashlib
from datetime import timedelta


def pause(job_id: int, attempt: int, first_seconds: float, cap_seconds: float) -> timedelta:
    """The pause after attempt number ``attempt`` (from 1). The spread (75-125 %) comes from job and attempt, so that a test
    and a restarted node compute the same."""
    digest = hashlib.sha256(f"{job_id}/{attempt}".encode()).digest()
    spread = 0.75 + 0.5 * int.from_bytes(digest[:4], "big") / 2**32
    doubled = first_seconds * 2.0 ** min(attempt - 1, 40)
    return timedelta(seconds=min(cap_seconds, doubled * spread))
