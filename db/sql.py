"""Statements of the hot path: written once as SQL, compiled once for the driver, then run on the driver's own cursor.

Receiving runs nine small statements per image; SQLAlchemy's work around each of them would cost more than SQLite's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text


class Hot:
    """The driver's cursor of a SQLAlchemy connection, inside the same transaction."""

    def __init__(self, connection: Connection) -> None:
        self.dialect = connection.dialect
        self.cursor: Any = connection.connection.cursor()


class Sql:
    """A statement with named parameters (``:name``); values must be what the driver takes as it is (str, int, None)."""

    def __init__(self, words: str) -> None:
        self._text = text(words)
        self._compiled: dict[str, tuple[str, list[str] | None]] = {}

    def run(self, hot: Hot, values: Mapping[str, Any]) -> int:
        """Run it; returns how many rows it changed. Raises the driver's errors."""
        return int(self._execute(hot, values).rowcount)

    def rows(self, hot: Hot, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run it and take all rows. Raises the driver's errors."""
        found: list[tuple[Any, ...]] = self._execute(hot, values).fetchall()
        return found

    def run_each(self, hot: Hot, several: Sequence[Mapping[str, Any]]) -> None:
        """Run it once for each of several sets of values. Raises the driver's errors."""
        if several:
            words, names = self._compiled.get(hot.dialect.name) or self._compile(hot)
            each = several if names is None else [[values[name] for name in names] for values in several]
            hot.cursor.executemany(words, each)

    def _execute(self, hot: Hot, values: Mapping[str, Any]) -> Any:
        words, names = self._compiled.get(hot.dialect.name) or self._compile(hot)
        hot.cursor.execute(words, values if names is None else [values[name] for name in names])
        return hot.cursor

    def _compile(self, hot: Hot) -> tuple[str, list[str] | None]:
        compiled = self._text.compile(dialect=hot.dialect)
        names = getattr(compiled, "positiontup", None)
        found = (str(compiled), None if names is None else list(names))
        self._compiled[hot.dialect.name] = found
        return found
