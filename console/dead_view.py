"""Dead letters as a person reads them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from console.dead import Action, Page, Plan
from console.output import NOTHING, counted, moment, plain, table


def render_page(page: Page) -> Group:
    """Return what `outbox dead ls` prints."""
    if not page.dead_letters:
        return Group(Text("no dead letters match", style="green"))
    rows = table("#id", "failed at", "stage", "reason", "type", "aggregate", "mail", "#tries", "state")
    for letter in page.dead_letters:
        rows.add_row(*_row(letter))
    number = f"{'at least ' if page.at_least else ''}{page.matched:,}"
    more = f"; the next with --before {page.next_before}" if page.next_before else ""
    return Group(rows, Text(f"{len(page.dead_letters):,} of {number}{more}", style="dim"))


def render_plan(plan: Plan, *, action: Action) -> Group:
    """Return what is going to be resolved."""
    if not plan.ids:
        return Group(Text("nothing matches", style="green"))
    parts: list[RenderableType] = [Text(f"to {action}: {counted(len(plan.ids), 'dead letter')}", style="bold")]
    if plan.kinds:
        kinds = table("stage", "reason", "type", "#count")
        for stage, reason, event_type, number in plan.kinds:
            kinds.add_row(stage, reason, event_type or NOTHING, f"{number:,}")
        parts.append(kinds)
    if plan.unfit:
        parts.append(Text(f"{plan.unfit:,} of them not there, or resolved already: refused", style="yellow"))
    if plan.held_behind:
        parts.append(Text(f"{plan.held_behind:,} held behind others follow their heads by themselves", style="dim"))
    return Group(*parts)


def render_whole(whole: Mapping[str, Any]) -> Group:
    """Return what `outbox dead show` prints."""
    return Group(*_sections(whole))


def facts(values: Mapping[str, Any]) -> Table:
    """Return names and values, one a line; what is empty is left out."""
    made = Table.grid(padding=(0, 2))
    for name, value in values.items():
        if value is not None and value is not False:
            made.add_row(Text(name.replace("_", " "), style="dim"), _value(value))
    return made


def attempts(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return every attempt with its reply."""
    made = table("cycle", "#try", "at", "transport", "phase", "reply", "outcome", "detail", title="Attempts")
    for row in rows:
        reply = " ".join(str(part) for part in (row["code"], row["enhanced_code"]) if part) or NOTHING
        tried = (str(row["cycle"]), str(row["attempt"]), moment(row["at"]), row["transport"], row["phase"])
        made.add_row(*tried, reply, row["outcome"], row["detail"] or NOTHING)
    return made


def _sections(whole: Mapping[str, Any]) -> Iterator[RenderableType]:
    letter = whole["dead_letter"]
    yield Text(f"Dead letter {letter['id']}: {_state(letter)}", style="bold")
    yield facts({name: value for name, value in letter.items() if name not in {"id", "held_behind"}})
    if letter["held_behind"]:
        yield Text(f"{letter['held_behind']:,} later events of the same key wait behind it", style="yellow")
    if whole["delivery"]:
        yield Text()
        yield Text(f"Delivery {whole['delivery']['id']}", style="bold")
        yield facts({name: value for name, value in whole["delivery"].items() if name != "id"})
    if whole["attempts"]:
        yield Text()
        yield attempts(whole["attempts"])
    if whole["actions"]:
        done = table("at", "who", "action", "reason", title="Done by operators")
        for action in whole["actions"]:
            done.add_row(moment(action["at"]), action["actor"], action["action"], action["reason"] or NOTHING)
        yield Text()
        yield done
    yield Text()
    if whole.get("content"):
        yield Text("Content", style="bold")
        yield facts(whole["content"])
    else:
        yield Text("payload and headers are shown with --payload", style="dim")


def _state(letter: Mapping[str, Any]) -> str:
    if letter["resolution"]:
        return f"{letter['resolution']}, under way" if letter["redrive_pending"] else str(letter["resolution"])
    if letter["behind"]:
        return f"held behind {letter['behind']}"
    return "parks its key" if letter["parks"] else "unresolved"


def _row(letter: Mapping[str, Any]) -> Iterator[str]:
    for name in ("id", "created_at", "stage", "reason", "type"):
        yield _value(letter[name])
    yield _aggregate(letter)
    yield from (_value(letter["mail"]), _value(letter["attempts"]), _state(letter))


def _aggregate(letter: Mapping[str, Any]) -> str:
    if letter["aggregate_type"] is None:
        return NOTHING
    return f"{letter['aggregate_type']}:{letter['aggregate_id']}"


def _value(value: object) -> str:
    match value:
        case None | "":
            return NOTHING
        case datetime():
            return moment(value)
        case _:
            return str(plain(value))
