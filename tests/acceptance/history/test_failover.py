"""A standby takes the primary's place: what it lost is never guessed at, and what it has goes on by itself."""

import signal

import pytest

from devstack import providers
from tests.acceptance.history.conftest import Site, end, ends_with_3, failed_checks, published, wait_published
from tests.support.checker import check
from tests.support.operators import Operator
from tests.support.relays import Relays
from tests.support.replication import ask

NO_ROW = "outbox.batch has no row for window {}, which Kafka has committed: PostgreSQL lost history"
OTHER_EPOCH = "and outbox.batch has it of epoch"


@pytest.mark.versions
def test_a_standby_that_has_everything_is_published_from_without_a_person(
    site: Site, kafka: providers.Kafka, relays: Relays
) -> None:
    relay = relays.start("run")
    site.insert(4)
    wait_published(relay, 4)
    site.insert(3)
    wait_published(relay, 7)
    site.pair.catch_up()

    site.pair.fail_over()
    site.insert(5)
    wait_published(relay, 12)
    end(relay)

    assert len(check(site.dsn, kafka.bootstrap).published) == 12


@pytest.mark.versions
@pytest.mark.parametrize(
    "later", [pytest.param(0, marks=pytest.mark.chaos), pytest.param(2, marks=pytest.mark.chaos), 9]
)
def test_a_standby_without_what_was_published_stops_the_relay_however_many_xids_came_again(
    *, later: int, site: Site, kafka: providers.Kafka, relays: Relays, outbox: Operator
) -> None:
    relay = relays.start("run")
    site.insert(3)
    wait_published(relay, 3)
    site.pair.catch_up()
    site.pair.follower.cut()
    site.insert(2, each=True)
    wait_published(relay, 5)
    relay.send(signal.SIGSTOP)
    site.pair.fail_over()
    site.insert(later, each=True)

    relay.send(signal.SIGCONT)

    last = NO_ROW.format(max(page["seq"] for page in relay.events("relay.page.committed")))
    ends_with_3(relay, last)
    assert published(kafka, site) == 5
    assert last in failed_checks(outbox)["relay.shard_0"]
    assert outbox("relay", "position").code == 3


def test_a_standby_that_only_lacks_the_mirror_is_published_from(
    site: Site, kafka: providers.Kafka, relays: Relays
) -> None:
    relay = relays.start("run", pause_at="relay.commit.started:3")  # the first is the bootstrap's
    site.insert(3)
    wait_published(relay, 3)
    site.insert(3)
    relay.wait_for("relay.commit.started", count=3)
    site.pair.catch_up()
    site.pair.follower.cut()
    mirrored = len(relay.events("relay.mirror.written"))
    relay.send(signal.SIGCONT)
    relay.wait_for("relay.mirror.written", count=mirrored + 1)
    relay.send(signal.SIGSTOP)
    site.insert(4, each=True)  # lost, and never published
    site.pair.fail_over()
    assert site.ask("select confirmed_seq from outbox.shard") < site.ask("select max(seq) from outbox.batch")
    site.insert(6, each=True)

    relay.send(signal.SIGCONT)
    wait_published(relay, 12)
    end(relay)

    assert len(check(site.dsn, kafka.bootstrap).published) == 12


@pytest.mark.chaos
@pytest.mark.parametrize("policy", ["skip", "park-key"])
def test_a_dead_letter_that_the_standby_lacks_is_not_passed_by(
    *, policy: str, site: Site, kafka: providers.Kafka, relays: Relays
) -> None:
    """The barrier of a window, written before its first page, says nothing of a dead letter that came after it."""
    settings = {"relay_page_rows": 2, "relay_poison_policy": policy}
    relay = relays.start("run", pause_at="relay.event.suspected:1", settings=settings)
    site.insert(6, too_large=2)
    relay.wait_for("relay.event.suspected")
    site.pair.catch_up()
    site.pair.follower.cut()
    relay.send(signal.SIGCONT)
    wait_published(relay, 5)
    relay.end()
    site.pair.fail_over()
    assert site.ask("select count(*) from outbox.event") == 6
    assert site.ask("select count(*) from outbox.batch where seq = 1") == 1
    assert site.ask("select count(*) from outbox.dead_letter") == 0

    ends_with_3(relays.start("drain"), OTHER_EPOCH)

    assert published(kafka, site) == 5


