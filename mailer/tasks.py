"""Use up a permit: claim what is due, send it window by window, and record what came of it.

Whatever the permit was issued for, the most urgent is claimed, and what is more urgent than the rest of a batch goes
before it: between two windows it is looked for. So mail of an urgent lane waits for one window of each worker at
most, however long the others' backlog and however many permits are in front of its own.

A window is what is sent at a time. One commit records the outcomes of the last window and marks the next one `sending`:
what a crash leaves in doubt is one window at most. A message is sent only while its row says `sending` under our
token; a row that did not come back was taken over, and we do nothing for it.

Where transports have a limit, a window reserves its slots before it is marked, waits for the first of them, and then
sends each message in its slot.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import chain
from uuid import UUID

from mailer.claims import BreakerRow, Claim, Failures, Outcome
from mailer.delivery import Dead, Try, judge
from mailer.means import Held, Means
from mailer.routing import most
from mailer.sending import Made, Sender, against, send
from mailer.telemetry import logger
from mailer.turns import Turns
from mailer.windows import Going, Window, Windows, breakers_of

# A window starts in this part of the lease, so that its slowest server has as much again, and recording the rest.
_WINDOWS_START_WITHIN = 0.4
# Another transport is asked while that much of the lease is left: a server that is asked too late leaves mail in doubt.
_ANOTHER_NEEDS = 0.25


@dataclass(frozen=True, slots=True)
class _Past:
    """What the next commit has to say of the window that was sent last."""

    outcomes: tuple[Outcome, ...] = ()
    failures: tuple[Failures, ...] = ()
    recovered: tuple[str, ...] = ()


def drain(means: Means, *, permit: UUID) -> str | None:
    """Use up *permit*, and return the lane in which there is probably more to do, if there is."""
    if not means.store.take_permit(permit):
        return None
    ends_at = time.monotonic() + means.pace.permit.total_seconds()
    lane: str | None = None
    while True:
        breakers = means.store.breakers()
        limit = most(means.transports, breakers=breakers_of(breakers), limit=means.pace.claim)
        if limit == 0:
            return None  # every transport is left alone: what is due stays as it is, and the sweeper comes again
        claims, more = means.store.claim(limit=limit)
        if claims:
            lane = claims[-1].lane
            batch = _Batch(means, claims)
            batch.deliver(breakers)
            logger().debug("mailer.permit.ended", lane=lane, claimed=len(claims))
            if batch.turned_away or batch.made_way:
                return lane if batch.made_way else None
        if not more or time.monotonic() > ends_at:
            return lane if more else None


class _Batch:
    """The claims of one permit, on their way."""

    def __init__(self, means: Means, claims: Sequence[Claim]) -> None:
        self._means = means
        self._held = Held(means, claims)
        self._windows = Windows(means, self._held)
        self._turns = Turns(means, self._held)
        self._log = logger()
        self._limited = False
        # Limits kept it here for longer than a permit is good for: the rest went back, for other lanes may come first.
        self.made_way = False

    @property
    def turned_away(self) -> bool:
        """Return whether a line was full: nothing of the lane need be claimed before the sweeper finds it due again."""
        return self._turns.turned_away

    def deliver(self, breakers: Mapping[str, BreakerRow] | None) -> None:
        """Send every claim, window by window; what there is no time or no transport for goes back to the queue.

        *breakers* are those of the moment of the claim.
        """
        past = _Past()
        while self._held:
            if past.failures or past.recovered:  # the next window is to know
                self._record(past)
                past = _Past()
            if self._is_over():
                self._held.release_rest(timedelta(0))
                break
            known, breakers = breakers if breakers is not None else self._look(), None
            window = self._windows.next(known)
            if not window.going and not window.dead:
                continue
            going, wait = self._in_turn(window)
            if wait > 0:
                self._record(past)  # it need not wait with us
                past = _Past()
                self._means.wait(wait)
            stands = self._intend(past, going, window.dead)
            past = self._send([one for one in going if one.intent.claim.id in stands], known, window.probing)
        self._record(past)

    def _look(self) -> Mapping[str, BreakerRow]:
        """Let in what has become due and is more urgent than what is held; return how the transports are."""
        [first] = self._held.ahead(1)
        breakers, urgent = self._held.insist(
            lambda: self._means.store.look(before=first, limit=self._means.pace.window)
        )
        if urgent:
            self._held.let_in(urgent)
            self._log.debug("mailer.window.overtaken", count=len(urgent), lane=urgent[0].lane)
        return breakers

    def _is_over(self) -> bool:
        """Return whether no window may start any more."""
        self.made_way = self._limited and self._held.elapsed() > self._means.pace.permit
        return self.made_way or self._held.elapsed() > self._means.pace.lease * _WINDOWS_START_WITHIN

    def _in_turn(self, window: Window) -> tuple[Sequence[Going], float]:
        """Return what of *window* goes, and in how many seconds; a probe goes at once."""
        if not self._turns.matter(window.going):
            return window.going, 0.0
        self._limited = True
        return (window.going, 0.0) if window.probing is not None else self._turns.place(window.going)

    # ----------------------------------------------------------------------------------- sending and judging

    def _send(self, window: Sequence[Going], breakers: Mapping[str, BreakerRow], probing: str | None) -> _Past:
        """Send *window* in threads; while they wait for servers, render the next one."""
        senders = self._means.transports
        waiting = [
            self._means.executor.submit(self._send_at, one, [senders[name] for name in one.names]) for one in window
        ]
        for claim in self._held.ahead(self._means.pace.window):
            self._windows.content(claim)
        made = [future.result() for future in waiting]
        # A probe went without a slot; so did what was asked of another transport when the first had failed.
        self._turns.count(one.reply.transport for tries in made for one in tries[0 if probing is not None else 1 :])
        failures, recovered = against(chain.from_iterable(made), breakers=breakers, probing=probing)
        outcomes = tuple(self._outcome(one, tries) for one, tries in zip(window, made, strict=True))
        return _Past(outcomes, failures, recovered)

    def _send_at(self, going: Going, senders: Sequence[Sender]) -> tuple[Made, ...]:
        if going.after > 0:
            self._means.wait(going.after)
        message = replace(going.message, until=self._held.until)
        return send(message, senders, needs=self._means.pace.lease.total_seconds() * _ANOTHER_NEEDS)

    def _outcome(self, going: Going, made: Sequence[Made]) -> Outcome:
        now = time.monotonic()
        claim = going.intent.claim
        verdict = judge(
            [Try(one.reply.transport, one.judgement, one.reply.text) for one in made],
            attempt=claim.attempt + 1,
            left=claim.left - self._held.elapsed(),
            backoff=self._means.pace.backoff,
            jitter=self._means.jitter(),
            cut_short=made[-1].cut_short,
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

    def _intend(self, past: _Past, window: Sequence[Going], dead: Sequence[Outcome]) -> set[int]:
        """Record *past* and the *dead*, and mark *window* as being sent; return the ids of it that still stand."""
        outcomes = (*past.outcomes, *dead)
        intents = [one.intent for one in window]
        recorded, stands = self._held.insist(
            lambda: self._means.store.record_and_intend(outcomes, past.failures, past.recovered, intents)
        )
        self._tell(outcomes, recorded)
        if stands:
            self._log.debug("mailer.window.intended", count=len(stands))
        return stands

    def _record(self, past: _Past) -> None:
        if past != _Past():
            recorded = self._held.insist(lambda: self._means.store.record(past.outcomes, past.failures, past.recovered))
            self._tell(past.outcomes, recorded)

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
