"""Make the five roles and give each what its job needs, and no more.

Why: a host that can only insert cannot harm what others wait for. Locks: none that a host could wait for.
Phase: expand. Where roles may not be created it warns, and `outbox migrate grants` prints what an administrator runs.
"""

from console.migration_files import run

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the roles that are missing, and grant."""
    run("0003_roles.sql")
    run("0003_grants.sql")


def downgrade() -> None:
    """Revoke what was granted; the roles belong to the cluster and stay."""
    run("0003_grants_down.sql")
