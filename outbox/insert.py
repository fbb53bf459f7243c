"""What every host stack shares: the statement's parameters, the trace context, the warning, the remedies.

**Inserting never commits, flushes or opens a transaction**: the event lives or dies with the host's write. This
module runs nothing; an adapter in `outbox.hosts` runs the one statement on the connection that the host gave.
"""

import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from outbox import statements
from outbox.errors import OutsideTransactionWarning, UnsupportedHostError
from outbox.event import Event

STATEMENT = statements.load("outbox", "insert_events")
# The same for SQLAlchemy's text().
STATEMENT_WITH_COLONS = statements.load_with_colons("outbox", "insert_events")

# What a database says when the outbox was not set up for this host, by SQLSTATE, and what to do about it.
_REMEDIES = {
    "42P01": "the table outbox.event is missing in this database: run `outbox migrate up`",
    "3F000": "the schema outbox is missing in this database: run `outbox migrate up`",
    "42501": "this role may not insert events: grant it outbox_writer (`outbox migrate grants` prints how)",
    "25006": "this connection is read-only: insert events on the primary, in the transaction of the change",
}


# Parallel arrays, one element an event.
Parameters = dict[str, list[str] | list[str | None]]


@dataclass(frozen=True, slots=True)
class Insertion:
    """One statement's worth of events: its parameters, and the ids that the events have got."""

    parameters: Parameters
    event_ids: list[UUID]


def plan(events: Sequence[Event]) -> Insertion:
    """Return the parameters for inserting *events* in their order; events without an id get one."""
    trace = current_trace()
    ids = [event.event_id or uuid4() for event in events]
    parameters: Parameters = {
        "event_ids": [str(event_id) for event_id in ids],
        "aggregate_types": [event.aggregate_type for event in events],
        "aggregate_ids": [event.aggregate_id for event in events],
        "types": [event.type for event in events],
        "payloads": [event.payload_text for event in events],
        "headers": [_headers_text(event, trace) for event in events],
        "topics": [event.topic for event in events],
    }
    return Insertion(parameters, ids)


def _headers_text(event: Event, trace: dict[str, str]) -> str | None:
    """Return the headers as JSON text: the current trace context, unless the event brings its own."""
    headers = dict(event.headers) if "traceparent" in event.headers else {**event.headers, **trace}
    return json.dumps(headers) if headers else None


def current_trace() -> dict[str, str]:
    """Return the W3C trace context of the current OpenTelemetry span; nothing, if there is none.

    A span can be current only where the host has imported the API. So we look whether it has, instead of importing
    it: no dependency, and no import inside a host's transaction.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return {}
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    headers = {"traceparent": f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"}
    state = context.trace_state.to_header()
    return {**headers, "tracestate": state} if state else headers


def warn_outside_transaction(*, stack_level: int) -> None:
    """Warn the host's line that inserts while no transaction is open."""
    warnings.warn(
        "outbox.insert was called while no transaction was open: the event is not atomic with any change before it; "
        "begin the transaction, make the change, and insert the event last",
        OutsideTransactionWarning,
        stacklevel=stack_level + 1,
    )


def unsupported(got: str) -> UnsupportedHostError:
    """Return the error for a host that no adapter takes, with the way that is open to all of them."""
    error = UnsupportedHostError(got)
    error.add_note("any other program inserts the row by itself, in its own transaction: docs/how-to/insert-events.md")
    return error


def note_remedy(error: Exception) -> None:
    """Add to a driver's error what to do about it, where the cause is that the outbox was not set up for this host."""
    remedy = _REMEDIES.get(_sqlstate(error) or "")
    if remedy and remedy not in getattr(error, "__notes__", ()):
        error.add_note(remedy)


def _sqlstate(error: BaseException | None) -> str | None:
    """Return the SQLSTATE of an error or of what it wraps: SQLAlchemy keeps that in `orig`, Django as the cause."""
    for _ in range(4):
        if error is None:
            return None
        state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        if isinstance(state, str):
            return state
        error = getattr(error, "orig", None) or error.__cause__
    return None
