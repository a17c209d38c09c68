"""Fills ``{quantity:.1f}`` in the wording of a package: no expressions, no attributes, nothing but names and decimals."""

import re
from collections.abc import Iterable, Mapping

from domain.errors import PackageError
from inference.keys import suggestion

_PLACE = re.compile(r"\{([a-z0-9_]{1,48})(?::\.([0-3])f)?\}")


def check(words: str, known: Iterable[str], where: str) -> None:
    """Raises PackageError for unknown placeholders and stray braces."""
    names = set(known)
    for match in _PLACE.finditer(words):
        if match[1] not in names:
            raise PackageError(f"{where}: there is no {{{match[1]}}}{suggestion(match[1], names)}")
    if re.search(r"[{}]", _PLACE.sub("", words)):
        raise PackageError(f"{where}: braces must be {{quantity}} or {{quantity:.1f}}")


def fill(words: str, values: Mapping[str, float | str | None]) -> str:
    """The words with values in place; a number without decimals asked for is rounded, a value that is None shows as ``-``."""

    def place(match: re.Match[str]) -> str:
        value = values[match[1]]
        if value is None or isinstance(value, str):
            return value or "-"
        return f"{value:.{match[2] or 0}f}"

    return _PLACE.sub(place, words)
