"""Drain a lane: claim what is due, send it window by window, and record what came of it.

A window is what is sent at a time. One commit records the outcomes of the last window and marks the next one `sending`:
what a crash leaves in doubt is one window at most. A message is sent only while its row says `sending` under our
token; a row that did not come back was taken over, and we do nothing for it.

Where transports have a limit, a window reserves its slots before it is marked, waits for the first of them, and then
sends each message in its slot. What another transport is asked for after a failure counts against that one's limit
afterwards: its next slots begin later.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import chain, islice
from typing import Protocol, TypeVar
from uuid import UUID

from mailer.backoff import Backoff
from mailer.database import DATABASE_AWAY
from mailer.delivery import Dead, Try, judge
from mailer.errors import UnsendableMailError
from mailer.pacing import Limits
from mailer.reply import OutgoingMessage
from mailer.routing import Breaker, Route, Wait, route
from mailer.sending import Made, Sender, against, send
from mailer.store import BreakerRow, Claim, Failures, Intent, Outcome
from mailer.telemetry import logger

T = TypeVar("T")
# Seconds between two tries to reach the database again, while outcomes wait to be recorded.
_RECONNECT_SECONDS = 0.5
# A window starts in the first half of the lease, so that its slowest server has the other half.
_WINDOWS_START_WITHIN = 0.5
# What was sent already is counted, however long the line is.
_WHATEVER = timedelta(days=3650)


class Deliveries(Protocol):
    """What a drain needs of the store: `mailer.store.Store` says what each does."""

    def take_permit(self, permit: UUID) -> bool: ...  # noqa: D102 - the store's words
    def claim(self, lane: str, *, limit: int) -> tuple[tuple[Claim, ...], bool]: ...  # noqa: D102
    def record(  # noqa: D102
        self, outcomes: Sequence[Outcome], failures: Sequence[Failures], recovered: Sequence[str]
    ) -> set[int]: ...
    def record_and_intend(  # noqa: D102
        self,
        outcomes: Sequence[Outcome],
        failures: Sequence[Failures],
        recovered: Sequence[str],
        intents: Sequence[Intent],
    ) -> tuple[set[int], set[int]]: ...
    def release(self, claims: Sequence[Claim], *, pause: timedelta) -> None: ...  # noqa: D102
    def breakers(self) -> Mapping[str, BreakerRow]: ...  # noqa: D102
    def probe(self, transport: str) -> bool: ...  # noqa: D102
    def reserve(self, seconds: Mapping[str, float], *, patience: timedelta) -> Mapping[str, float]: ...  # noqa: D102


class Composer(Protocol):
    """Makes what is sent of a claim."""

    def content(self, claim: Claim) -> tuple[bytes, str]:
        """Return the message's bytes and the version of its templates; raise UnsendableMailError if there are none."""
        ...

    def outgoing(self, claim: Claim, content: bytes) -> OutgoingMessage:
        """Return the message with its envelope."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How much, how long, how often."""

    claim: int
    window: int
    lease: timedelta
    backoff: Backoff
    # A permit is good for one claim, and for another as long as this is not over: the way through the broker takes
    # longer than a claim. Short, for permits of more urgent lanes wait behind it.
    permit: timedelta = timedelta(seconds=0.5)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Means:
    """What a worker process has to drain with; *wait* waits that many seconds, *jitter* returns one of [0, 1).

    *orders* are those in which the names of *transports* may be tried: one, unless some take turns.
    """

    store: Deliveries
    composer: Composer
    transports: Mapping[str, Sender]
    orders: Sequence[tuple[str, ...]]
    executor: Executor
    pace: Pace
    jitter: Callable[[], float]
    wait: Callable[[float], object]


@dataclass(frozen=True, slots=True)
class _Going:
    """A claim that is part of a window, with its way, its bytes, and how many seconds after the window it may go."""

    intent: Intent
    names: tuple[str, ...]
    message: OutgoingMessage
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class _Past:
    """What the next commit has to say of the window that was sent last."""

    outcomes: tuple[Outcome, ...] = ()
    failures: tuple[Failures, ...] = ()
    recovered: tuple[str, ...] = ()


