"""A worker killed at every step of a conversation, one paused past its lease, a consumer killed with records in hand.

One run; afterwards the mail server's own register is held against deliveries, attempts and dead letters by the checker
of `make chaos ARGS="--mail --scripted"`, which does the same at random and for minutes.
"""

import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path

import pytest

from devstack.providers import Kafka, Postgres
from tests.acceptance.mailer.pipeline import COMMAND, Pipeline, Process, pipeline
from tests.chaos.scripted.fates import DOUBTFUL, EARLY, FOR_GOOD, LATE_NO, Given, Step
from tests.chaos.scripted.owners import members, owner
from tests.chaos.scripted.promises import Account, Incidents, judge
from tests.chaos.scripted.reading import PermitWatch, Reader
from tests.chaos.scripted.register import Register
from tests.chaos.scripted.server import MailServer
from tests.chaos.scripted.traffic import address
from tests.chaos.scripted.traps import Trap, Traps
from tests.support.servers import Databases
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(500)
_LEASE_SECONDS = 4
_PERMITS = 2
# Consumer and sweeper, at the same moment: the cap is over by one another's number at most.
_ISSUERS = 2
_EACH = 8
KILLED_AT = (
    (Step.CONNECT, False),
    (Step.MAIL, False),
    (Step.RCPT, False),
    (Step.DATA, False),
    (Step.BODY, False),
    (Step.DOT, False),
    (Step.DOT, True),
    (Step.RSET, False),
)
_TAKEN_AND_DROPPED = next(one for one in DOUBTFUL if one.name == "dot: taken, dropped")
_REFUSED_AT_RCPT = EARLY[0]
# Recipients that meet trouble besides; the first of a round is refused once at RCPT, or there would be no RSET.
HELD, SENT_AGAIN, DOUBTFUL_TWICE, REFUSED, LATER = 901, 902, 904, 905, 907
FATES = {
    HELD: (_TAKEN_AND_DROPPED,),
    SENT_AGAIN: (_TAKEN_AND_DROPPED,),
    DOUBTFUL_TWICE: (_TAKEN_AND_DROPPED, _TAKEN_AND_DROPPED),
    REFUSED: (LATE_NO[0], FOR_GOOD[-1]),
    LATER: (LATE_NO[0], EARLY[3]),
    **{100 * number: (_REFUSED_AT_RCPT,) for number in range(1, len(KILLED_AT) + 1)},
}


class Run:
    """The processes, the server, and what was done to whom."""

    def __init__(self, running: Pipeline, server: MailServer, *, reader: Reader, watch: PermitWatch) -> None:
        self.running, self.server, self.reader, self.watch = running, server, reader, watch
        self.owed: dict[str, str] = {}
        self.incidents: Counter[str] = Counter()
        self.reached: list[tuple[Step, bool]] = []
        self.zombie: Process | None = None

    def publish(self, *numbers: int) -> None:
        """Publish an event for each recipient: the even ones' mails say `resend`."""
        for number in numbers:
            kind = "user.role_upgraded" if number % 2 else "user.registered"
            payload = {"new_role": "ADMIN", "verification_url": "https://example.com/v", "email": address(number)}
            event_id = self.running.publish(kind, aggregate_id=str(number), **payload)
            self.owed[event_id] = address(number)

    def worker(self) -> Process:
        return self.running.start("worker", *COMMAND, "mailer", "work")

    def hit(self, worker: Process, number: signal.Signals) -> None:
        """Send a signal to a worker and its children, and note that this may leave a window in doubt."""
        self.incidents.update(f"{socket.gethostname()}:{pid}" for pid in members(worker.popen.pid))
        os.killpg(worker.popen.pid, number)

    def kill_at(self, worker: Process, step: Step, *, after: bool, numbers: range) -> None:
        """Have the process of *worker* that has a connection at *step* killed; Celery starts another."""

        def kill(port: int) -> None:
            if (found := owner(port, [worker.popen.pid])) is not None:
                self.incidents[f"{socket.gethostname()}:{found[1]}"] += 1
                os.kill(found[1], signal.SIGKILL)

        trap = Trap(step, after, kill)
        self.server.traps.lay(trap)
        self.publish(*numbers)
        assert trap.sprung.wait(60), f"no connection came to {step}"
        self.reached.append((step, after))

    def kill_at_goodbye(self, numbers: range) -> None:
        """Ask a worker to end, and kill all of it when it takes its leave of the server."""
        worker = self.worker()
        before = self.server.register.kept()
        self.publish(*numbers)
        wait_until(lambda: self.server.register.kept() > before, timeout_seconds=60, what="a mail")
        trap = Trap(Step.QUIT, after=False, spring=lambda _: self.hit(worker, signal.SIGKILL))
        self.server.traps.lay(trap)
        worker.popen.send_signal(signal.SIGTERM)
        assert trap.sprung.wait(60)
        worker.popen.wait()
        self.reached.append((Step.QUIT, False))

    def pause_past_the_lease(self, numbers: range) -> None:
        """Pause a worker whose message is with the server, and let it go on when its deliveries are in doubt."""
        self.zombie = worker = self.worker()
        trap = Trap(Step.DOT, after=False, spring=lambda _: self.hit(worker, signal.SIGSTOP))
        self.server.traps.lay(trap)
        self.publish(*numbers)
        assert trap.sprung.wait(60)
        wait_until(self._in_doubt, timeout_seconds=60, what="what the paused worker holds to be in doubt")
        # Its parent would end it at once, for its time is over: what it does before that is the point.
        for process in members(worker.popen.pid):
            if process != worker.popen.pid:
                os.kill(process, signal.SIGCONT)
        with suppress(AssertionError):  # it says nothing where the rule is broken: the checker sees what it did
            worker.wait_for("mailer.claim.lost", timeout_seconds=20)
        self.hit(worker, signal.SIGKILL)

    def _in_doubt(self) -> bool:
        states = self.running.states()
        assert not states.keys() & {"sending", "claimed"}, states
        return True


