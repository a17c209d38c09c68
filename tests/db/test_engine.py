"""Opening: migrations, files of newer versions, several processes at once, a database that is held by somebody else."""

import multiprocessing
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from db import engine as engine_module
from db import migrate
from db.audit import verify
from db.engine import open_engine, open_store
from db.schema import metadata
from domain.errors import ConfigurationError, OutOfSpaceError, TransientError
from domain.instances import Receipt
from domain.jobs import JobKind
from domain.moves import JobState
from tests.db.nouns import CALLER, Clock, instance, new_store

_OLD = """
INSERT INTO studies VALUES ('1.2.3', 'receiving', 1, 0, 9000000000000000, 0, 0), ('4.5', 'complete', 2, 0, 0, 0, 0);
INSERT INTO associations VALUES ('open', 'CT', 'ANCILLA', '192.0.2.1', 0, NULL, ''),
                                ('gone', 'CT', 'ANCILLA', '192.0.2.1', 0, 5, 'released');
INSERT INTO instances VALUES
 (1, '1.2.3', 1, 's', 'i1', 'c', 't', 'CT', 1, 'd1', 'p', 0, 10, 'CT', 'ANCILLA', '192.0.2.1', 'open', 7),
 (2, '4.5', 2, 's2', 'i2', 'c', 't', 'CT', 1, 'd2', 'q', 5, 10, 'CT', 'ANCILLA', '192.0.2.1', 'gone', 8);
INSERT INTO jobs VALUES
 (1, 'infer', 'queued', '4.5', 2, 'lung', 'd', '["s2"]', 'x', '["pacs"]', '', NULL, 0, 0, '', 0, NULL, 0, NULL, NULL, '');
"""


def old_database(path: Path) -> None:
    """A database as the first version left it, with data."""
    open_engine(path, "0001").dispose()
    raw = sqlite3.connect(path)
    raw.executescript(_OLD)
    raw.close()


def test_a_database_of_the_first_version_is_upgraded_with_its_data(tmp_path: Path, clock: Clock) -> None:
    old_database(tmp_path / "ancilla.db")
    store = new_store(tmp_path, clock)
    [job] = store.jobs()
    assert (job.model_id, job.outcome, job.summary, job.timings, job.series_uids) == ("lung", None, "", {}, ("s2",))
    assert [(row.subject, row.details) for row in store.evidence("1.2.3")] == [("open", '{"how":"open"}')]
    assert [(row.subject, row.revision, row.details) for row in store.evidence("4.5")] == [("gone", 2, '{"how":"released"}')]
    assert store.due() == []  # quiet, but its association is still open: the evidence was made from the instances
    store.closed("open", "released", 0)
    assert [study.study_uid for study in store.due()] == ["1.2.3"]
    assert store.claim(JobKind.INFER, "w", 60) is not None
    assert store.indexed() == {"p": 10, "q": 15}
    assert verify(store).broken_seq is None
    store.close()


def test_the_migrations_make_exactly_the_tables_that_the_code_knows(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "ancilla.db")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_newest_revision_is_the_last_of_the_chain_of_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    assert migrate.newest() == ScriptDirectory.from_config(config).get_current_head()


def test_a_database_of_this_version_is_opened_without_the_machinery_of_migrations(tmp_path: Path, clock: Clock) -> None:
    new_store(tmp_path, clock).close()
    words = (
        "import sys; from pathlib import Path; from db.engine import open_store; "
        "open_store(Path(sys.argv[1]), None).close(); sys.exit('alembic' in sys.modules)"
    )
    file = str(tmp_path / "ancilla.db")
    assert subprocess.run([sys.executable, "-c", words, file], cwd=Path(migrate.__file__).parents[1], check=False).returncode == 0


