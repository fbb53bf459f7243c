"""What alembic runs around our revisions: schema and version table `outbox`, limits of waiting, one run at a time.

Read by alembic alone. `console.migrate` passes the connection in `config.attributes`; there is no other way in, so that
nobody migrates by accident with a host's `alembic upgrade head`.
"""

from alembic import context
from sqlalchemy import Connection

from console.migration_files import run_on, statement

VERSIONS = {"version_table": "alembic_version", "version_table_schema": "outbox"}


def print_sql() -> None:
    """Print the SQL of the revisions asked for, each in a transaction, or in none for tools that open their own."""
    context.configure(
        dialect_name="postgresql",
        literal_binds=True,
        transaction_per_migration=True,
        transactional_ddl=context.config.attributes["transactions"],
        output_buffer=context.config.attributes["output"],
        **VERSIONS,
    )
    output = context.get_context().impl.static_output
    # As online. In a tool's own transaction the setting ends with that.
    output(f"set {'' if context.config.attributes['transactions'] else 'local '}lock_timeout = '5s';")
    if context.config.attributes["from_empty"]:
        output(statement("schema.sql").strip())
    with context.begin_transaction():
        context.run_migrations()


def migrate(connection: Connection) -> None:
    """Run the revisions asked for on *connection*, each in its own transaction."""
    context.configure(connection=connection, transaction_per_migration=True, **VERSIONS)
    run_on(connection, statement("schema.sql"))
    connection.commit()
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    print_sql()
else:
    migrate(context.config.attributes["connection"])
