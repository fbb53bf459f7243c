"""The steps of one Kafka transaction: `relay/publisher.py`, and what `relay/loop.py` makes of its end.

[produce] Publisher._produce: Sink.produce a row, then Sink.produce_progress; beside it, in another thread,
[barrier] Publisher._send_barrier: Session.write_barrier
[end]     Sink.commit: EndTxn as it reaches Kafka; beside it [ahead], in reading.py
[follow]  protocol 7, no part of the product: the next page is produced on the other producer while one commits
Once both are done: judge_commit, and ShardLoop._advance or _doubt.
"""

from relay.lease import Batch
from relay.machine import Clean, Evidence, Signal, State, Unclean, judge_commit
from tests.model.kafka_model import EVENTS, FENCED, PROGRESS, Kafka, LateEnd
from tests.model.positions import encoded, position_words
from tests.model.postgres_model import ConnectionLostError, Postgres
from tests.model.reading import go_on, has_to_look, portion_of
from tests.model.relay_memory import Filling, LeaseLost, Memory
from tests.model.taking_over import positioned

TIMED_OUT = -185
# What can come of an EndTxn, beside a plain answer. The client repeats it silently, or gives up.
END_FAULTS = ("held, repeated", "held, not repeated", "answer lost")


def filling_choices(relay: Memory, kafka: Kafka) -> list[str]:
    """Return the steps that the transaction at work can take."""
    filling = relay.filling
    found = ["produce"] if can_produce(filling, kafka) else []
    return found if filling.barred or filling.lost else [*found, "barrier"]


def can_produce(filling: Filling, kafka: Kafka) -> bool:
    """Return whether something is left to produce; the first waits for the markers of the transaction before."""
    return filling.produced <= filling.count and not (filling.produced == 0 and kafka.busy(filling.producer))


def commit_choices(relay: Memory, kafka: Kafka) -> list[str]:
    """Return what can come of the end of the transaction, and what is done meanwhile."""
    found = [] if relay.looked else ["ahead"]
    if relay.filling.evidence is None:
        found += end_choices(trouble=relay.filling.trouble)
    if relay.rules.taking_turns and relay.looked:
        found += _follow_choices(relay, kafka)
    return found


def end_choices(*, trouble: int | None) -> list[str]:
    """Return what can come of an EndTxn; after *trouble* it is not sent."""
    return ["end"] if trouble is not None else ["end", *END_FAULTS]


def produce(relay: Memory, pg: Postgres, kafka: Kafka) -> str:
    """Produce the next row, or the position behind the last."""
    del pg
    words = _fill(relay, relay.filling, kafka)
    _when_full(relay)
    return words


def _fill(relay: Memory, filling: Filling, kafka: Kafka) -> str:
    n, rows = filling.produced, filling.rows
    value: object
    if position := n == len(rows):
        partition, value = PROGRESS, encoded(relay.held.epoch, filling.after, tuple(row.id for row in rows))
    else:
        partition, value = EVENTS, (rows[n].id, rows[n].event.event_id, rows[n].event.aggregate_id)
    if filling.trouble is None:
        filling.trouble = kafka.produce(
            filling.producer, filling.epoch, partition=partition, value=value, first=n == 0 or position
        )
    filling.produced += 1
    what = f"the position {position_words(value)}" if position else f"event {value!r}"
    return f"produces {what}" + (f": refused with {filling.trouble}" if filling.trouble else "")


def barrier(relay: Memory, pg: Postgres, kafka: Kafka) -> str:
    """Write the barrier of the window."""
    del kafka
    try:
        words = _bar(relay, relay.filling, pg)
    except (ConnectionLostError, LeaseLost):
        relay.filling.lost = True
        words = "has no right to the barrier any more"
    _when_full(relay)
    return words


def _bar(relay: Memory, filling: Filling, pg: Postgres) -> str:
    window, epoch = filling.page.window, relay.held.epoch
    if relay.rules.barrier:
        batch = Batch(window.a, window.b, epoch, window.n)
        if not pg.write_barrier(relay.number, epoch=epoch, seq=window.seq, batch=batch):
            raise LeaseLost
    filling.barred, relay.barred_seq = True, window.seq
    return f"writes the barrier of window {window.seq}"


def _when_full(relay: Memory) -> None:
    if relay.filling.lost and relay.filling.produced > relay.filling.count:
        raise LeaseLost
    if relay.filling.full:
        relay.at = "commit"
        relay.looked = relay.state is State.RENEWING or not has_to_look(relay)


