import sys
from collections.abc import Iterator
from types import SimpleNamespace

import psycopg
import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState
from sqlalchemy import create_engine
from sqlalchemy.orm import scoped_session, sessionmaker

import outbox
from outbox import Event, InvalidEventError, UnsupportedHostError
from outbox.insert import note_remedy, plan

EVENT = Event(aggregate_type="user", aggregate_id="42", type="t", payload={})
GIVEN = "00-11111111111111111111111111111111-2222222222222222-00"


@pytest.fixture
def span(request: pytest.FixtureRequest) -> Iterator[None]:
    state = TraceState([("vendor", "x")]) if getattr(request, "param", None) == "with state" else None
    context = SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1), trace_state=state)
    with trace.use_span(NonRecordingSpan(context)):
        yield


@pytest.mark.usefixtures("span")
def test_the_current_trace_goes_into_the_headers() -> None:
    assert plan([EVENT]).parameters["headers"] == [
        '{"traceparent": "00-00000000000000000000000000000abc-0000000000000def-01"}'
    ]


@pytest.mark.parametrize("span", ["with state"], indirect=True)
@pytest.mark.usefixtures("span")
def test_the_vendors_state_goes_with_it() -> None:
    assert '"tracestate": "vendor=x"' in str(plan([EVENT]).parameters["headers"][0])


@pytest.mark.usefixtures("span")
def test_a_traceparent_that_the_event_brings_is_kept() -> None:
    event = Event(aggregate_type="user", aggregate_id="42", type="t", payload={}, headers={"traceparent": GIVEN})

    assert plan([event]).parameters["headers"] == [f'{{"traceparent": "{GIVEN}"}}']


def test_without_a_current_span_there_is_no_header() -> None:
    assert plan([EVENT]).parameters["headers"] == [None]


def test_without_opentelemetry_there_is_no_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "opentelemetry.trace")

    assert plan([EVENT]).parameters["headers"] == [None]


def test_each_insertion_of_an_event_has_an_id_of_its_own() -> None:
    assert plan([EVENT]).event_ids != plan([EVENT]).event_ids


def test_an_unknown_host_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UnsupportedHostError, match=r"a psycopg Connection.*, got builtins\.object") as caught:
        outbox.insert(object(), EVENT)  # type: ignore[call-overload]  # the mistake in question

    assert "docs/how-to/insert-events.md" in caught.value.__notes__[0]


@pytest.mark.parametrize("host", [create_engine("sqlite://"), sessionmaker(), psycopg.Cursor, scoped_session])
def test_what_holds_no_transaction_is_refused(host: object) -> None:
    with pytest.raises(UnsupportedHostError):
        outbox.insert(host, EVENT)  # type: ignore[call-overload]  # the mistake in question


def test_another_database_is_refused_by_name() -> None:
    with (
        create_engine("sqlite://").begin() as connection,
        pytest.raises(UnsupportedHostError, match="got a connection to sqlite"),
    ):
        outbox.insert(connection, EVENT)


@pytest.mark.parametrize(
    ("events", "problem"), [({"a": 1}, "got dict"), ([EVENT, "x"], "element 1 .* got str"), (None, "got NoneType")]
)
def test_what_is_no_event_is_refused(events: object, problem: str) -> None:
    with pytest.raises(InvalidEventError, match=problem):
        outbox.insert("default", events)  # type: ignore[call-overload]  # the mistake in question


class WrappedError(Exception):
    """As SQLAlchemy wraps a driver's error, or Django does."""


def test_a_missing_table_is_noted_with_the_command_that_makes_it() -> None:
    error = WrappedError()
    error.orig = SimpleNamespace(sqlstate="42P01", __cause__=None)  # type: ignore[attr-defined]  # as SQLAlchemy does

    note_remedy(error)

    assert error.__notes__ == ["the table outbox.event is missing in this database: run `outbox migrate up`"]
