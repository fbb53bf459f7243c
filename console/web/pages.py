"""What the pages show and do, without HTTP: values for templates, and one audited transaction an action."""

from collections.abc import Mapping
from typing import Any

from console import dead, status
from console.database import Database
from console.dead_filter import Filter
from console.errors import UsageError
from console.moments import parse_moment
from console.settings import ConsoleSettings

PAGE_ROWS = 50
# More than this is the command's to do, which shows progress and can be stopped.
MOST_AT_ONCE = 1_000
FIELDS = ("stage", "reason", "type", "mail", "since", "until")


def filter_of(given: Mapping[str, str]) -> Filter:
    """Return the filter that a query or a form names."""
    values: dict[str, Any] = {name: given[name].strip() for name in FIELDS if given.get(name, "").strip()}
    for name in ("since", "until"):
        if name in values:
            values[name] = parse_moment(values[name], option=name)
    return Filter(**values)


def status_page(settings: ConsoleSettings) -> dict[str, Any]:
    """Return what the first page shows."""
    with Database.open(settings.database_url) as database:
        return {"status": status.read(database)}


def list_page(settings: ConsoleSettings, query: Mapping[str, str]) -> dict[str, Any]:
    """Return the dead letters that *query* filters, and the next page's place."""
    before = query.get("before", "")
    with Database.open(settings.database_url) as database:
        page = dead.listed(
            database,
            filter_of(query),
            resolved=bool(query.get("resolved")),
            before=int(before) if before.isdecimal() else None,
            limit=PAGE_ROWS,
        )
    return {"page": page, "query": {name: query[name] for name in (*FIELDS, "resolved") if query.get(name)}}


def show_page(settings: ConsoleSettings, dead_letter_id: int) -> dict[str, Any]:
    """Return everything about one dead letter but its content."""
    with Database.open(settings.database_url) as database:
        return dead.shown(database, dead_letter_id, content=False)


def plan_page(settings: ConsoleSettings, query: Mapping[str, str], *, action: dead.Action) -> dict[str, Any]:
    """Return what *action* would resolve: the count is agreed to before anything changes."""
    wanted = filter_of(query)
    if wanted.is_empty:
        raise UsageError(f"expected a filter to say which dead letters to {action}")
    with Database.open(settings.database_url) as database:
        plan = dead.plan(database, wanted, action=action)
    return {
        "plan": plan,
        "action": action,
        "query": {name: query[name] for name in FIELDS if query.get(name)},
        "most": MOST_AT_ONCE,
    }


def act(settings: ConsoleSettings, form: Mapping[str, str], *, actor: str) -> dict[str, Any]:
    """Redrive or discard one dead letter or those of a filter, under *actor*'s name; return what came of each."""
    action: dead.Action = "redrive" if form.get("action") == "redrive" else "discard"
    reason = form.get("why", "").strip()  # not `reason`: a filter has that field too
    if not reason:
        raise UsageError("expected a reason, got none")
    with Database.open(settings.database_url) as database:
        ids = _ids(database, form, action=action)
        with database.transaction():
            database.one("set_actor", actor=actor)
            rows = database.rows(f"{action}_many", ids=ids, reason=reason)
    return {"action": action, "outcomes": rows, "done": sum(row["done"] for row in rows)}


def _ids(database: Database, form: Mapping[str, str], *, action: dead.Action) -> list[int]:
    """Return the ids that the form means; what a filter matches must still be as many as were agreed to."""
    if form.get("id", "").isdecimal():
        return [int(form["id"])]
    wanted = filter_of(form)
    if wanted.is_empty:
        raise UsageError(f"expected an id or a filter to say which dead letters to {action}")
    ids = dead.plan(database, wanted, action=action).ids
    if len(ids) > MOST_AT_ONCE:
        raise UsageError(
            f"expected at most {MOST_AT_ONCE} dead letters at once, got {len(ids)}: use `outbox dead {action}`"
        )
    if form.get("agreed") != str(len(ids)):
        raise UsageError(
            f"expected {form.get('agreed') or 'no'} dead letters to match, got {len(ids)}: look again before you agree"
        )
    return ids
