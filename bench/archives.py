"""Archives of any size, as two years of work leave them: each study is a copy of one that the store's own methods wrote.

One study of each kind is written by the store into a database of its own. Its rows are the pattern: UIDs, numbers and times are
exchanged, the audit chain is hashed anew, and the rows go into the archive in bulk. Packs are as long as the rows say and
hold nothing (sparse files).
"""

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from db.audit_rows import START, row_hash
from db.engine import open_store
from db.pack import folder_of
from db.schema import metadata
from db.store import Store
from domain.destinations import Sent
from domain.evidence import Commitment, Evidence, Member, Source
from domain.instances import Caller, Header, Instance, Place
from domain.jobs import Answer, Artifact, Job, JobKind, NewJob, Outcome

CALLER: Final = Caller("CT01", "ANCILLA", "192.0.2.7")
YEARS: Final = timedelta(days=730)
PATIENT: Final = 3  # studies of each
_CT, _SYNTAX = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
_SR, _SEG = "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.66.4"
_TOKEN, _MARK = "900000000001", "800000000001"  # in the pattern, where each study has numbers of its own
_PRIME: Final = 492_876_847  # numbers of studies come in no order, as UIDs of many devices do
_LENGTH: Final = 526_000  # bytes of a record: a CT image of 512 x 512
_IDS: Final = {"job_id": "jobs", "parent_id": "jobs", "statement_id": "statements"}
_OWN: Final = frozenset({"instance_id", "artifact_id", "sent_id"})  # nobody refers to them
_ONCE: Final = frozenset({"audit", "audit_head", "habits", "acceptances"})  # not per study
_BATCH: Final = 50  # studies


@dataclass(frozen=True, slots=True)
class Kind:
    """What happened to a study. ``listed``: MPPS and storage commitment tell what belongs to it. ``refused``: by the PACS."""

    listed: bool = False
    refused: bool = False


KINDS: Final = (Kind(), Kind(listed=True), Kind(refused=True))


def kind_of(number: int) -> int:
    """Index of ``KINDS``: every tenth study is listed, every hundredth refused."""
    return 1 if number % 10 == 0 else 2 if number % 100 == 5 else 0


def study_uid(number: int) -> str:
    """The Study Instance UID of one study of every archive."""
    return _study(_token(number))


