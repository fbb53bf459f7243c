"""Create every table of the outbox.

Why: the first release. Locks: none that a host could wait for; nothing of this schema exists yet.
Phase: expand.
"""

from alembic import op

from migrations.statements import statement

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, and the row that names this installation."""
    op.execute(statement("0001_tables.sql"))
    op.execute("insert into outbox.meta (sysid) select system_identifier from pg_control_system()")
    op.execute("insert into outbox.shard (shard) values (0)")


def downgrade() -> None:
    """Drop what `upgrade` made; the events go with it."""
    op.execute(statement("0001_tables_down.sql"))
