"""Brings a database to the newest schema in one transaction, and refuses one that a newer version has written."""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect

from domain.errors import ConfigurationError

_MIGRATIONS: Final = Path(__file__).parent / "migrations"


def migrate(connection: Connection, revision: str = "head") -> None:
    """Upgrade to ``revision``. The connection has begun a write transaction. Raises ConfigurationError for a newer database."""
    if revision == "head" and _current(connection) == newest():
        return
    from alembic import command  # rarely needed, and slow to load: every command of an operator would wait for it
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    current = _current(connection)
    if current is not None and current not in {each.revision for each in script.walk_revisions()}:
        raise ConfigurationError("database: it was written by a newer version of Ancilla; install that version or a newer one")
    if current != script.get_current_head():
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def newest() -> str:
    """The revision that this version of the code knows: files are named by it."""
    return max(file.name[1:5] for file in (_MIGRATIONS / "versions").glob("r[0-9][0-9][0-9][0-9]_*.py"))


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
