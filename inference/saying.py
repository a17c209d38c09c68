"""What ``report.json`` says in the same way whatever a package looks at: names, conditions, wording, measurements."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from domain.errors import PackageError
from domain.results import Code
from inference import wording
from inference.keys import Table, suggestion

WHEN: Final = ("always", "positive", "negative")
LONGEST: Final = 300  # characters of wording


class Measured(Protocol):
    """A quantity, as far as saying it goes."""

    @property
    def name(self) -> str:
        """Its key."""

    @property
    def concept(self) -> Code | None:
        """Its standard name."""


Q = TypeVar("Q", bound=Measured)


@dataclass(frozen=True, slots=True)
class Condition:
    """A quantity must be at least this much (a quantity without value is not). ``words``: what to say when it is not."""

    quantity: str
    at_least: float
    words: str = ""

    def holds(self, values: Mapping[str, float | None]) -> bool:
        """Whether it holds for these values."""
        value = values[self.quantity]
        return value is not None and value >= self.at_least


@dataclass(frozen=True, slots=True)
class Said(Generic[Q]):
    """A quantity to be reported as a measurement."""

    quantity: Q
    name: Code
    method: Code | None


def read_quantities(table: Table, read: Callable[[str, Table], Q], reserved: Sequence[str], found: dict[str, Q]) -> dict[str, Q]:
    """``quantities``, put into ``found``; ``reserved`` names mean something else in wordings; raises PackageError."""
    for name in table.names():
        if not re.fullmatch(r"[a-z0-9_]{1,48}", name) or name in reserved:
            others = " or ".join(map(repr, reserved))
            raise PackageError(f"{table.where}: {name!r} must be made of a-z, 0-9 and _ (and not be {others})")
        found[name] = read(name, table.table(name))
    return found


def known(table: Table, quantities: Mapping[str, Q], key: str = "quantity") -> str:
    """The name of a quantity that is there; raises PackageError with the one probably meant."""
    name = table.text(key)
    if name not in quantities:
        raise PackageError(f"{table.where}: there is no quantity {name!r}{suggestion(name, quantities)}")
    return name


def read_condition(table: Table, quantities: Mapping[str, Q], explained: bool = False) -> Condition:
    """One of ``positive`` or, ``explained`` by words, of ``require``; raises PackageError."""
    condition = Condition(known(table, quantities), table.number("at_least"), table.text("words", LONGEST) if explained else "")
    table.done()
    return condition


def read_words(table: Table, key: str, names: Iterable[str], default: str = "") -> str:
    """Wording with ``{names}`` in it; raises PackageError."""
    words = table.text(key, LONGEST, default) if default else table.text(key, LONGEST)
    wording.check(words, names, f"{table.where}: {key}")
    return words


def read_name(table: Table) -> str:
    """The name of a finding or statement; raises PackageError."""
    name = table.text("name", 48)
    if not re.fullmatch(r"[a-z0-9-]+", name):
        raise table.wrong("name", "made of a-z, 0-9 and -")
    return name


def read_said(table: Table, quantities: Mapping[str, Q]) -> Said[Q]:
    """One of ``measurements`` about a quantity; raises PackageError."""
    said = quantities[known(table, quantities)]
    name, method = table.code("name", optional=True) or said.concept, table.code("method", optional=True)
    table.done()
    if name is None:
        raise PackageError(f"{table.where}: {said.name!r} has no standard name: give 'name', a code")
    return Said(said, name, method)
