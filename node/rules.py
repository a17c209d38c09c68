"""Which series a model wants: clauses over DICOM keywords of one header per series, all of which must hold."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydicom.datadict import keyword_dict
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from domain.errors import ConfigurationError
from node.broken import BROKEN
from node.config_check import near

KEYWORDS: Final = frozenset(keyword_dict)
OPERATORS: Final = ("min", "max", "contains", "excludes", "matches")


@dataclass(frozen=True, slots=True)
class Clause:
    """What one attribute must be. Texts are lower case and stripped; an empty field asks for nothing."""

    keyword: str
    equals: tuple[str | float, ...] = ()  # any of
    low: float | None = None
    high: float | None = None
    contains: tuple[str, ...] = ()  # any of, in any value
    excludes: tuple[str, ...] = ()  # none of, in any value
    matches: re.Pattern[str] | None = None

    @property
    def positive(self) -> bool:
        """Asks for something to be there, so a missing attribute fails it."""
        return bool(self.equals or self.contains or self.matches or self.low is not None or self.high is not None)


@dataclass(frozen=True, slots=True)
class Rule:
    """All clauses must hold; no clause at all wants everything."""

    clauses: tuple[Clause, ...] = ()

    def unmet(self, header: Dataset) -> str:
        """The keyword of the first clause that does not hold, or ""."""
        return next((clause.keyword for clause in self.clauses if not holds(clause, header)), "")

    def wants(self, header: Dataset) -> bool:
        """Does every clause hold for this header?"""
        return not self.unmet(header)


def holds(clause: Clause, header: Dataset) -> bool:
    """One clause against one header. A value that cannot be read counts as missing."""
    values = _values(header, clause.keyword)
    if not values:
        return not clause.positive
    texts = [value.lower() for value in values]
    return (
        _equals(clause, texts)
        and _within(clause, texts)
        and (not clause.contains or any(word in text for word in clause.contains for text in texts))
        and not any(word in text for word in clause.excludes for text in texts)
        and (clause.matches is None or any(clause.matches.search(value) for value in values))
    )


def _values(header: Dataset, keyword: str) -> list[str]:
    try:
        value = header.get(keyword)
        several = value if isinstance(value, MultiValue | list | tuple) else [value]
        return [text for item in several if item is not None and (text := str(item).strip())]
    except BROKEN:
        return []


def _equals(clause: Clause, texts: list[str]) -> bool:
    if not clause.equals:
        return True
    return any(
        text == wanted if isinstance(wanted, str) else _number(text) == wanted for wanted in clause.equals for text in texts
    )


def _within(clause: Clause, texts: list[str]) -> bool:
    if clause.low is None and clause.high is None:
        return True
    numbers = [_number(text) for text in texts]
    return all(
        number is not None and (clause.low is None or number >= clause.low) and (clause.high is None or number <= clause.high)
        for number in numbers
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def parse_rule(table: Mapping[str, Any], path: str) -> Rule:
    """The rule a ``[model.when]`` table means. ``path`` names it in errors. Raises ConfigurationError."""
    return Rule(tuple(_clause(keyword, value, f"{path}.{keyword}") for keyword, value in table.items()))


def _clause(keyword: str, value: Any, path: str) -> Clause:
    if keyword not in KEYWORDS:
        raise ConfigurationError(f"{path} is not a DICOM keyword{near(keyword, KEYWORDS)}")
    if isinstance(value, dict):
        return _operators(keyword, value, path)
    return Clause(keyword, equals=_wanted(value, path))


def _operators(keyword: str, table: dict[str, Any], path: str) -> Clause:
    if not table:
        raise ConfigurationError(f"{path} is empty; use one of: {', '.join(OPERATORS)}")
    for name in table:
        if name not in OPERATORS:
            raise ConfigurationError(f"{path}.{name} is not one of: {', '.join(OPERATORS)}{near(name, OPERATORS)}")
    return Clause(
        keyword,
        low=_limit(table.get("min"), f"{path}.min"),
        high=_limit(table.get("max"), f"{path}.max"),
        contains=_texts(table.get("contains", []), f"{path}.contains"),
        excludes=_texts(table.get("excludes", []), f"{path}.excludes"),
        matches=_pattern(table.get("matches"), f"{path}.matches"),
    )


def _wanted(value: Any, path: str) -> tuple[str | float, ...]:
    values = value if isinstance(value, list) else [value]
    if not values or any(isinstance(item, bool) or not isinstance(item, str | int | float) for item in values):
        raise ConfigurationError(f"{path} must be a text, a number, a list of them, or a table of: {', '.join(OPERATORS)}")
    return tuple(item.strip().lower() if isinstance(item, str) else float(item) for item in values)


def _texts(value: Any, path: str) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if any(not isinstance(item, str) or not item.strip() for item in values):
        raise ConfigurationError(f"{path} must be a text or a list of texts")
    return tuple(item.strip().lower() for item in values)


def _limit(value: Any, path: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigurationError(f"{path} must be a number")
    return float(value)


def _pattern(value: Any, path: str) -> re.Pattern[str] | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ConfigurationError(f"{path} must be a regular expression in a text")
    try:
        return re.compile(value, re.IGNORECASE)
    except re.error as error:
        raise ConfigurationError(f"{path} is not a regular expression: {error}") from None
