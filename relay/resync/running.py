"""`outbox relay resync` as a whole: what each choice would do, and doing the one that was agreed to."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from outbox.envelope import Route
from relay.errors import SourceUnavailableError
from relay.hanging import find
from relay.lease import Installation
from relay.leases import Session
from relay.progress import ensure_progress_topic
from relay.publisher import Sink
from relay.resync.deciding import (
    Candidate,
    Choice,
    Effects,
    Identity,
    Refused,
    Situation,
    Target,
    base,
    effects,
    target,
)
from relay.resync.errors import PositionHangsError
from relay.resync.looking import candidates, judge_identity, read_records, situation
from relay.resync.reading import found_in
from relay.resync.writing import Plan, Tools, carry_out
from relay.service import kafka_options, open_topics, open_transactions
from relay.settings import RelaySettings
from relay.sink import KafkaSink
from relay.telemetry import Observer, Telemetry
from relay.undecided import END_IT
from relay.window import Position
from runtime.connecting import check_kafka
from runtime.schema_version import require_schema


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for; *choice* None: every one is shown, and none is made."""

    shards: tuple[int, ...] | None  # None: all
    choice: Choice | None
    identity: Identity
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Offer:
    """One choice for one shard, and what it would do; *refused* says why it cannot be made."""

    choice: Choice
    target: Target | None
    effects: Effects | None
    refused: str | None


@dataclass(frozen=True, slots=True)
class Survey:
    """One shard as it is, and what can be done."""

    seen: Situation
    installation: Installation  # as it will be
    halted_reason: str | None
    base: Position
    forgettable: int  # what `beginning` publishes again of what an earlier resync left out
    offers: tuple[Offer, ...]

    def plan(self, choice: Choice, reason: str) -> Plan | str:
        """Return what is to be carried out for *choice*, or why it cannot be."""
        offer = next(one for one in self.offers if one.choice is choice)
        if offer.target is None or offer.effects is None:
            return offer.refused or ""
        return Plan(self.seen, self.installation, offer.target, offer.effects, reason)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A shard before the topics are looked at."""

    survey: Survey
    concerned: Mapping[Choice, Sequence[Candidate]]


def look(env: Mapping[str, str], request: Request) -> list[Survey]:
    """Return what each choice would do for each shard that is asked for; changes nothing."""
    settings = RelaySettings.load(env)
    check_kafka(settings.kafka_bootstrap, settings.kafka_options)
    drafts = _drafts(settings, request)
    wanted, topics = set[str](), set[str]()
    for draft in drafts:
        for some in draft.concerned.values():
            wanted.update(one.event_id for one in some)
            topics.update(one.topic for one in some)
    found = found_in(kafka_options(settings), topics, wanted, since=request.since) if wanted else frozenset[str]()
    return [_survey(draft, found) for draft in drafts]


def execute(
    env: Mapping[str, str], plans: Sequence[Plan], *, done: Callable[[Plan], None], observers: Sequence[Observer] = ()
) -> None:
    """Give each shard its new position, one after the other, and say *done* of each."""
    settings = RelaySettings.load(env)
    telemetry = Telemetry(*observers)
    tools = _tools(settings, telemetry)
    for plan in plans:
        carry_out(plan, tools, telemetry.of_shard(plan.shard))
        done(plan)


def _drafts(settings: RelaySettings, request: Request) -> list[_Draft]:
    options, route = kafka_options(settings), Route(settings.relay_route)
    session = Session.open(settings.database_url, name="resync")
    try:
        require_schema(session.connection)
        former = session.installation()
        lives = bool((session.row("resync_facts", shard=0) or {}).get("original_lives"))
        after = judge_identity(session.facts(), former, request.identity, original_lives=lives)
    finally:
        session.close()
    if request.identity is Identity.NEW:
        after = replace(after, install=str(uuid.uuid4()))
    return [
        _draft(settings, request, former=former, after=after, shard=shard, route=route, options=options)
        for shard in request.shards or range(former.shards)
    ]


def _draft(
    settings: RelaySettings,
    request: Request,
    *,
    former: Installation,
    after: Installation,
    shard: int,
    route: Route,
    options: Mapping[str, str],
) -> _Draft:
    """Return what is known of *shard*, and which events each choice concerns."""
    _require_that_nothing_hangs(settings, former, shard)
    records = read_records(options, former, shard)
    # Kafka is asked without a session: the server ends one that is silent for as long as that may take.
    session = Session.open(settings.database_url, name="resync")
    try:
        seen = situation(session, records, former, shard)
        start, _ = base(seen)
        targets = {choice: target(seen, choice) for choice in ([request.choice] if request.choice else Choice)}
        concerned = {
            choice: candidates(
                session, shard=shard, shards=former.shards, position=one.position, base=start, route=route
            )
            for choice, one in targets.items()
            if isinstance(one, Target)
        }
        halted = (session.row("mirror", shard=shard) or {}).get("halted_reason")
        forgettable = int(session.one("resync_forgettable", shard=shard)["count"])
    finally:
        session.close()
    offers = tuple(
        Offer(choice, None, None, one.reason) if isinstance(one, Refused) else Offer(choice, one, None, None)
        for choice, one in targets.items()
    )
    return _Draft(Survey(seen, after, halted, start, forgettable, offers), concerned)


def _require_that_nothing_hangs(settings: RelaySettings, installation: Installation, shard: int) -> None:
    """Raise PositionHangsError, if a transaction hangs before the position: our marker would commit it unseen."""
    transactions = open_transactions(settings)
    if transactions.unable is None and (found := find(transactions, [(installation.progress_topic, shard)])):
        error = PositionHangsError(shard, str(found[0]))
        error.add_note(f"`{END_IT}` ends it as it is proven to have ended; then look again")
        raise error


def _survey(draft: _Draft, found: frozenset[str]) -> Survey:
    offers = tuple(
        offer
        if offer.target is None
        else replace(offer, effects=effects(offer.choice, draft.concerned[offer.choice], found))
        for offer in draft.survey.offers
    )
    return replace(draft.survey, offers=offers)


def _tools(settings: RelaySettings, telemetry: Telemetry) -> Tools:
    topics, options = open_topics(settings, telemetry), kafka_options(settings)

    def make_sink(installation: Installation, transactional_id: str, shard: int) -> Sink:
        return KafkaSink(
            options=options,
            transactional_id=transactional_id,
            progress_topic=installation.progress_topic,
            partition=shard,
            largest=topics.largest,
            batch=topics.batch,
            telemetry=telemetry,
        )

    def open_session(name: str) -> Session:
        try:
            return Session.open(settings.database_url, name=name)
        except SourceUnavailableError as error:
            error.add_note("nothing was changed")
            raise

    return Tools(
        open_session=open_session,
        make_sink=make_sink,
        options=options,
        ensure_topic=lambda installation: ensure_progress_topic(topics, installation, bootstrapped=False),
    )
