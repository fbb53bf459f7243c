"""Create every table of the outbox.

Why: the first release. Locks: none that a host could wait for; nothing of this schema exists yet.
Phase: expand.
"""

from console.migration_files import run

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, and the rows that name this installation and its first shard."""
    run("0001_tables.sql")
    run("0001_rows.sql")


def downgrade() -> None:
    """Drop what `upgrade` made; the events go with it."""
    run("0001_tables_down.sql")
