"""Let recipients unsubscribe, be erased and be known to bounce; share a transport's rate between workers.

Why: the mailer must be able to say of each message what became of it, after a server took it, too. Locks: `delivery`,
`suppression` and `transport`, each for as long as adding a column takes; 0007 validates the checks. Phase: expand.
"""

from console.migration_files import run

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and the functions, and say who may use them."""
    run("0006_recipients.sql")
    run("0006_recipients_grants.sql")


def downgrade() -> None:
    """Drop them; bounces and unsubscriptions are forgotten."""
    run("0006_recipients_down.sql")
