"""Points in time as the database keeps them: whole microseconds since 1970 in UTC, exact in both directions."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def to_micros(at: datetime) -> int:
    """Microseconds since 1970. Raises TypeError for a time without a zone."""
    return (at - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The time in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def maybe_from_micros(micros: int | None) -> datetime | None:
    """The time in UTC, or None."""
    return None if micros is None else from_micros(micros)


def seconds(value: float) -> int:
    """A span in seconds as microseconds."""
    return round(value * 1_000_000)
