"""The promise, checked: everything that read_committed consumers see, against the rows of `outbox.event`.

Each committed event exactly once in topics or dead letters · none that PostgreSQL does not have · order per key · the
chain of progress records unbroken, each with the count and digest of its transaction's events and its barrier row ·
nothing by an older epoch after a newer one · no transaction left open.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from confluent_kafka import Consumer, IsolationLevel, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # no __all__
from psycopg.rows import namedtuple_row

_ROUTE = "outbox.event.{}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A pg_snapshot, read by other means than the relay's."""

    xmax: int
    running: frozenset[int]

    @classmethod
    def of(cls, text: str) -> "Snapshot":
        """Return the snapshot that PostgreSQL writes as *text*."""
        _, xmax, running = text.split(":")
        return cls(int(xmax), frozenset(int(tx) for tx in running.split(",") if tx))

    def sees(self, tx: int) -> bool:
        """Return whether *tx* had ended."""
        return tx < self.xmax and tx not in self.running


@dataclass(frozen=True, slots=True)
class Published:
    """One record that a consumer sees."""

    topic: str
    partition: int
    offset: int
    key: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What the checker looked at, for tests that want to say more."""

    published: Sequence[Published]
    progress: Sequence[Mapping[str, Any]]


def check(dsn: str, bootstrap: str, *, complete: bool = True) -> Seen:
    """Return what is published, or raise an AssertionError with every violation; *complete*: nothing may be missing."""
    with psycopg.connect(dsn, row_factory=namedtuple_row) as connection:
        meta: Any = connection.execute("select install_id::text, generation, sysid, shards from outbox.meta").fetchone()
        events: Any = connection.execute(
            "select e.id, e.tx::text::bigint as tx, e.event_id::text, e.aggregate_type, e.aggregate_id, e.topic,"
            " outbox.shard_of(e.aggregate_type, e.aggregate_id, m.shards) as shard"
            " from outbox.event as e, outbox.meta as m order by e.id"
        ).fetchall()
        letters = connection.execute(
            "select event_row_id, event_id::text, shard from outbox.dead_letter where stage = 'publish'"
        ).fetchall()
        batches = connection.execute("select shard, seq, epoch, a::text, b::text from outbox.batch").fetchall()
    assert meta is not None
    topics = {event.topic or _ROUTE.format(event.aggregate_type) for event in events}
    published = read_committed(bootstrap, topics)
    progress = [json.loads(value) for _, value in _read(bootstrap, {f"outbox.{meta.install_id}.progress"})]
    wrong = [
        *_once(events, letters, published, complete=complete),
        *_in_order(events, published),
        *_chain(meta, progress, batches),
        *_pages(events, letters, progress),
        *_open_transactions(bootstrap, topics | {f"outbox.{meta.install_id}.progress"}),
    ]
    assert not wrong, "\n".join(["the promise is broken:", *wrong])
    return Seen(published, progress)


# ------------------------------------------------------------------------------------------------- the promises


def _once(events: Any, letters: Any, published: Sequence[Published], *, complete: bool) -> Iterable[str]:
    known = {event.event_id: event for event in events}
    dead = {letter.event_id for letter in letters}
    counts = Counter(record.event_id for record in published)
    for event_id, count in counts.items():
        if event_id not in known:
            yield f"event {event_id} is published, and PostgreSQL has no such event"
        if count > 1:
            yield f"event {event_id} (id {known[event_id].id if event_id in known else '?'}) is published {count} times"
        if event_id in dead:
            yield f"event {event_id} is published, and has a dead letter"
    if complete:
        for event in events:
            if event.event_id not in counts and event.event_id not in dead:
                yield f"event {event.event_id} (id {event.id}, tx {event.tx}) is neither published nor a dead letter"


def _in_order(events: Any, published: Sequence[Published]) -> Iterable[str]:
    """Order per key, for keys whose transactions came one after the other: by id, whatever window they fell into."""
    by_id = {event.event_id: event for event in events}
    per_key: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for record in published:  # in the order of offsets, within a partition
        if event := by_id.get(record.event_id):
            per_key[event.aggregate_type, event.aggregate_id].append(event)
    for key, sequence in per_key.items():
        mine = {event.event_id for event in sequence}
        partitions = {(record.topic, record.partition) for record in published if record.event_id in mine}
        topics = {topic for topic, _ in partitions}
        if len(partitions) != len(topics):
            yield f"key {key} is spread over partitions {sorted(partitions)}"
        if len(topics) == 1 and [event.id for event in sequence] != sorted(event.id for event in sequence):
            yield f"key {key} is out of order: {[event.id for event in sequence]}"


def _chain(meta: Any, progress: Sequence[Mapping[str, Any]], batches: Any) -> Iterable[str]:
    known = {(batch.shard, batch.seq): batch for batch in batches}
    for shard in range(meta.shards):
        before: Mapping[str, Any] | None = None
        for record in (record for record in progress if record["shard"] == shard):
            where = f"progress {shard}/{record['seq']}"
            if (record["install"], record["gen"], record["sysid"]) != (meta.install_id, meta.generation, meta.sysid):
                yield f"{where} is foreign: {record}"
            if record["prev_seq"] != max(record["seq"] - 1, 0):
                yield f"{where} names {record['prev_seq']} as its predecessor"
            batch = known.get((shard, record["seq"]))
            if batch is None or (batch.a, batch.b) != (record["a"], record["b"]):
                yield f"{where} has no barrier row with its snapshots: {batch}"
            elif batch.epoch < record["epoch"]:
                yield f"{where} is of epoch {record['epoch']}, its barrier of {batch.epoch}"
            if before is None:
                if record["seq"] != 0:
                    yield f"{where} is the first record"
            else:
                yield from _link(where, before, record)
            before = record


def _link(where: str, before: Mapping[str, Any], record: Mapping[str, Any]) -> Iterable[str]:
    if record["epoch"] < before["epoch"]:
        yield f"{where} of epoch {record['epoch']} follows one of epoch {before['epoch']}"
    if record["seq"] == before["seq"]:
        same = (record["a"], record["b"]) == (before["a"], before["b"])
        if before["last_id"] is None or not same:
            yield f"{where} goes on in a window that was finished, or has other snapshots"
        elif record["last_id"] is not None and record["last_id"] <= before["last_id"]:
            yield f"{where} goes back from {before['last_id']} to {record['last_id']}"
    elif record["seq"] != before["seq"] + 1:
        yield f"{where} follows {before['seq']}"
    elif before["last_id"] is not None:
        yield f"{where} begins before {before['seq']} was finished"


def _pages(events: Any, letters: Any, progress: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """Count and digest of every record, and that no event lies between two windows."""
    dead = {letter.event_row_id for letter in letters}
    last: dict[int, Mapping[str, Any]] = {}
    for record in progress:
        before = last.get(record["shard"])
        same = before is not None and before["seq"] == record["seq"]
        low = before["last_id"] if before is not None and same else 0
        a, b = Snapshot.of(record["a"]), Snapshot.of(record["b"])
        ids = [
            event.id
            for event in events
            if event.shard == record["shard"]
            and b.sees(event.tx)
            and not a.sees(event.tx)
            and event.id not in dead
            and event.id > low
            and (record["last_id"] is None or event.id <= record["last_id"])
        ]
        digest = hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()
        if (record["n"], record["sha"]) != (len(ids), digest):
            yield f"progress {record['shard']}/{record['seq']} speaks of {record['n']} events, its page has {ids}"
        if before is not None and not same:
            end = Snapshot.of(before["b"])
            between = [e.id for e in events if e.shard == record["shard"] and a.sees(e.tx) and not end.sees(e.tx)]
            if set(between) - dead:
                yield f"events {between} lie between windows {before['seq']} and {record['seq']}"
        last[record["shard"]] = record


def _latest() -> Any:
    return OffsetSpec.latest()  # type: ignore[no-untyped-call]


def _open_transactions(bootstrap: str, topics: Iterable[str]) -> Iterable[str]:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    partitions = _partitions(admin, topics)
    if not partitions:
        return
    ends: list[dict[tuple[str, int], int]] = []
    for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED):
        futures = admin.list_offsets({partition: _latest() for partition in partitions}, isolation_level=level)
        ends.append({(p.topic, p.partition): future.result(timeout=10).offset for p, future in futures.items()})
    for place, stable in ends[0].items():
        if stable != ends[1][place]:
            yield f"a transaction is open on {place}: stable up to {stable}, written up to {ends[1][place]}"


# ------------------------------------------------------------------------------------------------------ reading


def read_committed(bootstrap: str, topics: Iterable[str]) -> list[Published]:
    """Return what a read_committed consumer sees of *topics*, in the order of offsets within each partition."""
    found = []
    for message, _ in _read(bootstrap, topics):
        headers = dict(message.headers() or [])
        event_id = (headers.get("id") or b"").decode()
        key = (message.key() or b"").decode()
        found.append(Published(message.topic(), message.partition(), message.offset(), key, event_id))
    return found


def _partitions(admin: AdminClient, topics: Iterable[str]) -> list[TopicPartition]:
    metadata = admin.list_topics(timeout=10).topics
    return [TopicPartition(t, p, 0) for t in sorted(topics) if t in metadata for p in sorted(metadata[t].partitions)]


def _read(bootstrap: str, topics: Iterable[str]) -> list[tuple[Any, bytes]]:
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
    found: list[tuple[Any, bytes]] = []
    open_partitions = {(partition.topic, partition.partition) for partition in partitions}
    try:
        consumer.assign(partitions)
        while open_partitions:
            message = consumer.poll(20)
            assert message is not None, f"expected the end of {sorted(open_partitions)}, got nothing for 20 s"
            error = message.error()
            if error is None:
                found.append((message, message.value() or b""))
            elif error.code() == KafkaError._PARTITION_EOF:
                open_partitions.discard((message.topic(), message.partition()))
            else:
                raise AssertionError(f"reading {message.topic()}: {error.str()}")
    finally:
        consumer.close()
    return sorted(found, key=lambda entry: (entry[0].topic(), entry[0].partition(), entry[0].offset()))