def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path, clock: Clock) -> None:
    new_store(tmp_path, clock).close()
    raw = sqlite3.connect(tmp_path / "ancilla.db")
    with raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    with pytest.raises(ConfigurationError, match="newer version"):
        new_store(tmp_path, clock)
    raw = sqlite3.connect(tmp_path / "ancilla.db")
    assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
    raw.close()


def test_what_was_written_is_there_when_the_file_is_opened_again(tmp_path: Path, clock: Clock) -> None:
    store = new_store(tmp_path, clock)
    store.received(instance(), 30, 600)
    store.close()
    again = open_store(f"sqlite:///{tmp_path}/ancilla.db", clock)
    assert again.instances("1.2.3") == [instance()]
    assert again.received(instance(), 30, 600) is Receipt.DUPLICATE
    again.close()


@pytest.mark.parametrize("url", ["postgresql://host/db", "sqlite://", "sqlite:///relative.db", "no url at all"])
def test_a_url_that_cannot_be_used_is_an_error_of_the_configuration(url: str, clock: Clock) -> None:
    with pytest.raises(ConfigurationError, match="database"):
        open_store(url, clock)


def test_a_file_that_is_no_database_is_an_error_of_the_configuration(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "ancilla.db").write_bytes(b"not a database" * 100)
    with pytest.raises(ConfigurationError, match="database"):
        new_store(tmp_path, clock)


def test_only_the_node_itself_may_read_the_database(tmp_path: Path, clock: Clock) -> None:
    store = new_store(tmp_path, clock)
    store.received(instance(), 30, 600)
    for file in tmp_path.glob("ancilla.db*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    store.close()


def test_moves_wait_for_the_disk_and_rows_about_receiving_do_not(tmp_path: Path, clock: Clock) -> None:
    store = new_store(tmp_path, clock)
    levels = {}
    for durable in (True, False):
        with store._database.write(durable) as tx:
            levels[durable] = tx.connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    assert levels == {True: 2, False: 1}  # FULL, NORMAL
    store.close()


def test_a_database_held_by_another_program_is_a_transient_error_and_no_damage(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "_BUSY_MS", 20)
    store = new_store(tmp_path, clock)
    raw = sqlite3.connect(tmp_path / "ancilla.db", isolation_level=None)
    raw.execute("BEGIN IMMEDIATE")
    with pytest.raises(TransientError):
        store.received(instance(), 30, 600)
    with pytest.raises(TransientError):
        store.opened("a1", CALLER)
    raw.execute("ROLLBACK")
    raw.close()
    assert store.received(instance(), 30, 600) is Receipt.STORED
    store.close()


def test_a_transaction_that_has_only_read_keeps_other_writers_out_already(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "_BUSY_MS", 20)
    store, other = new_store(tmp_path, clock), new_store(tmp_path, clock)
    with store._database.write(), pytest.raises(TransientError):
        other.received(instance(), 30, 600)
    assert other.received(instance(), 30, 600) is Receipt.STORED
    store.close()
    other.close()


def test_a_full_disk_is_told_apart_and_undoes_the_whole_change(tmp_path: Path, clock: Clock) -> None:
    store = new_store(tmp_path, clock)
    with store._database.write(False) as tx:
        pages = tx.connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        tx.connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(OutOfSpaceError):
        for number in range(1000):
            store.received(instance(number), 30, 600)
    kept = len(store.instances("1.2.3"))
    assert verify(store).rows == kept
    assert verify(store).broken_seq is None
    store.close()


def _open(folder: Path) -> None:
    store = new_store(folder, Clock())
    store.received(instance(os.getpid(), association=f"a{os.getpid()}"), 30, 600)
    store.close()


def test_processes_that_open_a_new_database_at_once_take_turns(tmp_path: Path, clock: Clock) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_open, args=(tmp_path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    store = new_store(tmp_path, clock)
    assert len(store.instances("1.2.3")) == 3
    assert verify(store).broken_seq is None
    assert store.jobs(state=JobState.QUEUED) == []
    store.close()
