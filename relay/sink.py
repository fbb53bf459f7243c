"""Where the relay publishes: one Kafka transaction a page, and what was seen while it ended.

Rule 4: a delayed EndTxn can end half of the next transaction, and librdkafka retries it silently. So every EndTxn
answer is read from the client's `eos` debug log, and a transaction whose end was not plain is `Unclean`: its producer
is thrown away. That log line is the reason why the client's version is pinned.
"""

import logging
import re
import time
from collections import defaultdict
from collections.abc import Mapping

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from outbox.envelope import Record
from relay.errors import RecordRefusedError, SinkUnavailableError, UncleanError, grant
from relay.machine import SOCKET_TIMEOUT, TOO_LARGE, UNENCODABLE, Evidence
from relay.retirement import retire
from relay.telemetry import Telemetry

Options = Mapping[str, str | int | float | bool]

# Seconds. Longer than socket.timeout.ms, so that an EndTxn without an answer shows as such.
COMMIT_SECONDS = 6.0
# For a single row that took longer than that before: as long as the broker keeps a transaction open. Its end counts as
# unclean, but it comes.
PATIENT_COMMIT_SECONDS = 14.0
ABORT_SECONDS = 2.0
# Bytes that Kafka adds to a record in a batch of its own: below the topic's limit, and still refused without them.
_BATCH_OVERHEAD = 512
# Seconds: every request of a dropped producer has timed out by then.
_RETIREMENT = 2 * SOCKET_TIMEOUT
# What the client raises. A fenced producer may leave its exception pending while it calls us back, which Python turns
# into a SystemError, whatever we do in the callback.
_CLIENT_ERRORS = (KafkaException, SystemError)
_ENDTXN = re.compile(r"EndTxn returned (\w+)")

# What the guarantee rests on (protocol 6). Nobody may override it.
GUARDED: Options = {
    "enable.idempotence": True,
    "acks": "all",
    # With a second request under way to a partition that a producer is new to, events get lost: the broker refuses the
    # first (it is not the leader yet), takes the second (it knows no sequence to compare with), and the client counts
    # the first as acknowledged by the second. Both names, so that neither can be given another value.
    "max.in.flight.requests.per.connection": 1,
    "max.in.flight": 1,
    "transaction.timeout.ms": 15_000,
    "socket.timeout.ms": int(SOCKET_TIMEOUT * 1000),
    "partitioner": "murmur2_random",
    "delivery.report.only.error": True,
    "debug": "eos",
    "allow.auto.create.topics": False,
}


class _EosLog(logging.Handler):
    """Collects the EndTxn answers of one producer, and passes its warnings on."""

    def __init__(self, telemetry: Telemetry) -> None:
        super().__init__(logging.DEBUG)
        self.answers: list[str] = []
        self._telemetry = telemetry

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one line of the client's log; called from whichever thread polls."""
        message = record.getMessage()
        if record.levelno >= logging.WARNING:
            self._telemetry.emit("relay.kafka.warned", message=message)
        elif "EndTxn returned" in message and (found := _ENDTXN.search(message)):
            self.answers.append(found.group(1))


