"""A bounce in the database, whoever told of it: a notification in a mailbox, or a provider's webhook."""

from mailer.bounces import Bounce
from mailer.database import Database
from mailer.telemetry import logger


def record_bounce(database: Database, bounce: Bounce) -> bool:
    """Record *bounce*, and return whether it was news: of a message that we sent, and not known."""
    reply = bounce.reply
    arguments = {
        "message_uuid": bounce.message_uuid,
        "reporter": reply.transport,
        "code": reply.code,
        "enhanced": reply.enhanced,
        "outcome": bounce.outcome,
        "detail": reply.text,
        "undeliverable": bounce.undeliverable,
    }
    rows = database.rows("record_bounce", arguments)
    for row in rows:
        logger().warning("mailer.delivery.bounced", delivery=row["id"], state=row["state"], code=reply.enhanced)
    return bool(rows)
