"""The promise, checked on real servers: reads PostgreSQL and Kafka, and has `promises.py` say what is broken."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from confluent_kafka import Consumer, IsolationLevel, KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # no __all__

from tests.support import promises
from tests.support.promises import Barrier, Event, Letter, Published, Rows, Violation

__all__ = ["Published", "Seen", "check", "look", "read_committed"]

# Seconds.
_ANSWER = 20.0
_RECHECK = 0.5

# Where retention deletes meanwhile, tests copy what is inserted into these, and we read both.
WITNESS = """
create table public.witness (like outbox.event);
create table public.witness_batch (like outbox.batch, primary key (shard, seq));
create function public.witness() returns trigger language plpgsql security definer as $$ begin
  insert into public.witness (tx, id, event_id, aggregate_type, aggregate_id, type, payload, headers, topic, created_at)
  values (new.tx, new.id, new.event_id, new.aggregate_type, new.aggregate_id, new.type, '{}', new.headers, new.topic,
    new.created_at);
  return null; end $$;
create function public.witness_batch() returns trigger language plpgsql security definer as $$ begin
  insert into public.witness_batch values (new.*)
  on conflict (shard, seq) do update set epoch = excluded.epoch, a = excluded.a, b = excluded.b, n = excluded.n;
  return null; end $$;
create trigger witness after insert on outbox.event for each row execute function public.witness();
create trigger witness after insert or update on outbox.batch for each row execute function public.witness_batch();
"""
_EVENTS = """
select e.id, e.tx::text::bigint, e.event_id::text, e.aggregate_type, e.aggregate_id,
  coalesce(e.topic, 'outbox.event.' || e.aggregate_type),
  outbox.shard_of(e.aggregate_type, e.aggregate_id, (select shards from outbox.meta)),
  e.headers->>'redriven-from', not exists (select from outbox.event as o where o.id = e.id)
from {events} as e order by e.id
"""
_LETTERS = """
select event_row_id, event_id::text, resolution, redriven_event_id::text, redrive_pending,
  reason = 'already_published'
from outbox.dead_letter where stage = 'publish'
"""
_BARRIERS = "select shard, seq, epoch, a::text, b::text from {batches}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the checker looked at, and what is wrong with it."""

    published: Sequence[Published]
    progress: Sequence[Mapping[str, Any]]
    rows: Rows
    wrong: Sequence[Violation] = ()


def check(dsn: str, bootstrap: str, *, complete: bool = True) -> Seen:
    """Return what is published, or raise an AssertionError with every violation; *complete*: nothing may be missing."""
    seen = look(dsn, bootstrap, complete=complete)
    assert not seen.wrong, "\n".join(["the promise is broken:", *map(str, seen.wrong)])
    return seen


def look(
    dsn: str,
    bootstrap: str,
    *,
    complete: bool = True,
    unordered: str | None = None,
    parked: bool = False,
    patience_seconds: float = 0.0,
) -> Seen:
    """Return what is published and what is wrong with it; an open transaction may end within *patience_seconds*.

    For *unordered* and *parked* see `promises.in_order`.
    """
    rows = read_rows(dsn)
    topics = {event.topic for event in rows.events}
    progress_topic = f"outbox.{rows.identity[0]}.progress"
    hanging = _open_transactions(bootstrap, topics | {progress_topic}, patience_seconds)
    published = read_committed(bootstrap, topics)
    progress = _progress(_read(bootstrap, {progress_topic}))
    wrong = (
        *promises.exactly_once(rows, published, complete=complete),
        *promises.in_place(rows, published),
        *promises.in_order(rows, published, unordered=unordered, parked=parked),
        *promises.redriven_once(rows),
        *promises.unbroken(rows, progress),
        *promises.pages(rows, progress),
        *hanging,
    )
    return Seen(published, progress, rows, wrong)


# ------------------------------------------------------------------------------------------------------ reading