class KafkaSink:
    """One producer: from `init_transactions` until the first thing that is not clean."""

    def __init__(  # each is a fact of its own
        self,
        *,
        options: Options,
        transactional_id: str,
        progress_topic: str,
        partition: int,
        largest: int,
        batch: int,
        telemetry: Telemetry,
    ) -> None:
        """Make the producer. *largest* and *batch* are the largest and the smallest of the topics' limits in bytes."""
        self._failures: list[tuple[int, Message]] = []
        self._broken: KafkaError | None = None  # after that no transaction of this producer counts
        self._log = _EosLog(telemetry)
        self._telemetry = telemetry
        self._progress = (progress_topic, partition)
        self._transactional_id = transactional_id
        self.largest = largest
        self.batch = batch
        # Not in the tree of loggers: its debug lines reach no other handler.
        logger = logging.Logger("relay.kafka", logging.DEBUG)  # noqa: LOG001
        logger.addHandler(self._log)
        own: Options = {
            "linger.ms": 0,
            "message.max.bytes": largest,
            "batch.size": max(batch - _BATCH_OVERHEAD, 1),
            "queue.buffering.max.messages": 1_000_000,
        }
        settings = {**own, **options, **GUARDED, "transactional.id": transactional_id}
        try:
            self._producer = Producer({**settings, "on_delivery": self._failed}, logger=logger)
        except KafkaException as error:
            raise SinkUnavailableError(_text(error)) from None

    def initialise(self, seconds: float) -> bool:
        """Fence predecessors and resolve what they left open; return whether it ended within *seconds*. Call again."""
        try:
            self._producer.init_transactions(seconds)
        except _CLIENT_ERRORS as error:
            found = _said(error)
            if found.retriable() or found.code() == KafkaError._TIMED_OUT:  # noqa: SLF001  # its public name
                return False
            problem = f"init_transactions: {_text(error)}"
            if found.code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
                problem += f"; {grant('transactional-id', self._transactional_id, 'Write', 'Describe')}"
            raise SinkUnavailableError(problem) from None
        self._serve(0)
        return True

    def refusal(self, record: Record) -> RecordRefusedError | None:
        """Return why the client would not take *record*, without a transaction; None if it would."""
        size = len(record.value) + len(record.key) + sum(len(name) + len(value) for name, value in record.headers)
        if size <= self.largest:
            return None
        return RecordRefusedError(TOO_LARGE, f"{size} bytes with headers, and Kafka takes {self.largest}")

    def begin(self) -> None:
        """Begin the transaction of one page."""
        self._log.answers.clear()
        self._failures.clear()
        try:
            self._producer.begin_transaction()
        except _CLIENT_ERRORS as error:
            raise UncleanError(f"begin_transaction: {_text(error)}") from None

    def produce(self, record: Record) -> None:
        """Hand one record to the client; raise RecordRefusedError if it does not take it."""
        topic, key, value, headers = record
        try:
            while True:
                try:
                    return self._producer.produce(topic, value, key, headers=list(headers))
                except BufferError:
                    self._make_room()
        except _CLIENT_ERRORS as error:
            raise _refusal(_said(error)) from None
        except (TypeError, ValueError) as error:
            raise RecordRefusedError(UNENCODABLE, f"the client cannot take the record: {error}") from None

    def produce_progress(self, key: bytes, value: bytes) -> None:
        """Hand the progress record to the client: the position becomes visible with the page, or not at all."""
        topic, partition = self._progress
        try:
            while True:
                try:
                    return self._producer.produce(topic, value, key, partition=partition)
                except BufferError:
                    self._make_room()
        except _CLIENT_ERRORS as error:
            raise UncleanError(f"the progress record was not taken: {_text(error)}") from None

    def _make_room(self) -> None:
        """Let the client send some of its full queue: that is back-pressure only."""
        self._serve(0.1)
        if self._broken is not None:
            raise UncleanError(self._broken.str()) from None

    def commit(self, records: Mapping[int, Record], *, patient: bool = False) -> Evidence:
        """End the transaction, and return what was seen; *records* tell whose a delivery error is."""
        started = time.monotonic()
        code, problem = None, ""
        self._telemetry.emit("relay.commit.started")
        try:
            self._producer.commit_transaction(PATIENT_COMMIT_SECONDS if patient else COMMIT_SECONDS)
        except _CLIENT_ERRORS as error:
            code, problem = _said(error).code(), f"commit_transaction: {_text(error)}"
        seconds = time.monotonic() - started
        self._telemetry.emit("relay.commit.answered", code=code)
        if code is not None:
            self.abort()  # also purges what is queued, so that each record reports its own error
        self._serve(0)
        if code is None and self._broken is not None:
            code, problem = self._broken.code(), f"the client broke: {self._broken.str()}"
        return Evidence(tuple(self._log.answers), seconds, code, problem, self._blame(records))

    def abort(self) -> None:
        """End the transaction without its records, if Kafka lets us; the next producer's start does so anyway."""
        try:
            self._producer.abort_transaction(ABORT_SECONDS)
        except _CLIENT_ERRORS as error:
            self._telemetry.emit("relay.kafka.warned", message=f"abort_transaction: {_text(error)}")

    def close(self) -> None:
        """Drop the producer with what it still holds; whoever initialises next fences it."""
        retire(self._producer, seconds=_RETIREMENT)
        # Its callback refers to us: without this it would go on reconnecting until the garbage is collected.
        del self._producer

    def _serve(self, seconds: float) -> None:
        """Have the client call back; it raises its own fatal error out of whatever polls next."""
        try:
            self._producer.poll(seconds)
        except _CLIENT_ERRORS as error:
            self._broken = _said(error)

    def _failed(self, error: KafkaError, message: Message) -> None:
        """Note a delivery error; successes are not reported."""
        if error is not None:
            self._failures.append((error.code(), message))

    def _blame(self, records: Mapping[int, Record]) -> tuple[tuple[int, frozenset[int]], ...]:
        """Return each delivery error's code with the rows it may belong to: those with that topic, key and value."""
        if not self._failures:
            return ()
        rows: dict[tuple[str, bytes, bytes], set[int]] = defaultdict(set)
        for row, record in records.items():
            rows[record.topic, record.key, record.value].add(row)
        blamed: dict[int, set[int]] = defaultdict(set)
        for code, message in self._failures:
            blamed[code] |= rows.get((message.topic() or "", message.key() or b"", message.value() or b""), set())
        return tuple((code, frozenset(ids)) for code, ids in blamed.items())


def _refusal(error: KafkaError) -> RecordRefusedError | UncleanError:
    """Return what a refused `produce` means: an error of the transaction is no fault of the record."""
    if error.fatal() or error.code() in (KafkaError._STATE, KafkaError._FENCED, KafkaError._FATAL):  # noqa: SLF001
        return UncleanError(f"produce: {error.str()}")
    return RecordRefusedError(error.code(), error.str())


def _said(error: KafkaException | SystemError) -> KafkaError:
    """Return what is wrong with the client."""
    if isinstance(error, KafkaException):
        found: KafkaError = error.args[0]
        return found
    return KafkaError(KafkaError._FATAL, f"a callback was interrupted: {error.__cause__ or error}", fatal=True)  # noqa: SLF001


def _text(error: KafkaException | SystemError) -> str:
    said = _said(error)
    return f"{said.name()}: {said.str()}"
