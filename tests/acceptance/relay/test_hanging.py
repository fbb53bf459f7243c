"""A transaction that hangs before the position: the relay names it, and ended as proven, it leaves each event once."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from devstack import providers
from relay.lease import LOCK_SPACE
from relay.service import open_transactions
from relay.settings import RelaySettings
from relay.undecided import Outcome
from tests.support.checker import check
from tests.support.hanging import ForgetfulNetwork, MarkingBroker, forgetful
from tests.support.operators import Operator
from tests.support.relays import RelayProcess, Relays, relays_on
from tests.support.waiting import wait_until

Insert = Callable[..., None]
GUARANTEE = 3


@pytest.fixture
def network(kafka: providers.Kafka) -> Iterator[ForgetfulNetwork]:
    with forgetful(kafka.bootstrap) as network:
        yield network


@pytest.fixture
def relays(database: str, network: ForgetfulNetwork, tmp_path: Path) -> Iterator[Relays]:
    with relays_on(database, network.bootstrap, tmp_path) as started:
        yield started


@pytest.fixture
def settings(database: str, kafka: providers.Kafka) -> RelaySettings:
    return RelaySettings.load({"OUTBOX_DATABASE_URL": database, "OUTBOX_KAFKA_BOOTSTRAP": kafka.bootstrap})


@pytest.fixture
def outbox(database: str, kafka: providers.Kafka, capsys: pytest.CaptureFixture[str]) -> Operator:
    return Operator(database, capsys, {"OUTBOX_KAFKA_BOOTSTRAP": kafka.bootstrap})


def forgotten(settings: RelaySettings) -> set[str]:
    """Return the progress topics there are."""
    return {name for name in open_transactions(settings).topics("outbox.") if name.endswith(".progress")}


def answered_clean(relays: Relays, network: ForgetfulNetwork) -> None:
    relays.drain()
    assert network.kept > 0


def committed_and_not_confirmed(relays: Relays, network: ForgetfulNetwork) -> None:
    relays.start("drain", crash_at="relay.commit.answered").wait()
    assert network.kept > 0


def never_committed(relays: Relays, network: ForgetfulNetwork) -> None:
    network.losing = True
    relay = relays.start("drain")
    wait_until(lambda: network.lost, timeout_seconds=30, what="an EndTxn that is lost")
    relay.end()
    network.losing = False


def hang_between(
    relays: Relays,
    network: ForgetfulNetwork,
    insert: Insert,
    settings: RelaySettings,
    *,
    publish: Callable[[Relays, ForgetfulNetwork], object],
) -> set[str]:
    """Publish 4 events, let the transaction of the next 5 hang, insert 6 more; return the topics where it hangs."""
    insert(4)
    relays.drain()
    insert(5)
    topics = network.forgotten = forgotten(settings)
    publish(relays, network)
    network.forgotten = set()
    insert(6)
    return topics


@pytest.mark.parametrize(
    ("publish", "outcome", "proof"),
    [
        (answered_clean, Outcome.COMMITTED, "outbox.shard confirms its position"),
        pytest.param(
            committed_and_not_confirmed,
            Outcome.COMMITTED,
            "the coordinator's log has every transaction",
            marks=pytest.mark.chaos,
        ),
        pytest.param(
            never_committed, Outcome.ABORTED, "the coordinator's log has it as aborted", marks=pytest.mark.chaos
        ),
    ],
    ids=["answered clean", "committed and not confirmed", "never committed"],
)
def test_a_hanging_transaction_stops_the_relay_and_ends_as_it_is_proven_to_have_ended(
    *,
    database: str,
    kafka: providers.Kafka,
    network: ForgetfulNetwork,
    relays: Relays,
    insert: Insert,
    outbox: Operator,
    settings: RelaySettings,
    publish: Callable[[Relays, ForgetfulNetwork], None],
    outcome: Outcome,
    proof: str,
) -> None:
    hang_between(relays, network, insert, settings, publish=publish)

    stopped = relays.start("drain")

    assert stopped.wait() == GUARANTEE
    assert "hangs on outbox." in stopped.output
    assert f"it was {outcome}: {proof}" in stopped.output
    assert outbox("relay", "hanging").code == GUARANTEE
    ended = outbox("relay", "hanging", "--end", "--reason", "a test")
    assert (ended.code, f"it was {outcome}: {proof}" in ended.out) == (0, True)
    assert ended.out.endswith("; ended so\n")
    relays.drain()
    assert outbox("relay", "hanging").out == "shard 0: nothing hangs\n"
    assert len(check(database, kafka.bootstrap).published) == 15
    with psycopg.connect(database) as connection:
        audited = connection.execute("select action, target, reason, detail ->> 'outcome' from outbox.audit").fetchall()
    assert audited == [("end_hanging", "shard 0", "a test", outcome.value)]


@pytest.mark.parametrize(
    "publish",
    [
        answered_clean,
        pytest.param(committed_and_not_confirmed, marks=pytest.mark.chaos),
        pytest.param(never_committed, marks=pytest.mark.chaos),
    ],
)
def test_resync_ends_what_hangs_as_it_is_proven_to_have_ended_before_it_does_what_was_chosen(
    *,
    database: str,
    kafka: providers.Kafka,
    network: ForgetfulNetwork,
    relays: Relays,
    insert: Insert,
    outbox: Operator,
    settings: RelaySettings,
    publish: Callable[[Relays, ForgetfulNetwork], None],
) -> None:
    hang_between(relays, network, insert, settings, publish=publish)
    assert relays.start("drain").wait() == GUARANTEE

    shown = outbox("relay", "resync", "0")
    asked = outbox("relay", "resync", "0", "--from", "topics", "--reason", "a test")
    assert (shown.code, asked.code) == (GUARANTEE, 2), (shown.err, asked.err)
    assert "hangs on outbox." in shown.err
    assert "expected --yes" in asked.err
    done = outbox("relay", "resync", "0", "--from", "topics", "--reason", "a test", "--yes")

    assert (done.code, "; ended so" in done.err) == (0, True), done
    relays.drain()
    assert len(check(database, kafka.bootstrap).published) == 15
    with psycopg.connect(database) as connection:
        audited = connection.execute("select action, reason from outbox.audit order by id").fetchall()
    assert audited == [("end_hanging", "a test"), ("resync", "a test")]


@pytest.mark.chaos
def test_a_committed_page_that_was_aborted_by_hand_is_put_right_from_the_topics(
    *,
    database: str,
    kafka: providers.Kafka,
    network: ForgetfulNetwork,
    relays: Relays,
    insert: Insert,
    outbox: Operator,
    settings: RelaySettings,
) -> None:
    topics = hang_between(relays, network, insert, settings, publish=lambda relays, _: relays.drain())
    transactions = open_transactions(settings)
    assert "hangs on outbox." in outbox("relay", "position").out
    refused = outbox("relay", "resync", "0")
    assert (refused.code, "fix: `outbox relay hanging --end`" in refused.err) == (GUARANTEE, True)

    for hanging in transactions.open([(topic, 0) for topic in topics]):
        transactions.mark(hanging, commit=False)  # as `kafka-transactions.sh abort` does

    stopped = relays.start("drain")
    assert stopped.wait() == GUARANTEE
    assert "was confirmed: Kafka lost it" in stopped.output
    assert outbox("relay", "resync", "0", "--from", "topics", "--reason", "aborted by hand", "--yes").code == 0
    relays.drain()
    assert len(check(database, kafka.bootstrap).published) == 15


def test_what_hangs_is_not_ended_without_a_reason_or_while_a_relay_is_at_work(database: str, outbox: Operator) -> None:
    assert "expected why it is ended, got nothing" in outbox("relay", "hanging", "--end").err
    with psycopg.connect(database, autocommit=True) as relay:
        relay.execute("select pg_advisory_lock(%s, 0)", [LOCK_SPACE])
        refused = outbox("relay", "hanging", "--end", "--reason", "a test")
    assert refused.code == 1
    assert "expected nobody to hold the lease on shard 0" in refused.err


@pytest.fixture
def hung(relays: Relays, network: ForgetfulNetwork, insert: Insert, settings: RelaySettings) -> RelayProcess:
    """A relay that is paused behind the first of three pages of a window: that page hangs, the others need not."""
    insert(4)
    relays.drain()
    insert(6)
    network.forgotten = forgotten(settings)
    relay = relays.start("drain", pause_at="relay.page.committed", settings={"relay_page_rows": 2})
    relay.wait_for("relay.page.committed")
    assert network.kept > 0
    network.forgotten = set()
    return relay


@pytest.mark.chaos
def test_the_next_page_of_the_same_producer_ends_what_hangs_with_its_own_commit(
    database: str, kafka: providers.Kafka, hung: RelayProcess
) -> None:
    hung.send(signal.SIGCONT)

    assert hung.wait() == 0
    assert len(check(database, kafka.bootstrap).published) == 10


def test_a_page_that_was_committed_and_is_aborted_with_the_next_one_stops_the_relay(
    network: ForgetfulNetwork, hung: RelayProcess
) -> None:
    network.losing = True
    hung.send(signal.SIGCONT)

    assert hung.wait() == GUARANTEE
    assert "Kafka lost a page that it had committed" in hung.output


@pytest.mark.chaos
def test_a_commit_whose_markers_were_lost_everywhere_is_committed_everywhere(
    database: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    insert: Insert,
) -> None:
    (tmp_path / "kafka").mkdir()
    broker = MarkingBroker(tmp_path / "kafka")
    with contextlib.closing(broker), relays_on(database, broker.bootstrap, tmp_path) as relays:
        broker.start()
        outbox = Operator(database, capsys, {"OUTBOX_KAFKA_BOOTSTRAP": broker.bootstrap})
        insert(4)
        relays.drain()
        insert(5)
        broker.network.unmarked = True
        relays.drain()
        wait_until(lambda: broker.network.markers, timeout_seconds=30, what="a marker that is lost")
        broker.network.unmarked = False

        stopped = relays.start("drain")
        assert stopped.wait() == GUARANTEE
        assert stopped.output.count(" hangs on ") >= 2
        assert outbox("relay", "hanging", "--end", "--reason", "markers were lost").code == 0
        relays.drain()

        assert len(check(database, broker.bootstrap).published) == 9