def read_rows(dsn: str) -> Rows:
    """Return what PostgreSQL has, in one snapshot; from the witnesses where there are some."""
    with psycopg.connect(dsn, connect_timeout=int(_ANSWER)) as connection:
        connection.execute("set transaction isolation level repeatable read")
        meta: Any = connection.execute("select install_id::text, generation, sysid, shards from outbox.meta").fetchone()
        assert meta is not None
        witness: Any = connection.execute("select to_regclass('public.witness_batch') is not null").fetchone()
        tables = {"events": "outbox.event", "batches": "outbox.batch"}
        if witness[0]:
            tables = {"events": "public.witness", "batches": "public.witness_batch"}
        events = connection.execute(_EVENTS.format(**tables).encode())
        letters = connection.execute(_LETTERS.encode())
        barriers = [Barrier(*row) for row in connection.execute(_BARRIERS.format(**tables).encode())]
        return Rows(
            identity=meta[:3],
            shards=meta[3],
            events=[_event(*row) for row in events],
            letters=[Letter(*row) for row in letters],
            barriers={(barrier.shard, barrier.seq): barrier for barrier in barriers},
        )


def _progress(messages: Iterable[Message]) -> list[Mapping[str, Any]]:
    """Return the progress records, or raise what is wrong with one that is none, unless an operator went past it."""
    found: list[Mapping[str, Any]] = []
    foreign: dict[int, ValueError] = {}
    for message in messages:
        try:
            found.append(json.loads(message.value() or b""))
        except ValueError as problem:
            foreign[message.partition() or 0] = problem
        else:
            if promises.chosen(found[-1]):
                foreign.pop(message.partition() or 0, None)
    if foreign:
        raise next(iter(foreign.values()))
    return found


def _event(row_id: int, tx: int, event_id: str, kind: str, key: str, *more: Any) -> Event:
    topic, shard, redriven_from, deleted = more
    return Event(row_id, tx, event_id, (kind, key), topic, shard, redriven_from, deleted)


def read_committed(bootstrap: str, topics: Iterable[str]) -> list[Published]:
    """Return what a read_committed consumer sees of *topics*, in the order of offsets within each partition."""
    found = []
    for message in _read(bootstrap, topics):
        event_id: Any = dict(message.headers() or []).get("id") or b""
        key: Any = message.key() or b""
        place = (message.topic() or "", message.partition() or 0, message.offset() or 0)
        found.append(Published(*place, key.decode(), event_id.decode()))
    return sorted(found, key=lambda record: (record.topic, record.partition, record.offset))


def _partitions(admin: AdminClient, topics: Iterable[str]) -> list[TopicPartition]:
    metadata = admin.list_topics(timeout=_ANSWER).topics
    return [TopicPartition(t, p, 0) for t in sorted(topics) if t in metadata for p in sorted(metadata[t].partitions)]


def _read(bootstrap: str, topics: Iterable[str]) -> Iterator[Message]:
    """Yield each committed message of *topics*; those of one partition are in order."""
    partitions = _partitions(AdminClient({"bootstrap.servers": bootstrap}), topics)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "checker",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 20,
        }
    )
    left = {(partition.topic, partition.partition) for partition in partitions}
    try:
        consumer.assign(partitions)
        while left:
            message = consumer.poll(_ANSWER)
            assert message is not None, f"expected the end of {sorted(left)}, got nothing for {_ANSWER:.0f} s"
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                left.discard((message.topic() or "", message.partition() or 0))
            else:
                raise AssertionError(f"reading {message.topic()}: {error.str()}")
    finally:
        consumer.close()


def _open_transactions(bootstrap: str, topics: Iterable[str], patience_seconds: float) -> Sequence[Violation]:
    """Return the partitions with a transaction that does not end within *patience_seconds*."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    partitions = _partitions(admin, topics)
    deadline = time.monotonic() + patience_seconds
    while partitions:
        levels = (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
        stable, written = (_ends(admin, partitions, level) for level in levels)
        wrong = list(promises.closed(stable, written))
        if not wrong or time.monotonic() > deadline:
            return wrong
        admin.poll(_RECHECK)
    return ()


def _ends(
    admin: AdminClient, partitions: Sequence[TopicPartition], level: IsolationLevel
) -> dict[tuple[str, int], int]:
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    futures = admin.list_offsets(dict.fromkeys(partitions, latest), isolation_level=level)
    return {(p.topic, p.partition): future.result(timeout=_ANSWER).offset for p, future in futures.items()}
