"""What the type checker refuses. mypy fails on an ignore that is not needed, so each line here has to be wrong."""

import psycopg
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncSession

import outbox
from outbox import Event

EVENT = Event(aggregate_type="user", aggregate_id="42", type="user.registered", payload={})

Event("user", "42", "user.registered", {})  # type: ignore[call-arg]  # facts of one type are easily swapped
Event(aggregate_type="user", aggregate_id=42, type="t", payload={})  # type: ignore[arg-type]  # no text
Event(aggregate_type="user", aggregate_id="42", type="t")  # type: ignore[call-arg]  # no payload
Event(aggregate_type="user", aggregate_id="42", type="t", payload={1, 2})  # type: ignore[arg-type]  # no JSON
Event(aggregate_type="user", aggregate_id="42", type="t", payload=object())  # type: ignore[arg-type]  # no JSON
Event(aggregate_type="user", aggregate_id="42", type="t", payload={}, headers={"a": 1})  # type: ignore[dict-item]  # no text
Event(aggregate_type="user", aggregate_id="42", type="t", payload={}, event_id="0192f0c1")  # type: ignore[arg-type]  # no UUID


def change(connection: psycopg.Connection, engine: Engine) -> None:
    EVENT.type = "another"  # type: ignore[misc]  # a fact does not change
    outbox.insert(engine, EVENT)  # type: ignore[call-overload]  # an engine has no transaction
    outbox.insert(connection, {"type": "t"})  # type: ignore[call-overload]  # no event
    outbox.insert(connection)  # type: ignore[call-overload]  # which event?
    outbox.insert(connection.cursor, EVENT)  # type: ignore[call-overload]  # no connection


async def forget(session: AsyncSession) -> None:
    outbox.insert(session, EVENT)  # type: ignore[unused-coroutine]  # nothing would be inserted
