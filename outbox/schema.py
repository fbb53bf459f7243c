"""Every table of the outbox, once, for SQLAlchemy: the console builds its queries on them.

The migrations make the tables, and the comments in `migrations/sql` say why they are as they are; a test makes them
from here too, and compares. Needs SQLAlchemy, which the base distribution does not install.
"""

from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, OID
from sqlalchemy.sql.schema import SchemaItem
from sqlalchemy.types import TypeEngine, UserDefinedType

SCHEMA: Final = "outbox"
METADATA: Final = MetaData(schema=SCHEMA)

NOW: Final = text("now()")
CLOCK: Final = text("clock_timestamp()")
RANDOM: Final = text("gen_random_uuid()")
TIME: Final = DateTime(timezone=True)


class Xid8(UserDefinedType[str]):
    """A transaction id of 64 bits, as text."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return its name in PostgreSQL."""
        return "xid8"


class Snapshot(UserDefinedType[str]):
    """Which transactions had finished, as text: `xmin:xmax:xip,…`."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return its name in PostgreSQL."""
        return "pg_snapshot"


def _table(name: str, *parts: SchemaItem) -> Table:
    return Table(name, METADATA, *parts)


def _id(*, cache: int | None = None, cycle: bool | None = None) -> Column[int]:
    return Column("id", BigInteger, Identity(always=True, cache=cache, cycle=cycle), primary_key=True)


def _must(name: str, type_: TypeEngine[Any] | type[TypeEngine[Any]], default: object = None) -> Column[Any]:
    """Return a column that is never null; a number or a word as *default* is written as PostgreSQL writes it."""
    written: Any = text(str(default).lower()) if isinstance(default, int) else default
    return Column(name, type_, nullable=False, server_default=written)


def _may(name: str, type_: TypeEngine[Any] | type[TypeEngine[Any]]) -> Column[Any]:
    return Column(name, type_, nullable=True)


def _of_event() -> tuple[SchemaItem, ...]:
    """Return what an event and a scheduled event have in common."""
    return (
        _must("aggregate_type", Text),
        _must("aggregate_id", Text),
        _must("type", Text),
        _must("payload", JSON),
        _may("headers", JSONB),
        _may("topic", Text),
        _must("created_at", TIME, CLOCK),
        CheckConstraint("aggregate_type <> '' and length(aggregate_type) <= 200"),
        CheckConstraint("aggregate_id <> ''"),
        CheckConstraint("type <> '' and length(type) <= 200"),
        CheckConstraint("jsonb_typeof(headers) = 'object'"),
        CheckConstraint("topic <> ''"),
    )


meta = _table(
    "meta",
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    _must("install_id", Uuid, RANDOM),
    _must("sysid", BigInteger),
    _must("generation", Integer, 1),
    _must("shards", Integer, 1),
    _may("database_oid", OID),
    CheckConstraint("one"),
    CheckConstraint("generation > 0"),
    CheckConstraint("shards between 1 and 64"),
)

event = _table(
    "event",
    _must("tx", Xid8, text("pg_current_xact_id()")),
    _id(cache=1, cycle=False),
    _must("event_id", Uuid, RANDOM),
    *_of_event(),
    Index("event_tx_idx", "tx", "id"),
)

shard = _table(
    "shard",
    Column("shard", Integer, primary_key=True, autoincrement=False),
    _must("epoch", BigInteger, 0),
    _must("bootstrapped", Boolean, default=False),
    _must("confirmed_seq", BigInteger, 0),
    _may("confirmed_snap", Snapshot),
    _may("confirmed_last", BigInteger),
    _may("confirmed_at", TIME),
    _must("pruned_seq", BigInteger, 0),
    _may("halted_reason", Text),
    _may("halted_at", TIME),
    CheckConstraint("shard >= 0"),
)

