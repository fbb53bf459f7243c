import re

import pytest

from bench.peers import debezium, environment, jars, outboxes
from bench.peers.drain import Sample, figures
from bench.peers.faults import tally
from bench.peers.feeding import Committed
from bench.quantiles import milliseconds
from devstack import maven


def sample(at: float, visible: int, relay: float = 0.0, broker: float = 0.0) -> Sample:
    return Sample(at, visible, {"relay": relay, "broker": broker})


def test_a_drain_counts_from_the_first_growth_to_the_last() -> None:
    samples = [
        sample(0.0, 500, relay=1.0),  # before it began
        sample(5.0, 500, relay=3.0),  # a start that took 5 s and 2 s of CPU
        sample(6.0, 600, relay=3.5, broker=9.0),
        sample(8.0, 1500, relay=3.9, broker=9.2),
        sample(9.0, 1500, relay=8.0, broker=9.9),  # what came after the end
    ]

    found = figures(samples, events=1000)

    assert found == pytest.approx({"rate": 450, "relay_us": 444.4444, "broker_us": 222.2222, "cpu_us": 666.6667})


def test_control_records_are_not_counted_as_events() -> None:
    samples = [sample(0, 0), sample(1, 220), sample(2, 1100)]

    found = figures(samples, events=1000)

    assert found["rate"] == pytest.approx(800)


def test_a_backlog_that_did_not_come_in_has_no_figures() -> None:
    with pytest.raises(ValueError, match="expected 1000 events to become visible, got 999"):
        figures([sample(0, 1), sample(1, 500), sample(2, 1000)], events=1000)


def test_a_backlog_that_came_in_at_once_has_no_figures() -> None:
    with pytest.raises(ValueError, match="bit by bit"):
        figures([sample(0, 0), sample(1, 1000), sample(2, 1000)], events=1000)


@pytest.mark.parametrize("value", [b'{"n" : 17, "filler" : "x"}', b'{"n": 17, "filler": "x"}'])
def test_an_event_says_its_number_in_either_form_of_json(value: bytes) -> None:
    assert outboxes.number_of(value) == 17


def test_a_record_that_is_no_event_of_the_bench_is_refused() -> None:
    with pytest.raises(ValueError, match="expected an event of this bench"):
        outboxes.number_of(b"{}")


@pytest.mark.parametrize("outbox", outboxes.BY_NAME.values(), ids=outboxes.BY_NAME)
def test_a_copied_line_has_a_field_a_column_and_the_number_of_the_event(outbox: outboxes.Outbox) -> None:
    columns = re.search(r"\((.*)\)", outbox.copy)

    fields = outbox.line(1042).rstrip("\n").split("\t")

    assert columns is not None
    assert len(fields) == len(columns[1].split(","))
    value = next((field for field in fields if '"n"' in field), "").encode()
    value = value or bytes.fromhex(fields[1].removeprefix("\\\\x"))
    assert outboxes.number_of(value) == 1042
    assert len(value) == 305


def test_only_the_tuned_debezium_polls_often() -> None:
    url = "postgresql://postgres:secret@127.0.0.1:5499/postgres"

    tuned, default = (debezium.connector(url, name="one", tuned=tuned) for tuned in (True, False))

    assert tuned["database.port"] == "5499"
    assert tuned.items() > default.items()
    assert tuned["poll.interval.ms"] == "10"
    assert {one["transaction.boundary"] for one in (tuned, default)} == {"poll"}
    assert {one["exactly.once.support"] for one in (tuned, default)} == {"required"}


def test_the_lock_file_of_jars_has_each_root_and_nothing_that_is_left_out() -> None:
    locked = [jar.coordinate for jar in maven.locked(jars.GROUP, lock=jars.LOCK)]

    assert set(jars.ROOTS) <= set(locked)
    assert not [coordinate for coordinate in locked if coordinate.startswith(jars.LEFT_OUT)]


def test_the_lock_file_of_packages_names_a_hash_for_each() -> None:
    packages = environment.LOCK.read_text(encoding="utf-8").split("==")[1:]

    assert len(packages) > 10
    assert all("--hash=sha256:" in package for package in packages)


def test_a_tally_tells_the_lost_from_the_doubled() -> None:
    lost, doubled = tally(range(1, 6), [1, 2, 2, 4, 4, 4, 99])

    assert (lost, doubled) == (2, 3)


def test_an_event_committed_with_its_transaction() -> None:
    committed = Committed(101, 5, [(1.0, 1.5), (2.0, 2.5)])

    assert committed.numbers == range(101, 111)
    assert [committed.committed_at(number) for number in (101, 105, 106, 110)] == [1.5, 1.5, 2.5, 2.5]
    assert committed.sent_at(106) == 2.0


def test_a_summary_of_latencies_is_in_milliseconds() -> None:
    found = milliseconds([number / 1000 for number in range(1001)])

    assert found == pytest.approx({"p50": 500.0, "p99": 990.0, "p99.9": 999.0, "max": 1000.0})
