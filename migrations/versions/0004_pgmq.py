"""Install PGMQ by SQL alone, for Celery's default broker.

Why: the broker needs no server beside PostgreSQL. Locks: none. Phase: expand. An installed PGMQ is left alone.
"""

from console.migration_files import run

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Install it unless it is there, and let the mailer use it."""
    run("0004_pgmq.sql")
    run("0004_pgmq_grants.sql")


def downgrade() -> None:
    """Drop it, if it is ours."""
    run("0004_pgmq_down.sql")
