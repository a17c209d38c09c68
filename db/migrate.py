"""Brings a database to the newest schema in one transaction, and refuses one that a newer version has written."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from domain.errors import ConfigurationError

_MIGRATIONS: Final = Path(__file__).parent / "migrations"


def migrate(connection: Connection, revision: str = "head") -> None:
    """Upgrade to ``revision``. The connection has begun a write transaction. Raises ConfigurationError for a newer database."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in {each.revision for each in script.walk_revisions()}:
        raise ConfigurationError("database: it was written by a newer version of Ancilla; install that version or a newer one")
    if current != script.get_current_head():
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
