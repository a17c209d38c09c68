"""Statements of the hot path: written once as SQL, compiled once for the driver, then run without SQLAlchemy's per-call work."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text


class Sql:
    """A statement with named parameters (``:name``); values must be what the driver takes as it is (str, int, None)."""

    def __init__(self, words: str) -> None:
        self._text = text(words)
        self._compiled: dict[str, tuple[str, list[str] | None]] = {}

    def __call__(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        """Run it; returns the cursor result. Raises what SQLAlchemy raises."""
        words, names = self._compiled.get(connection.dialect.name) or self._compile(connection)
        if names is None:
            return connection.exec_driver_sql(words, dict(values))
        return connection.exec_driver_sql(words, tuple(values[name] for name in names))

    def _compile(self, connection: Connection) -> tuple[str, list[str] | None]:
        compiled = self._text.compile(dialect=connection.dialect)
        names = getattr(compiled, "positiontup", None)
        found = (str(compiled), list(names) if names is not None else None)
        self._compiled[connection.dialect.name] = found
        return found