def fill(data_dir: Path, studies: int, images: int, newest: datetime) -> None:
    """An archive of ``studies`` studies of ``images`` images each in the new data folder of a node, over two years, the last at
    ``newest``."""
    database, spool = data_dir / "ancilla.db", data_dir / "spool"
    data_dir.mkdir(parents=True)
    open_store(database, lambda: newest).close()
    patterns = [_pattern(kind, images) for kind in KINDS]
    raw = sqlite3.connect(database, isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -500000", "temp_store = MEMORY"):
        raw.execute(f"PRAGMA {pragma}").close()
    raw.execute("BEGIN")
    indexes = [words for (words,) in raw.execute("SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")]
    for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall():
        raw.execute(f'DROP INDEX "{name}"')
    _insert(raw, patterns, studies, int(newest.timestamp() * 1e6))
    for words in indexes:  # all at once is quicker than row by row, and the same in the end
        raw.execute(words)
    raw.execute("COMMIT")
    raw.close()
    for number in range(studies):
        _pack(spool, number, images)


class _Pattern:
    """The rows of one study, and how another study's are made of them."""

    def __init__(self, rows: Mapping[str, Sequence[Mapping[str, Any]]], ends: int) -> None:
        self.ends = ends  # microseconds since 1970: when it was over
        self.rows = {name: [_template(name, row) for row in found] for name, found in rows.items() if name not in _ONCE}
        self.audit = [(row, _TOKEN in row["study_uid"], _TOKEN in row["details"]) for row in rows["audit"]]
        self.ids = {name: len(rows[name]) for name in ("jobs", "statements")}


_Values = tuple[Any, ...]
_Template = Callable[[str, str, str, int, Mapping[str, int]], _Values]


def _template(table: str, row: Mapping[str, Any]) -> _Template:
    """Makes the values of one row from token, mark, folder, time shift, and how many jobs and statements there are already."""
    plain = [None if name in _OWN else value for name, value in row.items()]
    given = [(at, name, value) for at, (name, value) in enumerate(row.items()) if value is not None]
    ids = [(at, value, _IDS[name]) for at, name, value in given if name in _IDS]
    folders = [(at, value.rpartition("/")[2]) for at, name, value in given if name == "pack"]
    texts = [(at, value) for at, name, value in given if name != "pack" and (_TOKEN in str(value) or _MARK in str(value))]
    times = [(at, value) for at, name, value in given if _is_time(table, name)]

    def values(token: str, mark: str, folder: str, shift: int, before: Mapping[str, int]) -> _Values:
        for at, text in texts:
            plain[at] = text.replace(_TOKEN, token).replace(_MARK, mark)
        for at, micros in times:
            plain[at] = micros + shift
        for at, number, of in ids:
            plain[at] = number + before[of]
        for at, file in folders:
            plain[at] = f"{folder}/{file.replace(_TOKEN, token)}"
        return tuple(plain)

    return values


def _is_time(table: str, name: str) -> bool:
    return name == "at" or name.endswith(("_at", "_until")) or (table, name) == ("studies", "deadline")


def _insert(raw: sqlite3.Connection, patterns: Sequence[_Pattern], studies: int, newest: int) -> None:
    width = {name: len(table.columns) for name, table in metadata.tables.items()}
    before = {"jobs": 0, "statements": 0}
    chain = _Chain()
    step = int(YEARS.total_seconds() * 1e6) // max(studies, 1)
    for start in range(0, studies, _BATCH):
        new: dict[str, list[_Values]] = {name: [] for name in width}
        for number in range(start, min(start + _BATCH, studies)):
            pattern, token, mark = patterns[kind_of(number)], _token(number), f"{number // PATIENT:012d}"
            shift = newest - step * (studies - 1 - number) - pattern.ends
            folder = folder_of(_study(token)).as_posix()
            for name, templates in pattern.rows.items():
                new[name] += [template(token, mark, folder, shift, before) for template in templates]
            new["audit"] += chain.rows(pattern, token, shift, before["jobs"])
            for name, count in pattern.ids.items():
                before[name] += count
        for name, rows in sorted(new.items(), key=lambda each: each[0] != "studies"):
            if rows:
                raw.executemany(f'INSERT INTO "{name}" VALUES ({",".join("?" * width[name])})', rows)  # noqa: S608 - our tables
    raw.execute('UPDATE audit_head SET "rows" = ?, hash = ?', (chain.seq, chain.last))


class _Chain:
    """The audit rows of one archive."""

    def __init__(self) -> None:
        self.seq, self.last = 0, START

    def rows(self, pattern: _Pattern, token: str, shift: int, jobs: int) -> Iterator[_Values]:
        for row, has_study, has_details in pattern.audit:
            self.seq += 1
            study = row["study_uid"].replace(_TOKEN, token) if has_study else ""
            details = row["details"].replace(_TOKEN, token) if has_details else row["details"]
            job_id = None if row["job_id"] is None else row["job_id"] + jobs
            at = row["at"] + shift
            self.last = row_hash(self.last, self.seq, at, row["event"], study, job_id, row["actor"], details)
            yield self.seq, at, row["event"], study, job_id, row["actor"], details, self.last


def _token(number: int) -> str:
    return f"{(number + 1) * _PRIME % 10**12:012d}"


def _study(token: str) -> str:
    return f"1.2.826.0.1.3680043.10.1.{token}"


def _association(token: str) -> str:
    return f"{'0' * 20}{token}"


def _pack(spool: Path, number: int, images: int) -> None:
    """Nothing, as long as the records are that the rows tell of."""
    token = _token(number)
    file = spool / folder_of(_study(token)) / f"{_association(token)}.pack"
    file.parent.mkdir(parents=True)
    with file.open("wb") as stream:
        os.truncate(stream.fileno(), images * _LENGTH)


def _pattern(kind: Kind, images: int) -> _Pattern:
    with tempfile.TemporaryDirectory() as folder:
        clock = _Clock()
        store = open_store(Path(folder, "ancilla.db"), clock)
        _live(store, clock, kind, images)
        store.close()
        raw = sqlite3.connect(Path(folder, "ancilla.db"))
        raw.row_factory = sqlite3.Row
        rows = {name: [dict(row) for row in raw.execute(f'SELECT * FROM "{name}"')] for name in metadata.tables}  # noqa: S608
        raw.close()
    return _Pattern(rows, int(clock().timestamp() * 1e6))


class _Clock:
    def __init__(self) -> None:
        self.at = datetime(2024, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def _live(store: Store, clock: _Clock, kind: Kind, images: int) -> None:
    """What becomes of one study: received, complete, analysed, delivered, committed to."""
    study, association = _study(_TOKEN), _association(_TOKEN)
    members = tuple(Member(_CT, f"{study}.{n % 2 + 1}.{n}", f"{study}.{n % 2 + 1}") for n in range(images))
    if kind.listed:
        store.step_created(CALLER, Evidence(Source.MPPS, f"{study}.9", study, False))
    store.opened(association, CALLER)
    for n, member in enumerate(members):
        store.received(_instance(member, n, study, association, clock()), 30, 1800)
        clock.forward(0.1)
    store.closed(association, "released", 30)
    if kind.listed:
        store.step_set(CALLER, Evidence(Source.MPPS, f"{study}.9", study, True, members))
        store.commit(CALLER, Evidence(Source.COMMITMENT, f"{study}.8", "", True, members))
        store.reported(CALLER, f"{study}.8")
    clock.forward(31)
    store.recognise(study, f"{_MARK:0>64}", "20240101")
    assert store.settle(study, 1, [NewJob("chest-ct-opacity", "d" * 64, (f"{study}.1",), ("pacs",))])
    _answer(store, clock, kind, study)


def _instance(member: Member, number: int, study: str, association: str, at: datetime) -> Instance:
    header = Header(_CT, member.sop_instance_uid, _SYNTAX, study, member.series_uid, "CT")
    place = Place((folder_of(study) / f"{association}.pack").as_posix(), number * _LENGTH + 400, _LENGTH - 400)
    return Instance(header, place, f"{number:016x}{_TOKEN:0>48}", CALLER, association, at)


def _answer(store: Store, clock: _Clock, kind: Kind, study: str) -> None:
    job = _claimed(store, JobKind.INFER)
    files = tuple(
        Artifact(role, f"results/{_TOKEN}/1/{role}.dcm", "e" * 64, 30_000, sop_class, f"{study}.7.{at}", f"{study}.7")
        for at, (role, sop_class) in enumerate((("sr", _SR), ("seg", _SEG)))
    )
    clock.forward(3)
    timings = {"load": 0.4, "infer": 1.1, "write": 0.5}
    store.finish(job, Answer(Outcome.POSITIVE, "Opacity found.", files, "", timings, "bf16"))
    delivery = _claimed(store, JobKind.DELIVER)
    status = 0xA700 if kind.refused else 0
    store.sent(delivery, [Sent(file.sop_instance_uid, status) for file in files], commit=True)
    if not kind.refused:
        asked, transaction = _claimed(store, JobKind.COMMIT), f"{study}.6"
        store.asked(asked, transaction)
        results = tuple(Member(file.sop_class_uid, file.sop_instance_uid, file.series_uid) for file in files)
        store.promised("PACS@192.0.2.9", Commitment(transaction, results, ()))


def _claimed(store: Store, kind: JobKind) -> Job:
    job = store.claim(kind, "node", 60)
    assert job is not None
    return job
