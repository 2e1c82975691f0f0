"""Alembic's entry: runs on the connection that ``engine.migrate`` holds."""

from alembic import context

from epidura.clinic.store.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=connection.dialect.name == "sqlite")
with context.begin_transaction():
    context.run_migrations()
