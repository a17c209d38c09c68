"""Runs the migrations on the connection that ``db.migrate`` hands over; the caller owns the transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=False)
context.run_migrations()
