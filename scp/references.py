"""What a statement about instances says, read from a data set that a stranger may have made up."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from domain.errors import PermanentError
from domain.evidence import Member
from scp.header import usable_uid
from scp.reactor import MALFORMED

MOST_MEMBERS: Final = 100_000  # instances one statement may list; a real one lists thousands
_BROKEN: Final = (*MALFORMED, OSError, OverflowError)  # what pydicom may raise when it converts a broken value on first access


class TooManyError(PermanentError):
    """A statement that lists more instances than anybody makes."""


def text(attributes: Dataset, keyword: str) -> str:
    """One value as text; "" when it is absent, empty, several or cannot be read."""
    value = _value(attributes, keyword)
    return "" if value is None or isinstance(value, MultiValue | list | Dataset | Sequence) else str(value).strip(" \0")


def uid(attributes: Dataset, keyword: str) -> str:
    """One UID, or "" when it is none."""
    return usable_uid(text(attributes, keyword))


def items(attributes: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; none when it is absent or no sequence."""
    value = _value(attributes, keyword)
    try:
        return [item for item in value if isinstance(item, Dataset)] if value is not None else []
    except _BROKEN:
        return []


def references(sequence: Iterable[Dataset], series_uid: str = "") -> Iterator[Member]:
    """SOP Instance Reference Macro (PS3.3 table 10-11); items that name no instance are left out: nobody could ever send them."""
    for item in sequence:
        if instance := uid(item, "ReferencedSOPInstanceUID"):
            yield Member(uid(item, "ReferencedSOPClassUID"), instance, series_uid)


def distinct(found: Iterable[Member]) -> tuple[Member, ...]:
    """Each instance once, in order. Raises TooManyError."""
    members: dict[str, Member] = {}
    for member in found:
        members.setdefault(member.sop_instance_uid, member)
        if len(members) > MOST_MEMBERS:
            raise TooManyError(f"more than {MOST_MEMBERS} instances are listed")
    return tuple(members.values())


def _value(attributes: Dataset, keyword: str) -> Any:
    try:
        return attributes.get(keyword)
    except _BROKEN:
        return None
