"""What became of one event: committed, in which window, published where, consumed, every attempt with its reply.

Each part answers by itself: an event that retention has deleted still has its record, its deliveries and dead letters.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from console.database import Database, Row
from console.errors import NotFoundError
from console.record_search import Search, Wanted, search
from console.settings import ConsoleSettings
from outbox.envelope import DEFAULT_ROUTE, Route


@dataclass(slots=True)
class Trace:
    """All that is known; empty where nothing is."""

    event_id: str
    event: Row | None = None
    published: bool | None = None  # None: the row is gone, so PostgreSQL no longer says
    window: Row | None = None
    scheduled: Row | None = None
    record: Search | None = None
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    dead_letters: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def follow(database: Database, settings: ConsoleSettings, event_id: str, *, route: str | None, most: int) -> Trace:
    """Return the trace of *event_id*; raise NotFoundError when nothing anywhere bears it."""
    trace = Trace(event_id)
    trace.dead_letters = database.rows("trace_dead_letters", event_id=event_id)
    row_id = next((letter["event_row_id"] for letter in trace.dead_letters if letter["event_row_id"]), None)
    trace.event = database.row("trace_event", event_id=event_id, row_id=row_id)
    trace.scheduled = database.row("trace_scheduled", event_id=event_id)
    trace.deliveries = [
        {**row, "attempts": database.rows("attempts", id=row["id"])}
        for row in database.rows("trace_deliveries", event_id=event_id)
    ]
    if not (trace.event or trace.scheduled or trace.deliveries or trace.dead_letters):
        missing = NotFoundError("event", event_id)
        missing.add_note("its transaction was rolled back or is still open, or retention has taken all of it")
        raise missing
    if trace.event:
        _publication(database, trace, trace.event)
    if not trace.scheduled:
        _record(settings, trace, route=route, most=most)
    return trace


def _publication(database: Database, trace: Trace, event: Row) -> None:
    """Find the window that carries the event, and whether the shard's position has passed it."""
    trace.window = window_of(database, shard=event["shard"], tx=event["tx"])
    given_up = any(letter["stage"] == "publish" for letter in trace.dead_letters)
    in_page = (
        trace.window is not None
        and trace.window["seq"] == event["confirmed_seq"]
        and event["confirmed_last"] is not None
        and event["row_id"] > event["confirmed_last"]
    )
    trace.published = bool(event["in_confirmed_snapshot"]) and not in_page and not given_up


def window_of(database: Database, *, shard: int, tx: str) -> Row | None:
    """Return the window of a shard that carries transaction *tx*; None if it has none, or no longer.

    What a window's snapshot B sees, every later one does too: so it is found by halves, 21 probes in two million.
    """
    low, high = 0, (database.one("trace_last_window", shard=shard)["seq"] or -1) + 1
    while low < high:
        middle = (low + high) // 2
        row = database.row("trace_window", shard=shard, seq=middle, tx=tx)
        if row is None or row["in_b"]:
            high = middle
        else:
            low = row["seq"] + 1
    row = database.row("trace_window", shard=shard, seq=low, tx=tx)
    return row if row is not None and row["in_b"] and not row["in_a"] else None


def _record(settings: ConsoleSettings, trace: Trace, *, route: str | None, most: int) -> None:
    """Look for the record in Kafka, from about when it was published."""
    if settings.kafka_bootstrap is None:
        trace.notes.append("Kafka was not asked: OUTBOX_KAFKA_BOOTSTRAP is not set")
        return
    if trace.published is False:
        return
    source = _source(trace)
    if source is None or source.get("aggregate_id") is None:
        trace.notes.append("Kafka was not asked: nothing here says the topic and key of the event any more")
        return
    type_ = str(source.get("type") or source.get("event_type") or "")
    topic = source.get("topic") or Route(route or DEFAULT_ROUTE).topic(source["aggregate_type"], type_)
    since = trace.window["at"] if trace.window else source["created_at"]
    wanted = Wanted(trace.event_id, topic, source["aggregate_id"].encode(), since)
    trace.record = search(settings.kafka_bootstrap, dict(settings.kafka_options), wanted, most=most)


def _source(trace: Trace) -> Mapping[str, Any] | None:
    return trace.event or next(iter([*trace.deliveries, *trace.dead_letters]), None)
