"""Create the functions: emit, schedule, capture, redrive, discard, backlog.

Why: what hosts and operators do is one call, from any language. Locks: none. Phase: expand.
"""

from console.migration_files import run

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

FILES = ("keys", "emit", "schedule", "capture", "audit", "dead_letters", "backlog", "public")


def upgrade() -> None:
    """Create the functions, for nobody but their owner."""
    for name in FILES:
        run(f"0002_{name}.sql")


def downgrade() -> None:
    """Drop the functions; refused while a table is captured."""
    run("0002_functions_down.sql")
