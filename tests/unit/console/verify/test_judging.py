"""What `outbox verify` says of events and records, fact by fact."""

from collections.abc import Sequence
from typing import Any

import pytest

from console.verify.facts import Copy, Cut, Doubt, Finding, Kind, Note, Placed, Reach, Row, Said, TopicState
from console.verify.judging import compare, in_order, joined
from console.verify.scratch import short

TOPIC = "outbox.event.user"
NOW = 1_000_000.0


def event(number: int) -> bytes:
    return number.to_bytes(16)


def row(number: int, **facts: Any) -> Row:
    usual: dict[str, Any] = {
        "event_id": event(number), "id": number, "shard": 0, "seq": 1, "since": NOW, "topic": TOPIC, "key": b"k",
        "letter": None, "judged": 1,
    }  # fmt: skip
    return Row(**usual | facts)


def copy(number: int, offset: int = 0, **facts: Any) -> Copy:
    usual: dict[str, Any] = {
        "event_id": event(number), "topic": TOPIC, "partition": 0, "offset": offset, "key": b"k", "made_at": NOW,
    }  # fmt: skip
    return Copy(**usual | facts)


def reach(state: TopicState | None = None, **facts: Any) -> Reach:
    topics = {TOPIC: state or TopicState(1)}
    usual: dict[str, Any] = {"read_from": NOW - 100, "pruned_before": 0.0, "compacted_before": 0.0, "topics": topics}
    return Reach(**usual | facts)


def kinds(said: Sequence[Said]) -> list[Kind]:
    return [one.kind for one in said if isinstance(one, Finding)]


def test_each_event_once_is_well() -> None:
    assert list(compare([row(1), row(2)], [copy(1), copy(2, 1)], reach())) == []


def test_a_dead_letter_takes_the_place_of_a_record() -> None:
    assert list(compare([row(1, letter="payload_too_large")], [], reach())) == []


def test_an_event_in_neither_place_is_lost() -> None:
    (lost,) = compare([row(1), row(2)], [copy(2)], reach())

    assert isinstance(lost, Finding)
    assert (lost.kind, lost.row_id, lost.window, lost.topic) == (Kind.LOST, 1, 1, TOPIC)


def test_an_event_that_no_window_holds_is_lost_by_its_transaction_id() -> None:
    (lost,) = compare([row(1, seq=None)], [], reach())

    assert "in no window: somebody wrote its tx" in getattr(lost, "problem", "")


def test_an_event_outside_of_the_range_may_be_absent() -> None:
    assert list(compare([row(1, judged=0)], [], reach())) == []


def test_a_second_record_is_named_with_both_places() -> None:
    (doubled,) = compare([row(1)], [copy(1, 3), copy(1, 9)], reach())

    assert isinstance(doubled, Finding)
    assert (doubled.kind, doubled.offset) == (Kind.DOUBLED, 9)
    assert f"{TOPIC}/0@3, {TOPIC}/0@9" in doubled.problem


def test_an_id_that_hosts_gave_to_two_rows_may_be_there_twice() -> None:
    said = list(compare([row(1), row(1, id=2)], [copy(1), copy(1, 1)], reach()))

    assert kinds(said) == []
    assert isinstance(said[0], Note)


def test_an_id_that_hosts_gave_to_two_rows_must_be_there_twice() -> None:
    assert kinds(list(compare([row(1), row(1, id=2)], [copy(1)], reach()))) == [Kind.LOST, Kind.LOST]


def test_a_dead_letter_that_is_published_too_is_named() -> None:
    assert kinds(list(compare([row(1, letter="x")], [copy(1)], reach()))) == [Kind.DEAD_AND_PUBLISHED]


def test_what_was_published_already_has_a_dead_letter_and_a_record() -> None:
    assert list(compare([row(1, letter="already_published")], [copy(1)], reach())) == []
    assert kinds(list(compare([row(1, letter="already_published")], [], reach()))) == [Kind.LOST]


def test_a_record_without_a_row_is_made_up() -> None:
    assert kinds(list(compare([], [copy(1)], reach()))) == [Kind.MADE_UP]


def test_a_record_whose_row_retention_may_have_deleted_is_not_judged() -> None:
    (doubt,) = compare([], [copy(1, made_at=NOW - 10)], reach(pruned_before=NOW))

    assert isinstance(doubt, Doubt)
    assert not doubt.covered


