"""One transaction a page: its events and the position behind them, and the barrier before its commit."""

import json

import pytest

from relay.errors import BarrierNotDurableError
from relay.machine import Clean, Unclean
from relay.publisher import Publisher
from tests.unit.relay.fakes import (
    CountingEnvelope,
    FakeSession,
    FakeSink,
    position,
    publishing,
    records_of,
    rows,
    window,
)


def transact(publisher: Publisher, seq: int, *ids: int, last_id: int | None = None) -> Clean | Unclean:
    page = rows(*ids)
    return publisher.transact(
        page, records_of(page), position(seq, last_id), window=window(seq), meanwhile=lambda: None
    )


def test_a_page_and_the_position_behind_it_are_one_transaction() -> None:
    sink = FakeSink()

    with publishing(FakeSession(), sink) as publisher:
        verdict = transact(publisher, 4, 11, 12)

    assert verdict == Clean()
    assert sink.asked == ["begin", "produce 11", "produce 12", "progress i/1/0", "commit 2"]


def test_a_commit_begins_after_the_barrier_of_its_window_is_written() -> None:
    asked: list[str] = []

    with publishing(FakeSession(asked), FakeSink(asked)) as publisher:
        transact(publisher, 4, 11)
        assert publisher.progress is not None

    assert "barrier 5/4" in asked
    assert asked.index("barrier 5/4") < asked.index("commit 1")


def test_a_page_whose_barrier_fails_is_not_committed() -> None:
    sink = FakeSink()
    session = FakeSession(refusing={"barrier": BarrierNotDurableError(0, 4, "canceling wait")})

    with publishing(session, sink) as publisher, pytest.raises(BarrierNotDurableError):
        transact(publisher, 4, 11)

    assert not [what for what in sink.asked if what.startswith("commit")]


def test_each_window_has_a_barrier_of_its_own() -> None:
    session = FakeSession()

    with publishing(session, FakeSink()) as publisher:
        transact(publisher, 4, 11, last_id=11)
        transact(publisher, 4, 12)
        transact(publisher, 5, 13)

    assert session.asked == ["barrier 5/4", "barrier 5/5"]


def test_a_page_with_a_record_that_the_client_refuses_is_aborted() -> None:
    sink = FakeSink(refused={b"12"})

    with publishing(FakeSession(), sink) as publisher:
        verdict = transact(publisher, 4, 11, 12, 13)
        assert publisher.progress is None

    assert verdict == Unclean("the client refused a record: too large", frozenset({12}), 10)
    assert sink.asked == ["begin", "produce 11", "abort"]


def test_a_progress_record_counts_and_digests_its_page() -> None:
    sink = FakeSink()

    with publishing(FakeSession(), sink) as publisher:
        transact(publisher, 4, 5, 6, 8, last_id=8)

    assert json.loads(sink.progress[0]) == {
        "v": 1,
        "install": "i",
        "gen": 1,
        "sysid": 7,
        "shard": 0,
        "epoch": 5,
        "seq": 4,
        "prev_seq": 3,
        "a": "3:5:",
        "b": "3:9:",
        "last_id": 8,
        "n": 3,
        "sha": "441963c3e1cd09a08601de2bb4d2f2cd430c2014e7c9838396c55f1bdea9ff20",  # printf '5,6,8' | sha256sum
    }


def test_what_was_encoded_ahead_is_not_encoded_again() -> None:
    envelope, page = CountingEnvelope(), rows(11, 12)

    with publishing(FakeSession(), FakeSink(), envelope=envelope) as publisher:
        publisher.encode_ahead(page)
        records, refused = publisher.encode(page)

    assert ([record.value for record in records.values()], refused) == ([b"e11", b"e12"], {})
    assert envelope.encoded == ["e11", "e12"]


def test_what_was_encoded_ahead_does_not_stand_for_other_rows() -> None:
    page = rows(11, 12)

    with publishing(FakeSession(), FakeSink(), envelope=CountingEnvelope()) as publisher:
        publisher.encode_ahead(page)
        first, _ = publisher.encode(page[:1])
        publisher.encode_ahead(page)
        other, _ = publisher.encode(rows(13))

    assert (list(first), list(other)) == ([11], [13])


def test_what_is_refused_is_refused_ahead_too() -> None:
    with publishing(FakeSession(), FakeSink(largest=2), envelope=CountingEnvelope()) as publisher:
        page = rows(11)
        publisher.encode_ahead(page)
        _, refused = publisher.encode(page)

    assert list(refused) == [11]
