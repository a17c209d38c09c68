"""Which files belong to which study, kept on disk while an archive is worked through: memory does not grow with its size."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

_COMMIT = 10_000  # rows in one transaction


@dataclass(frozen=True, slots=True)
class Entry:
    """One image: a file, or a ``member`` (its position) of the .zip file at ``path``. -1: it is the file itself."""

    path: str
    member: int = -1


class Catalogue:
    """A table in a file without a name (SQLite makes it): paths may name patients, so nothing may be left of it."""

    def __init__(self) -> None:
        self._rows = 0
        self._database = sqlite3.connect("")
        self._database.execute(
            "CREATE TABLE images (study TEXT, sop TEXT, path TEXT, member INTEGER, PRIMARY KEY (study, sop)) WITHOUT ROWID"
        )

    def add(self, study_uid: str, sop_instance_uid: str, entry: Entry) -> None:
        """The first copy of an instance counts."""
        values = (study_uid, sop_instance_uid, entry.path, entry.member)
        self._database.execute("INSERT OR IGNORE INTO images VALUES (?, ?, ?, ?)", values)
        self._rows += 1
        if self._rows % _COMMIT == 0:
            self._database.commit()

    def studies(self) -> list[str]:
        """Study Instance UIDs in their order as text: the same on every call."""
        return [row[0] for row in self._database.execute("SELECT DISTINCT study FROM images ORDER BY study")]

    def entries(self, study_uid: str) -> Iterator[Entry]:
        """The images of a study, members of one archive side by side."""
        query = "SELECT path, member FROM images WHERE study = ? ORDER BY path, member"
        for path, member in self._database.execute(query, (study_uid,)):
            yield Entry(path, member)

    def close(self) -> None:
        """Forget all of it."""
        self._database.close()
