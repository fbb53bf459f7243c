"""The drain against a store and transports in memory: what is said to the database, in which order."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor as AnyExecutor
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any, cast
from uuid import UUID, uuid4

import psycopg
import pytest

from mailer.backoff import Backoff
from mailer.claims import BreakerRow, Claim, Failures, Intent, Outcome
from mailer.delivery import Dead, InDoubt, Retry, Sent
from mailer.errors import UnsendableMailError
from mailer.means import Held, Means, Pace
from mailer.pacing import Limits
from mailer.reply import OutgoingMessage, Phase, Reply, accepted, refused, unanswered
from mailer.tasks import drain
from runtime.errors import DatabaseUnavailableError

PERMIT = UUID(int=1)
MINUTE = timedelta(minutes=1)


def a_claim(number: int, **more: Any) -> Claim:
    facts: dict[str, Any] = {
        "id": number,
        "token": uuid4(),
        "message_uuid": UUID(int=number),
        "event_id": UUID(int=number),
        "event_type": "user.locked",
        "aggregate_type": "user",
        "aggregate_id": "42",
        "mail": "account_locked",
        "lane": "security",
        "priority": 100,
        "recipient": f"u{number}@example.com",
        "recipient_key": b"key",
        "locale": "en",
        "payload": {},
        "attempt": 0,
        "pinned_transport": None,
        "content": None,
        "claimed_at": datetime(2026, 1, 1, tzinfo=UTC),
        "left": timedelta(days=1),
    }
    return Claim(**facts | more)


class Store:
    """Remembers what it is told; *taken_over* are ids whose claims were lost, *failing* what its next calls raise."""

    def __init__(
        self, *claims: Claim, breakers: Sequence[BreakerRow] = (), permits: Sequence[UUID] = (PERMIT,)
    ) -> None:
        self.claims = claims
        self.urgent: tuple[Claim, ...] = ()
        self.permits = list(permits)
        self.rows = {row.name: row for row in breakers}
        self.said: list[tuple[str, tuple[int, ...]]] = []
        self.outcomes: dict[int, Outcome] = {}
        self.failures: list[Failures] = []
        self.pauses: list[timedelta] = []
        self.taken_over: set[int] = set()
        self.failing: list[Exception] = []
        self.lines: dict[str, float] = {}
        self.reserved: list[tuple[dict[str, float], timedelta]] = []

    def take_permit(self, permit: UUID) -> bool:
        if permit in self.permits:
            self.permits.remove(permit)
            return True
        return False

    def claim(self, *, limit: int) -> tuple[tuple[Claim, ...], bool]:
        found, self.claims = self.claims[:limit], self.claims[limit:]
        return found, len(found) == limit

    def look(self, *, before: Claim, limit: int) -> tuple[Mapping[str, BreakerRow], tuple[Claim, ...]]:
        if self.failing:
            raise self.failing.pop(0)
        found = tuple(one for one in self.urgent if one.priority < before.priority)[:limit]
        self.urgent = tuple(one for one in self.urgent if one not in found)
        return dict(self.rows), found

    def record(self, outcomes: Sequence[Outcome], failures: Sequence[Failures], recovered: Sequence[str]) -> set[int]:
        return self.record_and_intend(outcomes, failures, recovered, [])[0]

    def record_and_intend(
        self,
        outcomes: Sequence[Outcome],
        failures: Sequence[Failures],
        recovered: Sequence[str],
        intents: Sequence[Intent],
    ) -> tuple[set[int], set[int]]:
        if self.failing:
            raise self.failing.pop(0)
        if outcomes:
            self.said.append(("recorded", tuple(one.claim.id for one in outcomes)))
            self.outcomes |= {one.claim.id: one for one in outcomes}
        if intents:
            self.said.append(("intended", tuple(one.claim.id for one in intents)))
        self.failures += failures
        for one in failures:
            self.rows[one.transport] = BreakerRow(one.transport, "open", one.count, MINUTE)
        for name in recovered:
            self.rows.pop(name, None)
        return (
            {one.claim.id for one in outcomes} - self.taken_over,
            {one.claim.id for one in intents} - self.taken_over,
        )

    def release(self, claims: Sequence[Claim], *, pause: timedelta) -> None:
        self.said.append(("released", tuple(one.id for one in claims)))
        self.pauses.append(pause)

    def breakers(self) -> Mapping[str, BreakerRow]:
        if self.failing:
            raise self.failing.pop(0)
        return dict(self.rows)

    def reserve(self, seconds: Mapping[str, float], *, patience: timedelta) -> Mapping[str, float]:
        self.said.append(("reserved", ()))
        self.reserved.append((dict(seconds), patience))
        begins = {name: self.lines.get(name, 0.0) for name in seconds}
        granted = {name: begin for name, begin in begins.items() if begin <= patience.total_seconds()}
        self.lines |= {name: begin + seconds[name] for name, begin in granted.items()}
        return granted

    def probe(self, transport: str) -> bool:
        return self.rows[transport].retry_in <= timedelta(0)


class Transport:
    def __init__(self, name: str, answer: Callable[[str, str], Reply] | None = None) -> None:
        self.name = name
        self.sent: list[str] = []
        self._answer = answer or taken

    def send(self, message: OutgoingMessage) -> Reply:
        self.sent.append(message.recipient)
        return self._answer(self.name, message.recipient)


def taken(name: str, recipient: str) -> Reply:
    return accepted(name, code=250, text="2.0.0 ok", recipient=recipient)


def down(name: str, recipient: str) -> Reply:
    return unanswered(name, Phase.CONNECT, text="refused", recipient=recipient)


def later(name: str, recipient: str) -> Reply:
    return refused(name, Phase.RCPT, code=451, text="4.7.1 later", recipient=recipient)


def lost(name: str, recipient: str) -> Reply:
    return unanswered(name, Phase.DOT, text="reset", recipient=recipient)


class Composer:
    def __init__(self, redirect_to: str | None = None) -> None:
        self._redirect_to = redirect_to

    def content(self, claim: Claim) -> tuple[bytes, str]:
        if claim.mail == "broken":
            raise UnsendableMailError("it cannot be rendered")
        if claim.mail == "surprising":
            raise ZeroDivisionError
        return b"rendered now", "v1"

    def outgoing(self, claim: Claim, content: bytes) -> OutgoingMessage:
        recipient = self._redirect_to or claim.recipient
        return OutgoingMessage("from@example.com", recipient, content, f"<{claim.message_uuid}@example.com>")


class Inline(AnyExecutor):
    def submit(self, work: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*arguments, **named))
        return done


def run(
    store: Store,
    *transports: Transport,
    orders: Sequence[tuple[str, ...]] = (),
    window: int = 2,
    lease: timedelta = MINUTE,
    permit: timedelta = MINUTE,
    redirect_to: str | None = None,
    rates: Mapping[str, float] | None = None,
    wait: Callable[[float], object] = lambda _: None,
) -> str | None:
    means = Means(
        store=store,
        composer=Composer(redirect_to),
        transports={one.name: one for one in transports},
        orders=orders or [tuple(one.name for one in transports)],
        executor=Inline(),
        pace=Pace(claim=50, window=window, lease=lease, backoff=Backoff(), permit=permit, limits=Limits(rates or {})),
        jitter=lambda: 0.5,
        wait=wait,
    )
    return drain(means, permit=PERMIT)


def test_one_commit_records_a_window_and_marks_the_next() -> None:
    store, transport = Store(*map(a_claim, range(1, 6))), Transport("a")

    run(store, transport)

    assert store.said == [
        ("intended", (1, 2)),
        ("recorded", (1, 2)),
        ("intended", (3, 4)),
        ("recorded", (3, 4)),
        ("intended", (5,)),
        ("recorded", (5,)),
    ]
    assert {one.verdict for one in store.outcomes.values()} == {Sent()}


def test_what_is_more_urgent_goes_before_the_rest_of_a_batch_and_no_window_is_less_than_whole() -> None:
    store = Store(*map(a_claim, range(1, 7)))
    urgent = (a_claim(8, priority=10), a_claim(9, priority=100), a_claim(10, priority=20))

    def arrive(name: str, recipient: str) -> Reply:
        store.urgent = urgent if recipient == "u1@example.com" else store.urgent
        return taken(name, recipient)

    run(store, Transport("a", arrive), window=3)

    # The ninth is not more urgent than what is held, and belongs to the next claim.
    assert [said for said in store.said if said[0] == "intended"] == [
        ("intended", (1, 2, 3)),
        ("intended", (8, 10, 4)),
        ("intended", (5, 6)),
    ]


def test_the_age_of_what_is_let_in_counts_from_its_own_claim() -> None:
    held = Held(cast("Means", None), [a_claim(1)])
    Event().wait(0.01)

    before = held.elapsed()
    held.let_in([a_claim(2, left=timedelta(0))])

    [first] = held.ahead(1)
    assert first.id == 2
    assert before <= first.left <= held.elapsed()


def test_a_permit_that_was_counted_as_lost_does_nothing() -> None:
    store, transport = Store(a_claim(1), permits=()), Transport("a")

    assert run(store, transport) is None
    assert (store.said, transport.sent) == ([], [])


def test_what_was_taken_over_before_its_window_is_not_sent() -> None:
    store, transport = Store(a_claim(1), a_claim(2)), Transport("a")
    store.taken_over = {1}

    run(store, transport)

    assert transport.sent == ["u2@example.com"]
    assert set(store.outcomes) == {2}


def test_a_transient_refusal_goes_back_to_the_queue_with_its_attempt_kept() -> None:
    store = Store(a_claim(1, attempt=2))

    run(store, Transport("a", later))

    outcome = store.outcomes[1]
    assert outcome.verdict == Retry(MINUTE, "recipient_deferred")
    assert [(one.phase, one.code, one.outcome) for one in outcome.tries] == [("rcpt", 451, "transient")]


def test_the_second_transport_takes_what_the_first_could_not_and_the_next_window_skips_the_first() -> None:
    store, first, second = Store(*map(a_claim, range(1, 5))), Transport("a", down), Transport("b")

    run(store, first, second)

    assert len(first.sent) == 2
    assert len(second.sent) == 4
    assert [one.outcome for one in store.outcomes[1].tries] == ["transient", "accepted"]


def test_a_lost_reply_is_in_doubt_and_no_other_transport_is_asked() -> None:
    store, second = Store(a_claim(1)), Transport("b")

    run(store, Transport("a", lost), second)

    assert store.outcomes[1].verdict == InDoubt("a")
    assert second.sent == []


def unknown(name: str, recipient: str) -> Reply:
    return refused(name, Phase.RCPT, code=550, text="5.1.1 no such user", recipient=recipient)


@pytest.mark.parametrize(("redirect_to", "suppress"), [(None, True), ("staging@example.com", False)])
def test_only_a_refusal_of_the_recipient_itself_suppresses_it(redirect_to: str | None, *, suppress: bool) -> None:
    store, transport = Store(a_claim(1)), Transport("a", unknown)

    run(store, transport, redirect_to=redirect_to)

    verdict = store.outcomes[1].verdict
    assert isinstance(verdict, Dead)
    assert verdict.suppress is suppress
    assert transport.sent == [redirect_to or "u1@example.com"]


def asked_again(name: str, recipient: str) -> Reply:
    return replace(lost(name, recipient), safe_again=True)


def test_a_lost_reply_under_a_key_is_asked_again_of_the_same_transport_only() -> None:
    store, second = Store(a_claim(1)), Transport("b")

    run(store, Transport("a", asked_again), second)

    assert store.outcomes[1].verdict == Retry(MINUTE / 4, "unanswered", pin="a")
    assert second.sent == []


def test_a_lost_reply_under_a_key_is_in_doubt_once_there_is_no_time_left_to_ask() -> None:
    store = Store(a_claim(1, left=timedelta(0)))

    run(store, Transport("a", asked_again))

    assert store.outcomes[1].verdict == InDoubt("a")


TURNS = (("a", "b"), ("b", "a"))


def test_transports_that_take_turns_get_every_other_mail() -> None:
    store, first, second = Store(*map(a_claim, range(1, 7))), Transport("a"), Transport("b")

    run(store, first, second, orders=TURNS)

    assert (len(first.sent), len(second.sent)) == (3, 3)


def test_a_mail_whose_turn_it_is_at_a_transport_that_is_down_goes_by_the_other() -> None:
    store, first, second = Store(*map(a_claim, range(1, 7))), Transport("a", down), Transport("b")

    run(store, first, second, orders=TURNS)

    assert len(second.sent) == 6
    assert len(first.sent) == 1, "asked again behind its breaker"


def test_a_retry_prefers_the_other_transport() -> None:
    store, first, second = Store(a_claim(2, attempt=0), a_claim(4, attempt=1)), Transport("a"), Transport("b")

    run(store, first, second, orders=TURNS)

    assert (first.sent, second.sent) == (["u2@example.com"], ["u4@example.com"])


def test_a_transport_that_takes_turns_is_probed_when_its_turn_comes() -> None:
    store = Store(*map(a_claim, range(1, 6)), breakers=[BreakerRow("b", "open", 5, timedelta(0))])
    first, second = Transport("a"), Transport("b")

    run(store, first, second, orders=TURNS)

    assert store.rows == {}
    assert len(second.sent) >= 2


def test_mail_waits_while_every_breaker_is_open_and_spends_no_attempt() -> None:
    store = Store(a_claim(1), a_claim(2), breakers=[BreakerRow("a", "open", 5, MINUTE)])
    transport = Transport("a")

    assert run(store, transport) is None

    assert (transport.sent, store.said, len(store.claims)) == ([], [], 2)


def test_once_every_breaker_has_opened_the_rest_of_the_batch_waits_and_no_more_is_claimed() -> None:
    store, transport = Store(*map(a_claim, range(1, 121))), Transport("a", down)

    assert run(store, transport) is None

    assert len(transport.sent) == 2
    assert store.said[-1] == ("released", tuple(range(3, 51)))
    assert (store.pauses, len(store.claims)) == ([MINUTE], 70)


def test_while_somebody_else_probes_the_only_transport_nothing_is_claimed() -> None:
    store = Store(a_claim(1), breakers=[BreakerRow("a", "half_open", 5, MINUTE)])

    assert run(store, Transport("a")) is None

    assert len(store.claims) == 1


def test_one_message_probes_an_open_transport_and_the_rest_follow_when_it_is_taken() -> None:
    store = Store(*map(a_claim, range(1, 4)), breakers=[BreakerRow("a", "open", 5, timedelta(0))])

    run(store, Transport("a"))

    assert [said for said in store.said if said[0] == "intended"] == [("intended", (1,)), ("intended", (2, 3))]
    assert store.rows == {}


def test_the_rest_waits_when_the_probe_fails() -> None:
    store = Store(*map(a_claim, range(1, 4)), breakers=[BreakerRow("a", "open", 5, timedelta(0))])

    run(store, Transport("a", down))

    assert store.said == [("intended", (1,)), ("recorded", (1,))]
    assert [one.id for one in store.claims] == [2, 3]


def test_what_is_bound_to_a_transport_that_is_down_probes_it_and_alone() -> None:
    bound = [a_claim(number, pinned_transport="b") for number in (1, 2)]
    store = Store(*bound, a_claim(3), breakers=[BreakerRow("b", "open", 5, timedelta(0))])
    first, second = Transport("a"), Transport("b", lost)

    run(store, first, second)

    assert [said for said in store.said if said[0] != "recorded"] == [
        ("intended", (1,)),
        ("released", (2,)),
        ("intended", (3,)),
    ]
    assert store.failures == [Failures("b", 0, at_once=True, reason="a probe came to nothing")]
    assert (first.sent, second.sent) == (["u3@example.com"], ["u1@example.com"])


def test_what_is_bound_to_one_transport_does_not_pass_for_the_probe_of_another() -> None:
    store = Store(a_claim(1, pinned_transport="b"), a_claim(2), breakers=[BreakerRow("a", "open", 5, timedelta(0))])
    first, second = Transport("a"), Transport("b")

    run(store, first, second)

    assert (first.sent, second.sent) == (["u2@example.com"], ["u1@example.com"])
    assert (store.failures, store.rows) == ([], {})


def test_what_cannot_be_rendered_is_dead_and_holds_up_nothing() -> None:
    store, transport = Store(a_claim(1, mail="broken"), a_claim(2)), Transport("a")

    run(store, transport)

    assert store.outcomes[1].verdict == Dead("unsendable", "it cannot be rendered")
    assert store.outcomes[2].verdict == Sent()
    assert transport.sent == ["u2@example.com"]


def test_what_was_in_doubt_goes_through_its_own_transport_only() -> None:
    store, first, second = Store(a_claim(1, pinned_transport="b")), Transport("a"), Transport("b")

    run(store, first, second)

    assert (first.sent, second.sent) == ([], ["u1@example.com"])


def test_outcomes_are_recorded_when_the_database_is_back() -> None:
    store, transport = Store(a_claim(1)), Transport("a")

    def restart(name: str, recipient: str) -> Reply:
        # The connection breaks, and for a while there is no new one to be had.
        away = DatabaseUnavailableError("PostgreSQL", "nothing listens there")
        store.failing = [psycopg.OperationalError("the connection is gone"), away, away]
        return taken(name, recipient)

    transport._answer = restart
    run(store, transport)

    assert store.outcomes[1].verdict == Sent()


def test_a_window_that_was_sent_is_recorded_even_when_the_database_goes_before_the_next() -> None:
    store, transport = Store(*map(a_claim, range(1, 4))), Transport("a")

    def restart(name: str, recipient: str) -> Reply:
        store.failing = [psycopg.OperationalError("the connection is gone")] * 2
        return taken(name, recipient)

    transport._answer = restart
    run(store, transport)

    assert {number: one.verdict for number, one in store.outcomes.items()} == {1: Sent(), 2: Sent(), 3: Sent()}


def test_an_error_that_nobody_foresaw_kills_one_mail_and_loses_nothing_of_the_window_under_way() -> None:
    store, transport = Store(a_claim(1), a_claim(2), a_claim(3, mail="surprising")), Transport("a")

    run(store, transport)

    assert store.outcomes[1].verdict == store.outcomes[2].verdict == Sent()
    assert store.outcomes[3].verdict == Dead("unsendable", "ZeroDivisionError while it was made")


def test_no_window_starts_in_the_second_half_of_the_lease() -> None:
    store, transport = Store(a_claim(1)), Transport("a")

    run(store, transport, lease=timedelta(0))

    assert transport.sent == []
    assert store.said == [("released", (1,))]


def test_a_permit_is_good_for_all_that_is_due_while_its_time_lasts() -> None:
    transport = Transport("a")

    assert run(Store(*map(a_claim, range(1, 121))), transport, window=8) is None

    assert len(transport.sent) == 120


def test_a_permit_whose_time_is_over_says_that_there_is_more_to_do() -> None:
    transport = Transport("a")

    assert run(Store(*map(a_claim, range(1, 121))), transport, window=8, permit=timedelta(0)) == "security"

    assert len(transport.sent) == 50


@pytest.mark.parametrize("content", [b"rendered before", None])
def test_every_attempt_sends_the_bytes_of_the_first(content: bytes | None) -> None:
    sent: list[bytes] = []

    class Recording(Transport):
        def send(self, message: OutgoingMessage) -> Reply:
            sent.append(message.content)
            return super().send(message)

    run(Store(a_claim(1, content=content)), Recording("a"))

    assert sent == [content or b"rendered now"]


def test_a_transport_without_a_limit_reserves_nothing() -> None:
    store = Store(*map(a_claim, range(1, 6)))

    run(store, Transport("a"), Transport("b"), rates={"b": 1})

    assert store.reserved == []


def test_a_window_reserves_its_slots_waits_for_the_first_and_spreads_over_them() -> None:
    store, waits = Store(*map(a_claim, range(1, 4))), list[float]()
    store.lines["a"] = 0.5

    run(store, Transport("a"), rates={"a": 4}, window=2, wait=waits.append)

    assert [seconds for seconds, _ in store.reserved] == [{"a": 0.5}, {"a": 0.25}]
    assert waits == [0.5, 0.25, 1.0]
    assert store.said == [
        *[("reserved", ()), ("intended", (1, 2)), ("reserved", ()), ("recorded", (1, 2)), ("intended", (3,))],
        ("recorded", (3,)),
    ]


def test_no_more_is_sent_at_a_time_than_fits_in_a_line() -> None:
    store, transport = Store(*map(a_claim, range(1, 4))), Transport("a")

    run(store, transport, rates={"a": 0.5}, window=8)

    assert [said for said in store.said if said[0] == "intended"] == [("intended", (1,)), ("intended", (2,))]
    assert transport.sent == ["u1@example.com", "u2@example.com"]


def test_what_finds_the_line_full_goes_back_and_the_lane_is_left_alone() -> None:
    store, transport = Store(*map(a_claim, range(1, 101))), Transport("a")
    store.lines["a"] = 2.5

    more = run(store, transport, rates={"a": 100}, window=2)

    assert (more, transport.sent) == (None, [])
    assert store.said == [("reserved", ()), ("released", (1, 2)), ("released", tuple(range(3, 51)))]
    assert store.pauses == [timedelta(seconds=1)] * 2


def test_a_full_line_holds_up_nothing_whose_turn_it_is_elsewhere() -> None:
    store, first, second = Store(*map(a_claim, range(1, 5))), Transport("a"), Transport("b")
    store.lines["a"] = 2.5

    run(store, first, second, orders=TURNS, rates={"a": 100}, window=4)

    assert (len(first.sent), len(second.sent)) == (0, 2)
    assert ("released", (2, 4)) in store.said


def test_what_another_transport_is_asked_for_after_a_failure_counts_against_its_limit() -> None:
    store = Store(a_claim(1), a_claim(2))

    run(store, Transport("a", down), Transport("b"), rates={"b": 4})

    [(seconds, patience)] = store.reserved
    assert seconds == {"b": 0.5}
    assert patience > timedelta(days=365)


def test_a_probe_goes_at_once_and_counts() -> None:
    store, transport = Store(a_claim(1), breakers=[BreakerRow("a", "open", 5, timedelta(0))]), Transport("a")
    store.lines["a"] = 10

    run(store, transport, rates={"a": 4})

    assert transport.sent == ["u1@example.com"]
    assert [seconds for seconds, _ in store.reserved] == [{"a": 0.25}]


def test_a_batch_that_a_limit_holds_up_makes_way_for_other_lanes() -> None:
    store, transport = Store(*map(a_claim, range(1, 4))), Transport("a")

    more = run(store, transport, rates={"a": 1}, permit=timedelta(0), window=1)

    assert more == "security"
    assert transport.sent == ["u1@example.com"]
    assert ("released", (2, 3)) in store.said
    assert store.pauses == [timedelta(0)]
