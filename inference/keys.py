"""Reads the tables of a package strictly: every key is typed, and an unknown key is an error that names the near one."""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from domain.errors import PackageError
from domain.results import Code

_MISSING: Any = object()


def suggestion(word: str, known: Iterable[str]) -> str:
    """``" (did you mean ...?)"``, or nothing when no known word is near."""
    near = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


class Table:
    """One table of ``package.toml``, ``segments.json`` or ``report.json``. Ask for every key, then call ``done``."""

    def __init__(self, data: object, where: str) -> None:
        if not isinstance(data, Mapping) or not all(isinstance(key, str) for key in data):
            raise PackageError(f"{where} must be a table of keys and values")
        self._data: Mapping[str, Any] = data
        self._asked: set[str] = set()
        self._known: set[str] = set()  # optional keys that were looked for
        self.where = where

    def __contains__(self, key: str) -> bool:
        self._known.add(key)
        return key in self._data

    def names(self) -> tuple[str, ...]:
        """The keys that are there, for tables whose keys are free names."""
        return tuple(self._data)

    def take(self, key: str, default: Any = _MISSING) -> Any:
        """The raw value of a key."""
        self._asked.add(key)
        value = self._data.get(key, default)
        if value is _MISSING:
            raise PackageError(f"{self.where}: {key!r} is missing")
        return value

    def wrong(self, key: str, expected: str) -> PackageError:
        """An error about the value of a key."""
        return PackageError(f"{self.where}: {key!r} must be {expected}")

    def done(self) -> None:
        """Raises for keys nobody asked for."""
        for key in sorted(set(self._data) - self._asked):
            raise PackageError(f"{self.where}: unknown key {key!r}{suggestion(key, self._asked | (self._known - {key}))}")

    def text(self, key: str, most: int = 1024, default: Any = _MISSING) -> str:
        """A string of 1 to ``most`` characters on one line (or the default)."""
        value = self.take(key, default)
        if value is default:
            return str(value)
        if not isinstance(value, str) or not value.strip() or len(value) > most or not value.isprintable():
            raise self.wrong(key, f"a text of 1 to {most} characters on one line")
        return value

    def choice(self, key: str, options: Iterable[str], default: Any = _MISSING) -> str:
        """One of a closed list of words."""
        value, known = self.take(key, default), tuple(options)
        if value not in known:
            near = suggestion(value, known) if isinstance(value, str) else ""
            raise self.wrong(key, f"one of {', '.join(known)}{near}")
        return str(value)

    def number(self, key: str, low: float = -math.inf, high: float = math.inf, default: Any = _MISSING) -> float:
        """A finite number between two limits, both included."""
        value = self.take(key, default)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not (low <= value <= high)
            or not math.isfinite(value)
        ):
            raise self.wrong(key, f"a number from {low:g} to {high:g}")
        return float(value)

    def integer(self, key: str, low: int, high: int, default: Any = _MISSING) -> int:
        """A whole number between two limits, both included."""
        value = self.take(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.wrong(key, f"a whole number from {low} to {high}")
        return value

    def flag(self, key: str, default: Any = _MISSING) -> bool:
        """True or false."""
        value = self.take(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def numbers(self, key: str, least: int, most: int, low: float = -math.inf, high: float = math.inf) -> tuple[float, ...]:
        """A list of ``least`` to ``most`` numbers."""
        values = self._sequence(key, least, most)
        items = Table({str(i): value for i, value in enumerate(values)}, f"{self.where}: {key}")
        return tuple(items.number(str(i), low, high) for i in range(len(values)))

    def integers(self, key: str, least: int, most: int, low: int, high: int) -> tuple[int, ...]:
        """A list of ``least`` to ``most`` whole numbers."""
        values = self._sequence(key, least, most)
        items = Table({str(i): value for i, value in enumerate(values)}, f"{self.where}: {key}")
        return tuple(items.integer(str(i), low, high) for i in range(len(values)))

    def named_numbers(self, key: str, most: int, names: Sequence[str], low: float, high: float) -> tuple[tuple[str, float], ...]:
        """A list of 1 to ``most`` pairs of one of the names and a number."""
        found = []
        for number, value in enumerate(self._sequence(key, 1, most)):
            if not isinstance(value, list) or len(value) != 2:
                raise self.wrong(key, f"a list of pairs of a channel of 'input' and an offset, as in [[\"{names[0]}\", 0]]")
            pair = Table({"channel": value[0], "offset": value[1]}, f"{self.where}: {key}[{number}]")
            found.append((pair.choice("channel", names), pair.number("offset", low, high)))
        return tuple(found)

    def texts(self, key: str, most: int, length: int) -> tuple[str, ...]:
        """A list of 1 to ``most`` different texts of at most ``length`` characters."""
        values = self._sequence(key, 1, most)
        items = Table({str(i): value for i, value in enumerate(values)}, f"{self.where}: {key}")
        found = tuple(items.text(str(i), length) for i in range(len(values)))
        if len(set(found)) != len(found):
            raise self.wrong(key, "a list without repetitions")
        return found

    def _sequence(self, key: str, least: int, most: int) -> list[Any]:
        values = self.take(key)
        if not isinstance(values, list) or not least <= len(values) <= most:
            raise self.wrong(key, f"a list of {least} to {most} values")
        return values

    def table(self, key: str) -> "Table":
        """A table inside this one."""
        return Table(self.take(key), f"{self.where}: {key}")

    def tables(self, key: str, most: int = 64, optional: bool = False) -> list["Table"]:
        """A list of tables; an optional one may be absent."""
        values = self.take(key, [] if optional else _MISSING)
        if not isinstance(values, list) or len(values) > most:
            raise self.wrong(key, f"a list of at most {most} tables")
        return [Table(value, f"{self.where}: {key}[{i}]") for i, value in enumerate(values)]

    def code(self, key: str, optional: bool = False, names: tuple[str, str, str] = ("value", "scheme", "meaning")) -> Code | None:
        """A coded concept (lengths as in PS3.3 section 8: SH, SH, LO)."""
        if optional and key not in self:
            self._asked.add(key)
            return None
        table = self.table(key)
        code = Code(table.text(names[0], 16), table.text(names[1], 16), table.text(names[2], 64))
        table.done()
        return code

    def required_code(self, key: str) -> Code:
        """A coded concept that must be there."""
        code = self.code(key)
        assert code is not None
        return code


def known_segments(table: Table, key: str, known: Iterable[int]) -> tuple[int, ...]:
    """A list of segment numbers that ``segments.json`` describes."""
    numbers, there = table.integers(key, 1, 255, 1, 255), set(known)
    for number in numbers:
        if number not in there:
            raise table.wrong(key, f"a list of segments that segments.json has; {number} is not there")
    if len(set(numbers)) != len(numbers):
        raise table.wrong(key, "a list without repetitions")
    return numbers
