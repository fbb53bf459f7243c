"""Index parked keys by shard, note which database this is, and make what `outbox relay resync` needs.

Why: a key of more than 2,700 bytes did not fit into the index and kept its shard from going on; and a database that was
copied within its cluster could not be told from the original. Locks: outbox.dead_letter and outbox.meta, for as long as
an index of the parked keys takes; hosts touch neither. Phase: expand.
"""

from console.migration_files import run

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace the index, add the column, and create the functions."""
    run("0005_parked.sql")
    run("0005_identity.sql")
    run("0005_resync.sql")
    run("0005_grants.sql")


def downgrade() -> None:
    """Drop what was added, and have the former index."""
    run("0005_down.sql")
