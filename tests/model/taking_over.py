"""The steps in which a relay takes over a shard, and renews its producer: `relay/takeover.py`, a call a step.

[lock]  Takeover.begin_term: Session.try_lock        [epoch] Session.raise_epoch
[check] Takeover.renew: Session.check                [init]  Takeover._initialised: Sink.initialise
[read]  ProgressReader.last                          [judge] Takeover._judged: batch, current_snapshot, judge_position
[mark]  Session.mark_bootstrapped
The first position of an installation is filled and committed as any other page is: publishing.py.
"""

from dataclasses import replace

from relay.lease import Absent, Accepted, Batch, Unfit, judge_position
from relay.machine import Signal
from relay.window import BEGINNING, Page, Window
from tests.model.kafka_model import HANGING, PROGRESS, Kafka
from tests.model.positions import INSTALLATION, decoded, position_words
from tests.model.postgres_model import Postgres
from tests.model.relay_memory import LeaseLost, Memory


def lock(relay: Memory, pg: Postgres, kafka: Kafka) -> str:
    """Take the lease."""
    del kafka
    pg.connect(relay.number)
    pg.try_lock(relay.number)
    relay.at = "epoch"
    return "takes the lease"


def warm_up(relay: Memory, pg: Postgres, kafka: Kafka) -> str:
    """Initialise the producer while another relay has the lease, so that it is at hand: what rule 11 forbids."""
    del pg
    kafka.initialise(0)
    return f"has no lease ({relay.at}), and initialises its producer"


def epoch(relay: Memory, pg: Postgres, kafka: Kafka) -> str:
    """Begin a term."""
    del kafka
    relay.term = pg.raise_epoch(relay.number)
    relay.signal(Signal.GRANTED)
    return f"raises the epoch to {relay.term.epoch}"


def check(relay: Memory, pg: Postgres, kafka: Kafka) -> str:
    """See whether the term is still ours."""
    del kafka
    epoch_now, held = pg.check_lease(relay.number)
    if epoch_now != relay.held.epoch or not held:
        raise LeaseLost
    relay.at = "init" if relay.rules.lease_before_init else "read"
    return "checks the lease"


def next_producer(relay: Memory) -> int:
    """Return which transactional id is initialised next, in the order in which this relay does it."""
    order = range(relay.producers)
    if not relay.rules.fixed_order and relay.number % 2:
        order = range(relay.producers - 1, -1, -1)
    return next((n for n in order if relay.epochs[n] is None), 0)


def init(relay: Memory, pg: Postgres, kafka: Kafka) -> str:
    """Fence predecessors under one transactional id."""
    del pg
    producer = next_producer(relay)
    made = kafka.initialise(producer)
    if made is None:
        if relay.rules.lease_before_retry and relay.at == "init":
            relay.at = "check"  # the loop in Takeover._initialised
        return f"initialises producer {producer}, and waits for markers"
    epochs = list(relay.epochs)
    epochs[producer] = made
    relay.epochs = tuple(epochs)
    if None not in epochs or not relay.rules.both_initialised_first:
        relay.at = "read" if relay.rules.lease_before_init else "check"
    return f"initialises producer {producer}"


def reading_choices(kafka: Kafka, *, producers: int = 1, to_end_offset: bool = True) -> list[str]:
    """Return what can come of reading the progress partition; nothing while it waits for somebody's decision."""
    if not to_end_offset or kafka.last_stable_offset(PROGRESS) == kafka.end_offset(PROGRESS):
        return ["read"]
    owners = {entry.owner for entry in kafka.logs[PROGRESS]}
    # An open transaction of our successor ends by itself; one that hangs, or another shard's, may not in 30 s.
    return ["give up"] if HANGING in owners or producers in owners else []


def read(relay: Memory, pg: Postgres, kafka: Kafka) -> str:
    """Read the last position."""
    del pg
    ours = [value for value in kafka.read_committed(PROGRESS) if isinstance(value, bytes)]
    relay.record = ours[-1] if ours else None
    relay.at = "judge"
    return f"reads {position_words(relay.record)}"


def give_up(relay: Memory, pg: Postgres, kafka: Kafka) -> str:
    """Stop, for the position cannot be read."""
    del pg, kafka
    relay.signal(Signal.UNFIT)
    return "halts: an open transaction hides the position"


def judge(relay: Memory, pg: Postgres, kafka: Kafka) -> str:
    """Believe the position if PostgreSQL can prove it."""
    del kafka
    record = decoded(relay.record) if relay.record else None
    batch = pg.batch(relay.number, record.seq) if record else None
    if record is not None and not relay.rules.barrier:
        batch = Batch(record.a, record.b, record.epoch, record.n)  # there is none to ask
    pg.alive(relay.number)
    verdict = judge_position(
        record, foreign=False, installation=INSTALLATION, term=relay.held, batch=batch, now=pg.snapshot()
    )
    match verdict:
        case Unfit(reason):
            relay.signal(Signal.UNFIT)
            return f"halts: {reason}"
        case Absent():
            window = Window(seq=0, a=BEGINNING.a, b=BEGINNING.b, lo=0, olds=(), n=0)
            relay.current, relay.at = relay.begin_filling(Page(window, (), None), 0, producer=relay.turn), "fill"
            return "finds no position: the first"
        case Accepted(position, n):
            relay.position, relay.n, relay.a = position, n, position.next_a
            positioned(relay)
            return f"goes on behind window {position.seq}, {position.last_id or 'finished'}"


def positioned(relay: Memory) -> None:
    """Have the position; note that there is one, if that is not known."""
    relay.mirror_due = relay.position.seq
    if relay.held.bootstrapped:
        relay.signal(Signal.POSITIONED)
        if None in relay.epochs:
            relay.at = "init the other"
    else:
        relay.at = "mark"


def init_the_other(relay: Memory, pg: Postgres, kafka: Kafka) -> str:
    """Initialise the second transactional id after the position was read: what protocol 7 forbids."""
    words = init(relay, pg, kafka)
    relay.at = "init the other" if None in relay.epochs else "look"
    return words


def mark(relay: Memory, pg: Postgres, kafka: Kafka) -> str:
    """Note that an absent position means stop from here on."""
    del kafka
    if not pg.mark_bootstrapped(relay.number, epoch=relay.held.epoch):
        raise LeaseLost
    relay.term = replace(relay.held, bootstrapped=True)
    positioned(relay)
    return "notes that the shard is bootstrapped"
