"""`outbox topics …`: make topics before anybody needs them, and see whether they carry the guarantee."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from relay.errors import RecordRefusedError
from relay.leases import Session
from relay.service import open_topics
from relay.settings import RelaySettings
from relay.telemetry import Telemetry
from relay.topics import TopicFacts, Topics
from runtime.exits import ExitCode

app = typer.Typer(help="Kafka's topics.", no_args_is_help=True)
_THREE = 3


@app.callback()
def _topics() -> None:
    """Kafka's topics."""


@app.command()
def ensure(
    context: typer.Context,
    topics: Annotated[
        list[str] | None, typer.Argument(help="Topics; without any, those of the events there are.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,  # noqa: FBT002
) -> None:
    """Create missing topics, and check partitions, replication and min.insync.replicas of all of them."""
    settings = RelaySettings.load(context.obj)
    cluster = open_topics(settings, Telemetry())
    brokers = cluster.ping()
    found = [_ensured(cluster, topic, brokers) for topic in topics or _routed(settings)]
    if as_json:
        typer.echo(json.dumps([asdict(line) for line in found]))
    for line in found if not as_json else ():
        typer.echo(f"{'problem' if line.problems else 'ok     '} {line.topic}: {line.state}")
        for problem in line.problems:
            typer.echo(f"          {problem}")
    raise typer.Exit(ExitCode.FAILED if any(line.problems for line in found) else ExitCode.DONE)


@dataclass(frozen=True, slots=True)
class Ensured:
    """A topic as it is now, and what is wrong with it."""

    topic: str
    state: str
    problems: tuple[str, ...]


def _ensured(cluster: Topics, topic: str, brokers: int) -> Ensured:
    """Return what a topic is like now, and what is wrong with it."""
    try:
        facts = cluster.describe(topic)
        made = facts is None
        if facts is None:
            cluster.create(topic)
            facts = cluster.described(topic)
    except RecordRefusedError as error:
        return Ensured(topic, "refused", (error.detail,))
    state = f"{'created' if made else 'exists'}, {facts.partitions} partitions, replication {facts.replication}"
    return Ensured(topic, state, tuple(_problems(facts, brokers)))


def _problems(facts: TopicFacts, brokers: int) -> list[str]:
    """Return what of a topic's settings loses what Kafka has acknowledged."""
    problems = []
    insync = int(facts.settings.get("min.insync.replicas", "1"))
    if brokers >= _THREE and facts.replication < _THREE:
        problems.append(f"expected replication 3, got {facts.replication}: one broker lost is events lost")
    if facts.replication >= _THREE and insync < _THREE - 1:
        problems.append(f"expected min.insync.replicas 2, got {insync}: one broker lost is events lost")
    if insync > max(facts.replication, 1):
        problems.append(
            f"min.insync.replicas {insync} is more than replication {facts.replication}: nothing can be written"
        )
    if facts.settings.get("unclean.leader.election.enable") == "true":
        problems.append(
            "expected unclean.leader.election.enable false, got true: a late replica may win and lose events"
        )
    return problems


def _routed(settings: RelaySettings) -> Sequence[str]:
    """Return the topics that the events in the table are meant for."""
    from outbox.envelope import Route  # noqa: PLC0415  # with the next lines: what only this command needs

    route = Route(settings.relay_route)
    session = Session.open(settings.database_url, name="topics")
    try:
        rows = session.rows("topics_of_events")
    finally:
        session.close()
    return sorted({row["topic"] or route.topic(row["aggregate_type"], row["type"]) for row in rows})
