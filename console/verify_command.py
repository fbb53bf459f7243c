"""`outbox verify`."""

import re
from typing import Annotated

import typer

from console import output
from console.errors import NotJudgedError, UsageError
from console.moments import parse_moment
from console.options import AsJson
from console.verify.bounds import HOUR, Asked
from console.verify.outcome import MOST
from console.verify.running import verify as compare
from console.verify.view import document, render
from relay.settings import RelaySettings
from runtime.errors import DatabaseUnavailableError, KafkaUnavailableError
from runtime.exits import ExitCode

_FROM_TO = re.compile(r"(\d+)(?:-(\d+))?")


def verify(
    context: typer.Context,
    since: Annotated[
        str | None, typer.Option(help="Windows found since then: 30m, 2h, 3d, or a date. Default: the last hour.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Windows found before then; up to now when not given.")] = None,
    windows: Annotated[str | None, typer.Option(help="Windows by number, as 100-200.")] = None,
    ids: Annotated[str | None, typer.Option(help="The windows that carry rows of these ids, as 1-5000.")] = None,
    shard: Annotated[int | None, typer.Option(min=0, help="One shard only.")] = None,
    most: Annotated[int, typer.Option(min=1, help="Name so many findings of a kind; all are counted.")] = MOST,
    as_json: AsJson = False,
) -> None:
    """Compare a range of outbox.event with everything that read_committed consumers see of its topics.

    Each event once in its topic or a dead letter, none that PostgreSQL does not have, order per key, an unbroken chain
    of positions with the right barrier, count and digest. Changes nothing, commits no offsets, prints no payloads.

    Exit code 0: all of it is as it should be. 1: a promise is broken. 4: nothing wrong was found, and a part could not
    be judged; the report says which and why. 2: wrong usage or setting.
    """
    asked = _asked(since, until, windows, ids, shard)
    settings = RelaySettings.load(context.obj)
    try:
        outcome = compare(settings, asked, most=most)
    except (DatabaseUnavailableError, KafkaUnavailableError) as error:
        unjudged = NotJudgedError(str(error))
        for note in getattr(error, "__notes__", ()):
            unjudged.add_note(note)
        raise unjudged from None
    if as_json:
        output.print_json(document(outcome))
    else:
        output.stdout().print(render(outcome), soft_wrap=True)
    if outcome.code is not ExitCode.DONE:
        raise typer.Exit(outcome.code)


def _asked(since: str | None, until: str | None, windows: str | None, ids: str | None, shard: int | None) -> Asked:
    ways = [given for given in (since or until, windows, ids) if given is not None]
    if len(ways) > 1:
        raise UsageError("expected one of a time (--since, --until), --windows and --ids, got several")
    return Asked(
        since=parse_moment(since, option="--since") if since else HOUR,
        until=parse_moment(until, option="--until") if until else None,
        windows=_from_to(windows, "--windows"),
        ids=_from_to(ids, "--ids"),
        shard=shard,
    )


def _from_to(text: str | None, option: str) -> tuple[int, int] | None:
    if text is None:
        return None
    found = _FROM_TO.fullmatch(text.strip())
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if first > last:
        raise UsageError(f"expected {option} to be a number, or two as 100-200, got {text!r}")
    return first, last