@pytest.mark.chaos
def test_a_dead_letter_that_the_standby_has_is_passed_by(site: Site, kafka: providers.Kafka, relays: Relays) -> None:
    relay = relays.start("run", settings={"relay_page_rows": 2})
    site.insert(6, too_large=2)
    wait_published(relay, 5)
    relay.end()
    site.pair.catch_up()
    site.pair.fail_over()
    site.insert(2)

    relays.drain()

    assert len(check(site.dsn, kafka.bootstrap).published) == 7


@pytest.mark.chaos
def test_a_primary_that_comes_back_is_not_taken_for_the_standby_that_counted_the_same_transactions(
    site: Site, kafka: providers.Kafka, relays: Relays
) -> None:
    """Both have a window 2 with the same snapshots and other events; that of the standby alone is published."""
    here, there = {"database_url": site.dsn}, {"database_url": site.standby_dsn}
    site.insert(2)
    relays.drain(settings=here)
    site.pair.catch_up()
    former = site.dsn
    site.pair.promote()
    for server in (former, site.dsn):
        site.insert(3, dsn=server, each=True)
    assert relays.start("drain", crash_at="relay.barrier.written", settings=here).wait() == -signal.SIGKILL
    relays.drain(settings=there)
    window = "select a::text || ' ' || b::text from outbox.batch where seq = 2"
    assert ask(former, window) == site.ask(window)
    epoch = "select epoch from outbox.batch where seq = 2"
    assert ask(former, epoch) != site.ask(epoch)  # but for one time in a thousand, which is what remains of the risk
    site.insert(1, dsn=former)

    ends_with_3(relays.start("drain", settings=here), "lost history")

    assert published(kafka, site) == 5


@pytest.mark.chaos
def test_an_old_primary_that_still_takes_writes_is_not_published_from(
    site: Site, kafka: providers.Kafka, relays: Relays
) -> None:
    old = relays.start("run", settings={"database_url": site.dsn})
    site.insert(2)
    wait_published(old, 2)
    old.send(signal.SIGSTOP)
    site.pair.catch_up()
    former = site.dsn
    site.pair.promote()
    new = relays.start("run", settings={"database_url": site.dsn})
    site.insert(3)
    wait_published(new, 3)
    site.insert(4, dsn=former)

    old.send(signal.SIGCONT)

    ends_with_3(old, "it lost history")
    site.insert(5)
    wait_published(new, 8)
    end(new)
    assert len(check(site.dsn, kafka.bootstrap).published) == 10


def test_a_relay_that_starts_in_the_middle_of_a_failover_waits_for_its_end(
    site: Site, kafka: providers.Kafka, relays: Relays
) -> None:
    site.insert(2)
    site.pair.catch_up()
    both = site.pair.either(site.dsn)
    site.pair.primary.crash()
    relay = relays.start("run", settings={"database_url": both})
    assert "read-only" in relay.wait_for("relay.session.failed")["reason"]

    site.pair.promote()

    wait_published(relay, 2)
    end(relay)
    assert len(check(site.dsn, kafka.bootstrap).published) == 2


@pytest.mark.chaos
def test_a_drain_that_starts_in_the_middle_of_a_failover_leaves_it_to_the_next_one(site: Site, relays: Relays) -> None:
    both = site.pair.either(site.dsn)
    site.pair.primary.crash()

    drain = relays.start("drain", settings={"database_url": both})

    assert drain.wait() == 1, drain.output
    assert "session is read-only" in drain.output


def test_a_relay_that_is_given_a_standby_says_so_and_reads_nothing(
    site: Site, kafka: providers.Kafka, relays: Relays, capsys: pytest.CaptureFixture[str]
) -> None:
    site.insert(2)
    site.pair.catch_up()

    relay = relays.start("run", settings={"database_url": site.standby_dsn})

    ends_with_3(relay, "OUTBOX_DATABASE_URL leads to a standby or read-only database")
    assert published(kafka, site) == 0
    assert relay.events() == []
    assert ask(site.dsn, "select sum(epoch)::int from outbox.shard") == 0
    assert failed_checks(Operator(site.standby_dsn, capsys))["postgres.primary"] == "a standby"