def test_another_topic_or_key_is_misplaced() -> None:
    assert kinds(list(compare([row(1)], [copy(1, key=b"other")], reach()))) == [Kind.MISPLACED]
    assert kinds(list(compare([row(1)], [copy(1, topic="other")], reach()))) == [Kind.MISPLACED]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (TopicState(1, compacted=True), "it is compacted"),
        (TopicState(1, compacted=None), "we may not read its settings"),
        (TopicState(1, cuts={0: Cut(None)}), "Kafka has deleted the beginning of partition 0"),
        (TopicState(1, cuts={0: Cut(NOW + 1)}), "Kafka has deleted the beginning of partition 0"),
        (TopicState(1, undecided={0}), "a transaction is open in partition 0"),
    ],
)
def test_what_kafka_cannot_show_is_not_judged(state: TopicState, reason: str) -> None:
    (doubt,) = compare([row(1)], [], reach(state))

    assert isinstance(doubt, Doubt)
    assert reason in doubt.reason


def test_a_topic_that_is_gone_leaves_its_events_unjudged() -> None:
    (doubt,) = compare([row(1, topic="gone")], [], reach())

    assert "there is no such topic" in getattr(doubt, "reason", "")


def test_what_was_deleted_before_the_range_hides_nothing() -> None:
    assert kinds(list(compare([row(1)], [], reach(TopicState(1, cuts={0: Cut(NOW - 1000)}))))) == [Kind.LOST]


def test_another_partition_hides_nothing() -> None:
    state = TopicState(2, cuts={1: Cut(None)}, undecided={1})  # key k is of partition 0

    assert kinds(list(compare([row(1)], [], reach(state)))) == [Kind.LOST]


def test_a_key_too_long_to_keep_may_be_in_any_partition() -> None:
    long = row(1, key=short(b"k" * 1000))

    assert kinds(list(compare([long], [], reach(TopicState(2, undecided={0}))))) == []


def test_events_that_may_be_older_than_what_was_read_are_not_judged() -> None:
    (doubt,) = compare([row(1, since=NOW - 200)], [], reach())

    assert "before what was read" in getattr(doubt, "reason", "")


def test_rows_and_records_meet_by_event_id() -> None:
    groups = list(joined([row(1), row(3), row(3)], [copy(2), copy(3), copy(4), copy(4)]))

    assert [(int.from_bytes(name), len(rows), len(copies)) for name, rows, copies in groups] == [
        (1, 1, 0), (2, 0, 1), (3, 2, 1), (4, 0, 2),
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ order


def placed(number: int, offset: int, *, seq: int = 1, partition: int = 0, aggregate: bytes = b"a") -> Placed:
    return Placed(TOPIC, aggregate, partition, offset, 0, seq, number, event(number))


def test_records_by_window_and_id_are_in_order() -> None:
    assert list(in_order([placed(1, 0), placed(2, 5), placed(3, 6, seq=2)])) == []


def test_an_id_before_a_smaller_one_of_its_window_is_out_of_order() -> None:
    (wrong,) = in_order([placed(2, 0), placed(1, 1)])

    assert isinstance(wrong, Finding)
    assert (wrong.kind, wrong.row_id, wrong.offset) == (Kind.DISORDERED, 1, 1)


def test_a_window_before_an_earlier_one_is_out_of_order() -> None:
    assert kinds(list(in_order([placed(1, 0, seq=2), placed(2, 1, seq=1)]))) == [Kind.DISORDERED]


def test_a_smaller_id_in_a_later_window_is_the_hosts_order() -> None:
    (note,) = in_order([placed(2, 0), placed(1, 1, seq=2)])

    assert isinstance(note, Note)
    assert note.text.startswith("1 events were inserted before and committed after")


def test_an_aggregate_in_two_partitions_has_lost_its_order() -> None:
    assert kinds(list(in_order([placed(1, 0), placed(2, 0, partition=1)]))) == [Kind.DISORDERED]


def test_aggregates_have_no_order_among_each_other() -> None:
    assert list(in_order([placed(2, 0, aggregate=b"a"), placed(1, 1, aggregate=b"b")])) == []