def drain(means: Means, *, lane: str, permit: UUID) -> bool:
    """Use up *permit* on *lane*, and return whether there is probably more to do."""
    if not means.store.take_permit(permit):
        return False
    ends_at = time.monotonic() + means.pace.permit.total_seconds()
    while True:
        claims, more = means.store.claim(lane, limit=means.pace.claim)
        if claims:
            batch = _Batch(means, claims)
            batch.deliver()
            logger().debug("mailer.permit.ended", lane=lane, claimed=len(claims))
            if batch.turned_away or batch.made_way:
                return batch.made_way
        if not more or time.monotonic() > ends_at:
            return more


class _Batch:
    """The claims of one permit, on their way."""

    def __init__(self, means: Means, claims: Sequence[Claim]) -> None:
        self._means = means
        self._claims = deque(claims)
        self._began = time.monotonic()
        self._contents: dict[int, tuple[bytes, str | None] | Dead] = {}
        self._log = logger()
        self._limited = False
        # There was no slot for it: nothing of the lane need be claimed before the sweeper finds it due again.
        self.turned_away = False
        # Limits kept it here for long: the rest went back, so that other lanes may come first.
        self.made_way = False

    def deliver(self) -> None:
        """Send every claim, window by window; what there is no time or no transport for goes back to the queue."""
        past = _Past()
        while self._claims:
            if past.failures or past.recovered:  # the next window is to know
                self._record(past)
                past = _Past()
            if self._is_over():
                self._release_rest(timedelta(0))
                break
            breakers = self._insist(self._means.store.breakers)
            window, probing, dead = self._next_window(breakers)
            if self._means.pace.limits.bind(one.names[0] for one in window):
                self._limited = True
                if probing is None:
                    window, wait = self._in_turn(window)
                    if wait > 0:
                        self._record(past)  # it need not wait with us
                        past = _Past()
                        self._means.wait(wait)
            stands = self._intend(past, window, dead)
            past = self._send([one for one in window if one.intent.claim.id in stands], breakers, probing)
        self._record(past)

    def _is_over(self) -> bool:
        """Return whether no window may start any more."""
        self.made_way = self._limited and self._elapsed() > self._means.pace.limits.line
        return self.made_way or self._elapsed() > self._means.pace.lease * _WINDOWS_START_WITHIN

    def _release_rest(self, pause: timedelta) -> None:
        waiting, self._claims = list(self._claims), deque()
        if waiting:
            self._release(waiting, pause)

    # ------------------------------------------------------------------------------------- its turn, under limits

    def _in_turn(self, window: Sequence[_Going]) -> tuple[list[_Going], float]:
        """Reserve slots for *window*; return what has one, and in how many seconds the first may go."""
        limits = self._means.pace.limits
        window = self._fitting(window)
        names = [one.names[0] for one in window]
        starts = limits.starts(names, self._reserve(names, patience=limits.line))
        if refused := [one for one, start in zip(window, starts, strict=True) if start is None]:
            self._turn_away(refused, all_of_it=len(refused) == len(window))
        wait = min((start for start in starts if start is not None), default=0.0)
        going = [
            replace(one, after=start - wait) for one, start in zip(window, starts, strict=True) if start is not None
        ]
        return going, wait

    def _fitting(self, window: Sequence[_Going]) -> list[_Going]:
        """Return what of *window* fits in the lines of its transports; the rest belongs to the next window."""
        fits = self._means.pace.limits.fitting([one.names[0] for one in window])
        beyond = [one.intent.claim for one, fit in zip(window, fits, strict=True) if not fit]
        self._claims.extendleft(reversed(beyond))
        return [one for one, fit in zip(window, fits, strict=True) if fit]

    def _turn_away(self, refused: Sequence[_Going], *, all_of_it: bool) -> None:
        """Give *refused* back, for their transports' lines are full; the rest too when no other transport is in use."""
        pause = self._means.pace.limits.pause(one.names[0] for one in refused)
        self.turned_away = True
        self._release([one.intent.claim for one in refused], pause)
        if all_of_it:
            self._release_rest(pause)

    def _count(self, names: Iterable[str]) -> None:
        """Count messages for *names* that were sent without a slot."""
        names = list(names)
        if self._means.pace.limits.bind(names):
            self._reserve(names, patience=_WHATEVER)

    def _reserve(self, names: Sequence[str], *, patience: timedelta) -> Mapping[str, float]:
        seconds = self._means.pace.limits.seconds(names)
        return self._insist(lambda: self._means.store.reserve(seconds, patience=patience))

    # ---------------------------------------------------------------------------------------- what goes next

    def _next_window(self, breakers: Mapping[str, BreakerRow]) -> tuple[list[_Going], str | None, list[Outcome]]:
        """Take the next window off the claims: what goes, what is being probed, and what cannot be made at all."""
        states = {row.name: Breaker(row.breaker, row.retry_in) for row in breakers.values()}
        # The first claim's order decides what is probed: where transports take turns, each comes first some time.
        way = self._way(states, self._order(self._claims[0]), None)
        if isinstance(way, Wait):
            self._release_rest(way.pause)
            return [], None, []
        window: list[_Going] = []
        dead: list[Outcome] = []
        for claim in self._take(1 if way.probing else self._means.pace.window):
            own = self._own(claim, states, way)
            content = self._content(claim)
            if isinstance(own, Wait):
                self._release([claim], own.pause)
            elif isinstance(content, Dead):
                dead.append(Outcome(claim, content))
            else:
                intent = Intent(claim, *content, own.names[0])
                window.append(_Going(intent, own.names, self._means.composer.outgoing(claim, content[0])))
        return window, way.probing, dead

    def _own(self, claim: Claim, states: Mapping[str, Breaker], way: Route) -> Route | Wait:
        """Return the way of *claim*: that of the window, in its own order, unless it is bound to one transport."""
        if claim.pinned_transport in self._means.transports:
            return self._way(states, self._order(claim), claim.pinned_transport)
        if way.probing:
            return way
        return Route(tuple(name for name in self._order(claim) if name in way.names))

    def _order(self, claim: Claim) -> tuple[str, ...]:
        """Return the names of the transports as *claim* prefers them, another way round at each attempt."""
        return self._means.orders[(claim.id + claim.attempt) % len(self._means.orders)]

    def _way(self, states: Mapping[str, Breaker], order: Sequence[str], pinned: str | None) -> Route | Wait:
        return route(order, breakers=states, probe=self._probe, pinned=pinned)

    def _probe(self, transport: str) -> bool:
        return self._insist(lambda: self._means.store.probe(transport))

    def _take(self, count: int) -> list[Claim]:
        return [self._claims.popleft() for _ in range(min(count, len(self._claims)))]

    def _content(self, claim: Claim) -> tuple[bytes, str | None] | Dead:
        """Return what is sent of *claim*: what was rendered at its first attempt, or else what is rendered now."""
        if claim.id not in self._contents:
            self._contents[claim.id] = self._made(claim)
        return self._contents[claim.id]

    def _made(self, claim: Claim) -> tuple[bytes, str | None] | Dead:
        if claim.content is not None:
            return claim.content, None
        try:
            return self._means.composer.content(claim)
        except UnsendableMailError as error:
            return Dead("unsendable", str(error))
        except Exception as error:  # noqa: BLE001 - a window may be under way: one mail's surprise must not lose it
            self._log.error("mailer.delivery.surprised", delivery=claim.id, mail=claim.mail, error=type(error).__name__)
            return Dead("unsendable", f"{type(error).__name__} while it was made")

    # ----------------------------------------------------------------------------------- sending and judging

    def _send(self, window: Sequence[_Going], breakers: Mapping[str, BreakerRow], probing: str | None) -> _Past:
        """Send *window* in threads; while they wait for servers, render the next one."""
        senders = self._means.transports
        waiting = [
            self._means.executor.submit(self._send_at, one, [senders[name] for name in one.names]) for one in window
        ]
        for claim in islice(self._claims, self._means.pace.window):
            self._content(claim)
        made = [future.result() for future in waiting]
        # A probe went without a slot; so did what was asked of another transport when the first had failed.
        self._count(one.reply.transport for tries in made for one in tries[0 if probing is not None else 1 :])
        failures, recovered = against(chain.from_iterable(made), breakers=breakers, probing=probing)
        outcomes = tuple(self._outcome(one, tries) for one, tries in zip(window, made, strict=True))
        return _Past(outcomes, failures, recovered)

    def _send_at(self, going: _Going, senders: Sequence[Sender]) -> tuple[Made, ...]:
        if going.after > 0:
            self._means.wait(going.after)
        return send(going.message, senders)

    def _outcome(self, going: _Going, made: Sequence[Made]) -> Outcome:
        now = time.monotonic()
        claim = going.intent.claim
        verdict = judge(
            [Try(one.reply.transport, one.judgement, one.reply.text) for one in made],
            attempt=claim.attempt + 1,
            left=claim.left - self._elapsed(),
            backoff=self._means.pace.backoff,
            jitter=self._means.jitter(),
        )
        for one in made:
            if one.judgement.meaning.alarms:
                self._log.warning(
                    "mailer.transport.alarmed",
                    transport=one.reply.transport,
                    reason=one.judgement.meaning.reason,
                    code=one.reply.code,
                    enhanced_code=one.reply.enhanced,
                )
        if isinstance(verdict, Dead) and going.message.recipient != claim.recipient:
            # It went to somebody else (OUTBOX_MAIL_REDIRECT_ALL_TO), whose refusal says nothing of the recipient.
            verdict = replace(verdict, suppress=False)
        return Outcome(claim, verdict, tuple(one.kept(now) for one in made))

    # ---------------------------------------------------------------------------------------------- recording

    def _intend(self, past: _Past, window: Sequence[_Going], dead: Sequence[Outcome]) -> set[int]:
        """Record *past* and the *dead*, and mark *window* as being sent; return the ids of it that still stand."""
        outcomes = (*past.outcomes, *dead)
        intents = [one.intent for one in window]
        recorded, stands = self._insist(
            lambda: self._means.store.record_and_intend(outcomes, past.failures, past.recovered, intents)
        )
        self._tell(outcomes, recorded)
        if stands:
            self._log.debug("mailer.window.intended", count=len(stands))
        return stands

    def _record(self, past: _Past) -> None:
        if past != _Past():
            recorded = self._insist(lambda: self._means.store.record(past.outcomes, past.failures, past.recovered))
            self._tell(past.outcomes, recorded)

    def _release(self, claims: Sequence[Claim], pause: timedelta) -> None:
        self._insist(lambda: self._means.store.release(claims, pause=pause))

    def _insist(self, say: Callable[[], T]) -> T:
        """Return what *say* returns, saying it again while the database is away and our leases may still stand."""
        while True:
            try:
                return say()
            except DATABASE_AWAY as error:
                if self._elapsed() > self._means.pace.lease:
                    raise
                self._log.warning("mailer.database.lost", error=type(error).__name__)
                self._means.wait(_RECONNECT_SECONDS)

    def _tell(self, outcomes: Sequence[Outcome], recorded: set[int]) -> None:
        if outcomes:
            self._log.debug("mailer.window.recorded", count=len(recorded))
        for outcome in outcomes:
            claim = outcome.claim
            if claim.id not in recorded:
                self._log.warning("mailer.claim.lost", delivery=claim.id, event_id=str(claim.event_id))
            elif isinstance(outcome.verdict, Dead):
                self._log.warning(
                    "mailer.delivery.gave_up",
                    delivery=claim.id,
                    event_id=str(claim.event_id),
                    mail=claim.mail,
                    reason=outcome.verdict.reason,
                )

    def _elapsed(self) -> timedelta:
        return timedelta(seconds=time.monotonic() - self._began)