batch = _table(
    "batch",
    Column("shard", ForeignKey(shard.c.shard), primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    _must("epoch", BigInteger),
    _must("a", Snapshot),
    _must("b", Snapshot),
    _must("n", BigInteger),
    _must("at", TIME, NOW),
    CheckConstraint("n >= 0"),
)

scheduled = _table(
    "scheduled",
    Column("event_id", Uuid, primary_key=True, server_default=RANDOM),
    _must("due_at", TIME),
    *_of_event(),
    Index("scheduled_due_idx", "due_at"),
)

delivery = _table(
    "delivery",
    _id(),
    Column("message_uuid", Uuid, nullable=False, server_default=RANDOM, unique=True),
    _must("event_id", Uuid),
    _must("event_type", Text),
    _must("aggregate_type", Text),
    _must("aggregate_id", Text),
    _must("mail", Text),
    _may("recipient", Text),
    _must("recipient_key", LargeBinary),
    _may("locale", Text),
    _must("lane", Text, "default"),
    _must("priority", SmallInteger, 100),
    _must("in_doubt_policy", Text, "hold"),
    _may("payload", JSON),
    _may("traceparent", Text),
    _must("state", Text, "queued"),
    _must("cycle", Integer, 1),
    _must("attempt", Integer, 0),
    _must("resent", Boolean, default=False),
    _must("next_attempt_at", TIME, NOW),
    _must("expires_at", TIME),
    _may("claim_token", Uuid),
    _may("claimed_by", Text),
    _may("claimed_until", TIME),
    _may("pinned_transport", Text),
    _may("content", LargeBinary),
    _may("template_version", Text),
    _must("created_at", TIME, NOW),
    _may("finished_at", TIME),
    _must("suppressible", Boolean, default=False),
    UniqueConstraint("event_id", "mail", "recipient_key"),
    CheckConstraint("in_doubt_policy in ('resend', 'hold')"),
    CheckConstraint(
        "state in ('queued', 'claimed', 'sending', 'sent', 'in_doubt', 'dead', 'suppressed', 'expired', 'cancelled', "
        "'bounced')"
    ),
    CheckConstraint("(state in ('claimed', 'sending')) = (claim_token is not null)"),
    CheckConstraint("(claim_token is null) = (claimed_until is null)"),
    CheckConstraint("state not in ('queued', 'claimed', 'sending') or recipient is not null"),
    Index("delivery_due_idx", "lane", "priority", "next_attempt_at", "id", postgresql_where=text("state = 'queued'")),
    Index("delivery_claimed_idx", "claimed_until", postgresql_where=text("state in ('claimed', 'sending')")),
    Index("delivery_doubt_idx", "id", postgresql_where=text("state = 'in_doubt'")),
    Index("delivery_event_idx", "event_id"),
    Index("delivery_recipient_idx", "recipient_key"),
    Index("delivery_finished_idx", "finished_at", postgresql_where=text("finished_at is not null")),
)

attempt = _table(
    "attempt",
    _id(),
    Column("delivery_id", ForeignKey(delivery.c.id, ondelete="CASCADE"), nullable=False),
    _must("cycle", Integer),
    _must("attempt", Integer),
    _must("at", TIME),
    _must("finished_at", TIME, NOW),
    _must("transport", Text),
    _must("phase", Text),
    _may("code", Integer),
    _may("enhanced_code", Text),
    _must("outcome", Text),
    _may("detail", Text),
    _may("worker", Text),
    CheckConstraint("outcome in ('accepted', 'transient', 'permanent', 'in_doubt')"),
    Index("attempt_delivery_idx", "delivery_id"),
)

transport = _table(
    "transport",
    Column("name", Text, primary_key=True),
    _must("breaker", Text, "closed"),
    _must("failures", Integer, 0),
    _may("reason", Text),
    _may("opened_at", TIME),
    _may("retry_at", TIME),
    _may("probe_token", Uuid),
    _must("changed_at", TIME, NOW),
    _may("free_at", TIME),
    CheckConstraint("breaker in ('closed', 'open', 'half_open')"),
    CheckConstraint("(breaker = 'open') <= (retry_at is not null)"),
)

suppression = _table(
    "suppression",
    Column("recipient_key", LargeBinary, primary_key=True),
    _must("reason", Text),
    _may("delivery_id", BigInteger),
    _must("created_at", TIME, NOW),
    _must("undeliverable", Boolean, default=True),
    _may("unsubscribed_at", TIME),
    CheckConstraint("undeliverable or unsubscribed_at is not null"),
)

permit = _table(
    "permit",
    Column("id", Uuid, primary_key=True),
    _must("lane", Text),
    _must("issued_at", TIME, NOW),
    Index("permit_lane_idx", "lane", "issued_at"),
)

dead_letter = _table(
    "dead_letter",
    _id(),
    _must("stage", Text),
    _must("reason", Text),
    _may("detail", Text),
    _may("event_id", Uuid),
    _may("type", Text),
    _may("aggregate_type", Text),
    _may("aggregate_id", Text),
    _may("shard", Integer),
    _may("event_row_id", BigInteger),
    _must("parks", Boolean, default=False),
    Column("behind", ForeignKey(f"{SCHEMA}.dead_letter.id")),
    _may("topic", Text),
    _may("record_partition", Integer),
    _may("record_offset", BigInteger),
    _may("mail", Text),
    Column("delivery_id", ForeignKey(delivery.c.id)),
    _may("cycle", Integer),
    _may("payload", JSON),
    _may("headers", JSONB),
    _may("record_value", LargeBinary),
    _may("record_headers", JSONB),
    _must("attempts", Integer, 1),
    _must("created_at", TIME, NOW),
    _may("resolved_at", TIME),
    _may("resolution", Text),
    _may("resolved_by", Text),
    _may("resolution_reason", Text),
    _may("redriven_event_id", Uuid),
    _must("redrive_pending", Boolean, default=False),
    CheckConstraint("stage in ('publish', 'consume', 'deliver')"),
    CheckConstraint("reason <> ''"),
    CheckConstraint("resolution in ('redriven', 'discarded')"),
    CheckConstraint("(resolved_at is null) = (resolution is null)"),
    CheckConstraint("resolution is null or resolved_by is not null"),
    CheckConstraint("stage <> 'deliver' or delivery_id is not null"),
    CheckConstraint("stage <> 'publish' or (shard is not null and event_row_id is not null)"),
    Index("dead_letter_publish_key", "shard", "event_row_id", unique=True, postgresql_where=text("stage = 'publish'")),
    Index(
        "dead_letter_consume_key",
        "topic",
        "record_partition",
        "record_offset",
        text("coalesce(mail, '')"),
        "attempts",
        unique=True,
        postgresql_where=text("stage = 'consume'"),
    ),
    Index("dead_letter_deliver_key", "delivery_id", "cycle", unique=True, postgresql_where=text("stage = 'deliver'")),
    Index("dead_letter_unresolved_idx", "stage", "created_at", postgresql_where=text("resolved_at is null")),
    Index("dead_letter_event_idx", "event_id"),
    Index(
        "dead_letter_parked_idx",
        "shard",
        "id",
        postgresql_where=text("parks and (resolved_at is null or redrive_pending)"),
    ),
    Index("dead_letter_behind_idx", "behind", postgresql_where=text("behind is not null")),
    Index("dead_letter_pending_idx", "stage", "id", postgresql_where=text("redrive_pending")),
)

audit = _table(
    "audit",
    _id(),
    _must("at", TIME, NOW),
    _must("actor", Text),
    _must("action", Text),
    _must("target", Text),
    _may("reason", Text),
    _may("detail", JSONB),
)
