"""Validate the checks that 0006 added.

Why: in a transaction of its own, for in that of 0006 it would stop all work on the table meanwhile. Locks: share update
exclusive on `delivery` and `suppression`, for one pass over them; reads and writes go on. Phase: expand.
"""

from console.migration_files import run

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Look at the rows."""
    run("0007_checks.sql")


def downgrade() -> None:
    """Leave them: a check that was validated binds nobody more than before."""
