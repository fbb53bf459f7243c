import pytest

from relay.replicas import Replicas, known_brokers, partition_of, summary


def copies(
    *, partition: int = 0, leader: int = 1, in_sync: str = "123", present: str = "123", min_in_sync: int = 2
) -> Replicas:
    alive, there = (frozenset(map(int, ids)) for ids in (in_sync, present))
    return Replicas("orders", partition, leader, frozenset({1, 2, 3}), alive, there, min_in_sync)


def test_a_partition_with_every_copy_lacks_nothing() -> None:
    one = copies()

    assert (one.leaderless, one.short, one.thin) == (False, False, False)
    assert str(one) == "orders/0: 3 in sync of min 2"


def test_a_partition_that_has_enough_copies_is_thin_and_can_be_written_to() -> None:
    one = copies(in_sync="12", present="12")

    assert (one.short, one.thin) == (False, True)
    assert str(one) == "orders/0: 2 in sync of min 2, missing broker 3"


def test_a_partition_with_too_few_in_sync_names_who_is_missing() -> None:
    one = copies(in_sync="1", present="1")

    assert (one.leaderless, one.short) == (False, True)
    assert str(one) == "orders/0: 1 in sync of min 2, missing broker 2, 3"


def test_a_broker_that_is_gone_does_not_count_though_it_is_listed_as_in_sync() -> None:
    one = copies(in_sync="123", present="1")

    assert (one.leaderless, one.short) == (False, True)


def test_a_leader_that_is_gone_is_no_leader() -> None:
    one = copies(leader=3, in_sync="123", present="12")

    assert (one.leaderless, one.short) == (True, True)
    assert str(one) == "orders/0: no leader, 2 in sync of min 2, missing broker 3"


def test_a_broker_that_is_there_and_not_in_sync_is_behind() -> None:
    assert str(copies(in_sync="1")) == "orders/0: 1 in sync of min 2, behind: broker 2, 3"


def test_a_summary_names_partitions_without_a_leader_first_and_counts_the_rest() -> None:
    thin = [copies(partition=number, in_sync="1") for number in range(4)]

    said = summary([*thin, copies(partition=9, leader=-1)])

    assert said.startswith("orders/9: no leader, ")
    assert said.endswith("; and 2 more")


def test_brokers_that_are_away_are_known_by_what_they_hold() -> None:
    assert known_brokers({1: "one", 2: "two"}, [[1, 2], [2, 3]]) == {1, 2, 3}


@pytest.mark.parametrize(
    ("name", "code"),
    [("hello", 99162322), ("outbox.0.1.0", 36872828), ("polygenelubricants", 0), ("\U0001f600", 1772899)],
)
def test_the_partition_of_a_transactional_id_is_by_its_hash_in_java(name: str, code: int) -> None:
    # "polygenelubricants" hashes to Java's smallest number.
    assert partition_of(name, 50) == code % 50