def end(filling: Filling, choice: str, kafka: Kafka) -> str:
    """Send EndTxn of *filling*; what comes of it is *choice*."""
    filling.evidence = seen_of_end(
        choice, producer=filling.producer, epoch=filling.epoch, trouble=filling.trouble, kafka=kafka
    )
    if filling.trouble is not None:
        return "cannot commit"
    fenced = ": fenced" if filling.evidence.code == FENCED else ""
    return "EndTxn" + (f" ({choice})" if choice != "end" else "") + fenced


def seen_of_end(choice: str, *, producer: int, epoch: int, trouble: int | None, kafka: Kafka) -> Evidence:
    """Have *kafka* end the transaction as *choice* says, and return what the client sees of it."""
    if trouble is not None:
        return Evidence((), 0.0, trouble, "refused")
    code = None if choice == "held, not repeated" else kafka.end(producer, epoch)
    if choice.startswith("held"):
        kafka.late = (*kafka.late, LateEnd(producer, epoch))
    if code is not None:
        return Evidence((), 0.0, code, "fenced")
    if choice == "end":
        return Evidence(("NO_ERROR",), 0.0)
    if choice == "held, repeated":
        return Evidence(("_TRANSPORT", "NO_ERROR"), 0.0)
    return Evidence((), 6.0, TIMED_OUT, "timed out")


def settle(relay: Memory) -> str:
    """Judge how the transaction ended, and move on behind it, or begin again from what Kafka says."""
    filling = relay.filling
    assert filling.evidence is not None
    verdict = judge_commit(filling.evidence, [row.id for row in filling.rows])
    if not relay.rules.renewal and filling.evidence.code is None:
        verdict = Clean()
    if isinstance(verdict, Unclean):
        _doubt(relay, filling, verdict)
        return f"unclean: {verdict.reason}"
    if relay.state is State.RENEWING:
        relay.position, relay.current = filling.after, None
        positioned(relay)
        return "clean: the first position is committed"
    _advance(relay, filling)
    return "clean"


def _doubt(relay: Memory, filling: Filling, verdict: Unclean) -> None:
    bootstrapping = relay.state is State.RENEWING
    if verdict.slow and not bootstrapping:
        relay.portion = relay.portion.halved(filling.count)
    kept = relay.epochs
    relay.signal(Signal.FAILED if bootstrapping else Signal.UNCLEAN)
    relay.epochs = (None,) * relay.producers
    if not relay.rules.unclean_renews_both:
        relay.epochs = tuple(None if n == filling.producer else epoch for n, epoch in enumerate(kept))


def _advance(relay: Memory, filling: Filling) -> None:
    page, after = filling.page, filling.after
    relay.portion = relay.portion.grown(filling.count, seconds=0.0)
    relay.position, relay.n, relay.mirror_due = after, page.window.n, after.seq
    rest = page.without(filling.count)
    relay.hand, relay.current = (None if rest.exhausted else rest), None
    if after.finished:
        relay.a = after.next_a
    if relay.rules.taking_turns:
        relay.turn = 1 - relay.turn
    relay.signal(Signal.CLEAN)
    go_on(relay)


# ------------------------------------------------------------------------------- two producers that take turns


def _follow_choices(relay: Memory, kafka: Kafka) -> list[str]:
    """Return what can be done for the next page while this one commits."""
    following = relay.following
    if following is None:
        page = _next_page(relay)
        return ["follow"] if page is not None and not kafka.busy(1 - relay.filling.producer) else []
    found = ["follow"] if can_produce(following, kafka) else []
    found += [] if following.barred else ["follow barrier"]
    if following.full and following.evidence is None and not relay.rules.clean_before_next_end:
        found.append("follow end")
    return found


def _next_page(relay: Memory) -> "object | None":
    return relay.filling.page.without(relay.filling.count).rows or relay.ahead


def follow(relay: Memory, pg: Postgres, kafka: Kafka) -> str:
    """Begin the next page on the other producer, or produce its next row."""
    del pg
    if relay.following is None:
        rest = relay.filling.page.without(relay.filling.count)
        page = relay.ahead if rest.exhausted else rest
        assert page is not None
        other = 1 - relay.filling.producer
        relay.following = relay.begin_filling(page, portion_of(relay, page), producer=other)
    return "meanwhile " + _fill(relay, relay.following, kafka)


def follow_barrier(relay: Memory, pg: Postgres, kafka: Kafka) -> str:
    """Write the barrier of the next page's window."""
    del kafka
    assert relay.following is not None
    return "meanwhile " + _bar(relay, relay.following, pg)


def follow_end(relay: Memory, pg: Postgres, kafka: Kafka) -> str:
    """Commit the next page before this one was judged: what protocol 7 forbids."""
    del pg
    assert relay.following is not None
    return "meanwhile " + end(relay.following, "end", kafka)
