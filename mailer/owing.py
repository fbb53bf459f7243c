"""The consumer's side of the database: deliveries that are owed, and records of which none can be made."""

from collections.abc import Callable, Sequence

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from mailer.database import Connection, Database, rows
from mailer.planning import (
    Mails,
    Malformed,
    Owed,
    Plan,
    ReadRecord,
    headers_from_json,
    headers_to_json,
    plan,
    storable,
    unstorable,
)
from mailer.recipients import recipient_key
from mailer.telemetry import logger

_PENDING_LIMIT = 100


class Ledger:
    """Stores what records owe."""

    def __init__(self, database: Database, *, mails: Mails, secret: Callable[[], bytes]) -> None:
        """Plan by *mails*; *secret* keys the hashes of recipients, and is asked for once."""
        self._database = database
        self._mails = mails
        self._ask_secret = secret
        self._secret: bytes | None = None

    def plan(self, records: Sequence[ReadRecord]) -> list[Plan]:
        """Owe what *records* owe and keep what is wrong with them, in one transaction; return what came of each."""
        plans = [self._planned(record) for record in records]
        try:
            self._database.run(lambda connection: _store(connection, plans))
        except psycopg.DataError:
            # One value that PostgreSQL does not hold, such as a NUL in a text: find out whose, and keep that aside.
            return [self._alone(one) for one in plans]
        return plans

    def plan_pending(self) -> list[Plan]:
        """Plan again the kept records that an operator sent back; return what came of each."""
        return self._database.run(self._plan_pending)

    def _plan_pending(self, connection: Connection) -> list[Plan]:
        pending = rows(connection, "pending_records", {"limit": _PENDING_LIMIT})
        plans = []
        for row in pending:
            planned = self._planned(_kept(row))
            try:
                with connection.transaction():
                    _store(connection, [planned])
            except psycopg.DataError as error:
                planned = unstorable(planned, _words(error))
                _store(connection, [planned])
            plans.append(planned)
            logger().info("mailer.record.redriven", dead_letter=row["id"], deliveries=len(planned.owed))
        if pending:
            rows(connection, "record_planned", {"ids": [row["id"] for row in pending]})
        return plans

    def _planned(self, record: ReadRecord) -> Plan:
        if self._secret is None:
            self._secret = self._ask_secret()
        secret = self._secret
        return plan(record, mails=self._mails, key_of=lambda address: recipient_key(address, secret=secret))

    def _alone(self, planned: Plan) -> Plan:
        try:
            self._database.run(lambda connection: _store(connection, [planned]))
        except psycopg.DataError as error:
            planned = unstorable(planned, _words(error))
            self._database.run(lambda connection: _store(connection, [planned]))
        return planned


def _store(connection: Connection, plans: Sequence[Plan]) -> None:
    owed = [one for planned in plans for one in planned.owed]
    if owed:
        rows(connection, "plan_deliveries", _columns(owed))
    for planned in plans:
        for bad in planned.malformed:
            rows(connection, "bury_record", _letter(planned.record, bad))


def _columns(owed: Sequence[Owed]) -> dict[str, object]:
    return {
        "event_ids": [one.event.event_id for one in owed],
        "event_types": [one.event.type for one in owed],
        "aggregate_types": [one.event.aggregate_type for one in owed],
        "aggregate_ids": [one.event.aggregate_id for one in owed],
        "mails": [one.mail.name for one in owed],
        "recipients": [one.recipient for one in owed],
        "recipient_keys": [one.recipient_key for one in owed],
        "locales": [one.locale for one in owed],
        "lanes": [one.mail.lane for one in owed],
        "priorities": [one.mail.priority for one in owed],
        "in_doubt_policies": [one.mail.in_doubt for one in owed],
        "suppressible": [one.mail.suppressible for one in owed],
        "payloads": [one.event.payload_text for one in owed],
        "traceparents": [one.event.traceparent for one in owed],
        "expires_after": [one.mail.expires_after.total_seconds() for one in owed],
    }


def _letter(record: ReadRecord, bad: Malformed) -> dict[str, object]:
    event = bad.event
    key = record.key.decode(errors="replace") if isinstance(record.key, bytes) else record.key
    return {
        "reason": bad.reason,
        "detail": storable(bad.detail),
        "event_id": bad.event_id,
        "type": storable(event.type if event else None),
        "aggregate_type": storable(event.aggregate_type if event else None),
        # The record's key, so that planning it again finds it here.
        "aggregate_id": storable(event.aggregate_id if event else key),
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "mail": bad.mail,
        "value": record.value,
        "headers": Jsonb(headers_to_json(record.headers)),
        "attempts": record.attempts,
    }


def _kept(row: DictRow) -> ReadRecord:
    value = row["record_value"]
    return ReadRecord(
        topic=row["topic"],
        partition=row["record_partition"],
        offset=row["record_offset"],
        key=row["aggregate_id"],
        value=bytes(value) if value is not None else None,
        headers=headers_from_json(row["record_headers"]),
        attempts=row["attempts"] + 1,
        mail=row["mail"],
    )


def _words(error: psycopg.DataError) -> str:
    """Return what PostgreSQL refused, by its kind: its message may quote the value."""
    kind = type(error).__name__
    return f"PostgreSQL cannot hold a value of it ({kind})"