def kill_the_consumer_with_records_in_hand(run: Run, postgres: Postgres, consumer: Process, numbers: range) -> None:
    """Kill the consumer while it has read what PostgreSQL has not taken."""
    before = consumer.said.count("mailer.database.lost")
    postgres.crash()
    run.publish(*numbers)
    wait_until(
        lambda: consumer.said.count("mailer.database.lost") > before, timeout_seconds=60, what="the consumer to insist"
    )
    consumer.kill()
    postgres.start()
    run.running.start("consumer", *COMMAND, "mailer", "consume")


@pytest.fixture(scope="module")
def run(
    databases: Databases, kafka: Kafka, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Run]:
    """A run in which each of it has happened, and after which nothing is under way."""
    with ExitStack() as stack:
        database = stack.enter_context(databases.migrated())
        server = stack.enter_context(MailServer(Given(FATES), register=Register(), traps=Traps()))
        running = stack.enter_context(_pipeline(database, kafka, server, tmp_path_factory.mktemp("steps")))
        reader = Reader(database)
        reader.prepare()
        made = Run(running, server, reader=reader, watch=stack.enter_context(PermitWatch(database)))
        consumer = running.start("consumer", *COMMAND, "mailer", "consume")
        running.start("sweeper", *COMMAND, "mailer", "sweep")
        worker = made.worker()
        for number, (step, after) in enumerate(KILLED_AT, start=1):
            made.kill_at(worker, step, after=after, numbers=range(100 * number, 100 * number + _EACH))
        made.hit(worker, signal.SIGKILL)
        made.kill_at_goodbye(range(1000, 1000 + _EACH))
        made.pause_past_the_lease(range(1100, 1100 + 3 * _EACH))
        made.publish(*(number for number in FATES if number > 900))
        kill_the_consumer_with_records_in_hand(made, postgres, consumer, range(1200, 1200 + _EACH))
        made.worker()
        owed = len(made.owed)
        with suppress(AssertionError):  # what never ends is found by the checker
            wait_until(lambda: reader.is_settled(owed), timeout_seconds=100, what="every delivery to have one end")
        yield made


def _pipeline(database: str, kafka: Kafka, server: MailServer, folder: Path) -> AbstractContextManager[Pipeline]:
    return pipeline(
        database=database,
        bootstrap=kafka.bootstrap,
        mail_dsn=f"{server.transport}?connect_timeout_seconds=2&timeout_seconds=10&dot_timeout_seconds=10",
        aggregate_type="steps",
        folder=folder,
        OUTBOX_MAIL_LEASE_SECONDS=str(_LEASE_SECONDS),
        OUTBOX_MAILER_PERMITS=str(_PERMITS),
        OUTBOX_MAILER_PERMIT_SECONDS="2",
        OUTBOX_MAILER_CLAIM="20",
        OUTBOX_LOG_LEVEL="info",
    )


@pytest.fixture(scope="module")
def account(run: Run) -> Account:
    return Account(
        owed=run.owed,
        malformed=frozenset(),
        deliveries=run.reader.deliveries(),
        attempts=run.reader.attempts(),
        letters=run.reader.letters(),
        transactions=run.server.register.transactions,
        turned=run.server.register.turned,
        moves=run.reader.moves(),
        incidents=Incidents(run.incidents),
        permits=run.watch.most(),
        permits_cap=_PERMITS * _ISSUERS,
    )


def test_wherever_a_worker_or_the_consumer_is_killed_no_promise_is_broken(account: Account) -> None:
    assert [str(violation) for violation in judge(account)] == []


def test_a_worker_was_killed_at_every_step_and_some_of_it_was_in_doubt(run: Run, account: Account) -> None:
    lost = [one for one in account.attempts if one.phase == "unknown"]

    assert run.reached == [*KILLED_AT, (Step.QUIT, False)]
    assert run.zombie is not None
    assert "mailer.claim.lost" in run.zombie.said
    assert len(lost) >= 4
    assert len(account.deliveries) == len(run.owed)
    assert account.permits.keys() == {"default", "security"}


@pytest.mark.parametrize(
    ("number", "state", "accepted"),
    [
        (HELD, "in_doubt", 1),
        (SENT_AGAIN, "sent", 2),
        (DOUBTFUL_TWICE, "in_doubt", 2),
        (REFUSED, "dead", 0),
        (LATER, "sent", 1),
    ],
    ids=["held", "sent again", "in doubt twice", "refused", "later"],
)
def test_a_delivery_ends_as_its_mail_and_its_server_say(
    account: Account, number: int, state: str, accepted: int
) -> None:
    [found] = [one for one in account.deliveries if one.recipient == address(number)]

    assert found.state == state
    assert sum(one.kept for one in account.transactions if one.recipient == address(number)) == accepted
