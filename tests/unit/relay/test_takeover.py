"""Taking over: nothing is fenced by who has no right to, nothing is published from a position that nobody can prove."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from relay.errors import HaltedError, LeaseLostError
from relay.lease import Batch, Term
from relay.patience import Patience
from relay.progress import LastRecord, ProgressReader
from relay.takeover import Takeover
from relay.telemetry import Telemetry
from relay.window import Position, Progress
from relay.wiring import Held, Wiring
from tests.unit.relay.fakes import (
    FACTS,
    INSTALLATION,
    TERM,
    FakeReader,
    FakeSession,
    FakeSink,
    Stop,
    emit,
    patience,
    progress_topic,
)

if TYPE_CHECKING:
    from relay.leases import Session
    from relay.source import Source
    from relay.topics import Topics

RECORD = Progress(
    install="i", gen=1, sysid=7, shard=0, epoch=4, seq=3, prev_seq=2, a="3:5:", b="3:9:", last_id=21, n=1, sha="s"
)


class NoParkedKeys:
    """A source of which nothing but its parked keys is asked."""

    def parked_keys(self) -> dict[tuple[str, str], int]:
        return {}


def taking_over(session: FakeSession, sink: FakeSink, reader: FakeReader, waiting: Patience) -> Takeover:
    wiring = Wiring(
        installation=INSTALLATION,
        envelope=cast("Any", None),
        topics=cast("Topics", progress_topic()),
        telemetry=Telemetry(),
        stop=Stop(),
        policies=cast("Any", None),
        open_session=lambda _: cast("Session", session),
        make_source=lambda _session, _shard: cast("Source", NoParkedKeys()),
        make_sink=lambda _: sink,
        make_reader=lambda _: cast("ProgressReader", reader),
    )
    return Takeover(wiring, 0, patience=waiting, emit=emit)


@contextmanager
def renewing(
    session: FakeSession, sink: FakeSink, last: LastRecord, *, term: Term = TERM
) -> Iterator[tuple[Takeover, Held]]:
    """Give a takeover on *session*, and what the holder of the lease has."""
    with patience() as waiting:
        takeover = taking_over(session, sink, FakeReader(last), waiting)
        yield takeover, Held(cast("Session", session), cast("Source", NoParkedKeys()), term)


def test_a_server_with_another_history_is_refused_at_every_connection() -> None:
    session = FakeSession(server=replace(FACTS, sysid=8))

    with patience() as waiting, pytest.raises(HaltedError, match="belongs to another cluster"):
        taking_over(session, FakeSink(), FakeReader(), waiting).open_session()

    assert session.asked[-1] == "closed"


def test_an_installation_that_became_another_is_refused() -> None:
    session = FakeSession(named=replace(INSTALLATION, gen=2))

    with patience() as waiting, pytest.raises(HaltedError, match=r"outbox\.meta changed"):
        taking_over(session, FakeSink(), FakeReader(), waiting).open_session()

    assert session.asked[0].startswith("halted 0 None: outbox.meta changed")


def test_no_producer_is_made_for_a_lease_that_is_lost() -> None:
    """Rule 11: two relays would fence each other for ever."""
    session = FakeSession(refusing={"check": LeaseLostError(0, 5, "a successor has raised the epoch")})
    sink = FakeSink()

    with renewing(session, sink, LastRecord(RECORD)) as (takeover, held), pytest.raises(LeaseLostError):
        takeover.renew(held)

    assert sink.asked == []


def test_the_position_is_that_of_kafka_whatever_the_mirror_says() -> None:
    mirror = {"confirmed_seq": 2, "a": "3:4:", "b": "3:5:", "confirmed_last": None}
    session = FakeSession(batches={3: Batch(a="3:5:", b="3:9:", epoch=4, n=6)}, mirrored=mirror)

    with renewing(session, FakeSink(), LastRecord(RECORD)) as (takeover, held):
        found = takeover.renew(held)

    assert found == (Position(seq=3, a="3:5:", b="3:9:", last_id=21), 6)


def test_a_shard_is_marked_once_its_first_position_is_committed() -> None:
    asked: list[str] = []
    term = replace(TERM, bootstrapped=False)

    with renewing(FakeSession(asked), FakeSink(asked), LastRecord(None), term=term) as (takeover, held):
        found, _ = takeover.renew(held)

    assert asked[:2] == ["check 5", "initialise"]
    assert asked[-2:] == ["commit 0", "bootstrapped 0"]
    assert asked.count("bootstrapped 0") == 1
    assert found == Position(seq=0, a="3:3:", b="3:3:", last_id=None)


def test_a_record_that_no_relay_wrote_stops_the_takeover() -> None:
    with (
        renewing(FakeSession(), FakeSink(), LastRecord(RECORD, foreign=True)) as (takeover, held),
        pytest.raises(HaltedError, match="holds a record that no relay wrote"),
    ):
        takeover.renew(held)
