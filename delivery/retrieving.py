"""Studies of a DICOMweb archive: which there are (QIDO-RS, PS3.18 10.6), and all of one as it arrives (WADO-RS, PS3.18 10.4)."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote, urlencode

from pydicom.datadict import tag_for_keyword

from delivery.web import Arriving, exchange, fetched, status_words
from domain.destinations import Destination
from domain.errors import PermanentError, TransientError

PAGE: Final = 200  # answers asked for at once
MOST: Final = 1_000_000  # answers to one question
_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"
_DICOM: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'  # as they are stored
_LATER: Final = frozenset({401, 403, 408, 425, 429})


def studies(destination: Destination, query: Sequence[tuple[str, str]] = ()) -> Iterator[str]:
    """Study Instance UIDs; ``query`` are keywords and values to match. Raises TransientError, PermanentError."""
    for item in _all(destination, "/studies", [(_tag(keyword), value) for keyword, value in query]):
        yield _uid(destination, item, _STUDY)


def instances(destination: Destination, study_uid: str) -> Iterator[str]:
    """SOP Instance UIDs of a study. Raises TransientError, PermanentError."""
    for item in _all(destination, f"/studies/{quote(study_uid, safe='')}/instances", []):
        yield _uid(destination, item, _INSTANCE)


@contextmanager
def study(destination: Destination, study_uid: str) -> Iterator[Arriving]:
    """All instances of a study as PS3.10 files, parts of one multipart body. Raises TransientError, PermanentError."""
    with fetched(destination, f"/studies/{quote(study_uid, safe='')}", _DICOM) as arriving:
        if arriving.status not in (200, 206):
            raise _refusal(destination, arriving.status)
        yield arriving


def _all(destination: Destination, path: str, matching: Sequence[tuple[str, str]]) -> Iterator[Any]:
    """Answers page by page. A service that knows no pages sends the same again and again: nothing new ends it."""
    seen: set[str] = set()
    offset = 0
    while offset < MOST:
        page = _page(destination, f"{path}?{urlencode([*matching, ('limit', str(PAGE)), ('offset', str(offset))])}")
        new = [item for item in page if _name(item) not in seen]
        if not new:
            return
        yield from new
        seen.update(_name(item) for item in new)
        offset += len(page)
    raise TransientError(f"{destination.name} answers a query without end")


def _name(item: Any) -> str:
    """What tells answers apart."""
    return (
        "/".join(str(item.get(tag, {}).get("Value", [""])[:1]) for tag in (_STUDY, _INSTANCE)) if isinstance(item, dict) else ""
    )


def _page(destination: Destination, path: str) -> list[Any]:
    answer = exchange(destination, "GET", path)
    if answer.status == 204:
        return []
    if answer.status != 200:
        raise _refusal(destination, answer.status)
    try:
        found = json.loads(answer.body or b"[]")
    except (ValueError, RecursionError):
        raise TransientError(f"{destination.name} sent an answer that cannot be read") from None
    if not isinstance(found, list):
        raise TransientError(f"{destination.name} sent an answer that is no list")
    return found


def _uid(destination: Destination, item: Any, tag: str) -> str:
    try:
        uid = str(item[tag]["Value"][0]).strip(" \0")
    except (KeyError, IndexError, TypeError):
        uid = ""
    if not uid or len(uid) > 64 or set(uid) - set("0123456789."):
        raise TransientError(f"{destination.name} lists something without a usable UID")
    return uid


def _tag(keyword: str) -> str:
    """Tags are understood by more services than keywords."""
    tag = tag_for_keyword(keyword)
    return keyword if tag is None else f"{tag:08X}"


def _refusal(destination: Destination, status: int) -> TransientError | PermanentError:
    words = f"{destination.name} answered {status_words(status)}"
    return TransientError(words) if status in _LATER or status >= 500 else PermanentError(words)
