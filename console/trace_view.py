"""A trace as a story, from commit to inbox."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from console.dead_view import attempts
from console.output import NOTHING, counted, moment
from console.record_search import Search
from console.trace import Trace

_WIDTH = 12


def render(trace: Trace) -> Group:
    """Return what `outbox trace` prints."""
    return Group(*_steps(trace))


def _steps(trace: Trace) -> Iterator[RenderableType]:
    yield Text(f"Event {trace.event_id}", style="bold")
    if trace.scheduled:
        yield _step("scheduled", f"kept aside until {moment(trace.scheduled['due_at'])}")
    yield from _committed(trace)
    if trace.record:
        yield from _record(trace.record)
    for delivery in trace.deliveries:
        yield from _delivery(delivery)
    if not trace.deliveries and trace.record and trace.record.found:
        yield _step("deliveries", "none: no mail is owed, or the mailer has not come so far", style="dim")
    for letter in trace.dead_letters:
        yield from _dead_letter(letter)
    for note in trace.notes:
        yield _step("note", note, style="dim")


def _committed(trace: Trace) -> Iterator[Text]:
    event = trace.event
    if event is None:
        if not trace.scheduled:
            yield _step("committed", "its row is gone: retention deletes what is published", style="dim")
        return
    yield _step(
        "inserted",
        f"{moment(event['created_at'])}, {event['type']} of {event['aggregate_type']}:{event['aggregate_id']}",
    )
    yield _step("committed", f"by transaction {event['tx']}, row {event['row_id']}, shard {event['shard']}")
    if event["redriven_from"]:
        yield _step("redriven", f"from event {event['redriven_from']}")
    if event["traceparent"]:
        yield _step("traceparent", event["traceparent"])
    if trace.window:
        window = trace.window
        carried = f"{window['seq']:,} of epoch {window['epoch']}, {counted(window['n'], 'event')}"
        yield _step("window", f"{carried}, found {moment(window['at'])}")
    elif trace.published:
        yield _step("window", "no longer kept", style="dim")
    if trace.published:
        yield _step("published", "yes: the position has passed it", style="green")
    elif any(letter["stage"] == "publish" for letter in trace.dead_letters):
        yield _step("published", "no: it is a dead letter", style="red")
    else:
        yield _step("published", "not yet", style="yellow")


def _record(record: Search) -> Iterator[Text]:
    found = record.found
    if found:
        yield _step(
            "record",
            f"topic {found.topic}, partition {found.partition}, offset {found.offset:,}, {moment(found.at)}",
            style="green",
        )
        read = {
            True: "read by the mailer",
            False: "not read by the mailer yet",
            None: "the mailer has read nothing of that partition",
        }
        yield _step("consumed", read[found.mailer_read_past], style="green" if found.mailer_read_past else "yellow")
    elif not record.topic_exists:
        yield _step("record", f"topic {record.topic} does not exist", style="yellow")
    elif record.complete:
        yield _step(
            "record", f"not in topic {record.topic} (any more): {record.looked_at:,} records looked at", style="yellow"
        )
    else:
        yield _step(
            "record",
            f"not among {record.looked_at:,} records of topic {record.topic}: go on with --most",
            style="yellow",
        )


def _delivery(delivery: Mapping[str, Any]) -> Iterator[RenderableType]:
    style = {"sent": "green", "dead": "red", "in_doubt": "yellow"}.get(delivery["state"], "")
    when = moment(delivery["finished_at"] or delivery["next_attempt_at"])
    state = delivery["state"].replace("_", " ")
    due = f"due {when}" if delivery["state"] == "queued" else when
    yield _step("delivery", f"{delivery['id']}, mail {delivery['mail']}: {state}, {due}", style=style)
    if delivery["attempts"]:
        yield attempts(delivery["attempts"])


def _dead_letter(letter: Mapping[str, Any]) -> Iterator[Text]:
    end = (
        f"{letter['resolution']} by {letter['resolved_by']}: {letter['resolution_reason']}"
        if letter["resolution"]
        else "unresolved"
    )
    detail = f" ({letter['detail']})" if letter["detail"] else ""
    yield _step(
        "dead letter",
        f"{letter['id']}, {letter['stage']}/{letter['reason']}{detail}, {moment(letter['created_at'])}: {end}",
        style="red",
    )
    if letter["redriven_event_id"]:
        yield _step("", f"published again as event {letter['redriven_event_id']}")


def _step(name: str, text: str, *, style: str = "") -> Text:
    return Text.assemble((f"{name:<{_WIDTH}}", "dim"), (text or NOTHING, style))
