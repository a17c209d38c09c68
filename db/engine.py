"""Opens the database: settings of the driver, one process at a time through the migrations, then a ``Store``.

SQLite needs a local disk. The write-ahead log lets readers work beside the writer; writers begin with the write lock
(BEGIN IMMEDIATE), because a transaction that reads first and writes later can fail in the middle.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError

from db.database import WRITER, Database
from db.migrate import migrate
from db.store import Store
from domain.errors import ConfigurationError

_BUSY_MS: Final = 30_000  # how long to wait for another process that writes
_SYNCHRONOUS: Final = frozenset({"FULL", "NORMAL"})


def open_store(url: str | Path, clock: Callable[[], datetime], synchronous: str = "NORMAL") -> Store:
    """Open the database, made and migrated as needed. ``url`` is a path or "sqlite:////absolute/path/ancilla.db".

    ``synchronous`` is for rows about receiving: "NORMAL" trusts the packs as their journal, "FULL" waits for the disk
    each time. Everything else always waits. Raises ConfigurationError.
    """
    if synchronous not in _SYNCHRONOUS:
        raise ConfigurationError(f"synchronous: must be one of {sorted(_SYNCHRONOUS)}")
    path = _path(url)
    try:
        engine = open_engine(path)
    except (OSError, DatabaseError) as error:
        raise ConfigurationError(f"database: {path.name} cannot be opened: {getattr(error, 'orig', error)}") from error
    return Store(Database(engine, clock, synchronous))


def open_engine(path: Path, revision: str = "head") -> Engine:
    """The engine of a migrated database. Raises ConfigurationError, OSError, DatabaseError."""
    with _alone(path.parent):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # its log files take over the mode
        engine = create_engine(
            URL.create("sqlite", database=str(path)),
            connect_args={"check_same_thread": False, "timeout": _BUSY_MS / 1000, "cached_statements": 256},
            hide_parameters=True,
            pool_size=8,
            max_overflow=-1,
        )
        event.listen(engine, "connect", _connected)
        event.listen(engine, "begin", _begun)
        try:
            with engine.connect() as connection, connection.execution_options(**{WRITER: True}).begin():
                migrate(connection, revision)
        except BaseException:
            engine.dispose()
            raise
    return engine


def _path(url: str | Path) -> Path:
    if isinstance(url, Path):
        return url.absolute()
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError("database: must be empty or a URL like sqlite:////absolute/path/ancilla.db") from error
    if parsed.get_backend_name() != "sqlite" or not parsed.database or not Path(parsed.database).is_absolute():
        raise ConfigurationError("database: only SQLite is supported, with an absolute path: sqlite:////absolute/path/ancilla.db")
    return Path(parsed.database)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One opener at a time, over threads and processes: switching a new file to the write-ahead log does not wait."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _connected(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in (
        f"busy_timeout = {_BUSY_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "temp_store = MEMORY",
        "cache_size = -16384",  # 16 MiB
        "wal_autocheckpoint = 8192",  # pages; each checkpoint syncs twice, so not after every hundred images
        "journal_size_limit = 67108864",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begun(connection: Connection) -> None:
    writer = connection.get_execution_options().get(WRITER)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")
