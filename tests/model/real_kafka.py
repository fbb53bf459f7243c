"""The model's Kafka behind the interfaces that the relay uses; each call waits until it is chosen."""

from outbox.envelope import Record, StoredEvent
from relay.errors import HaltedError
from relay.machine import Evidence
from relay.progress import LastRecord
from relay.topics import TopicFacts
from relay.window import decode_progress
from tests.model.kafka_model import EVENTS, PROGRESS
from tests.model.publishing import seen_of_end
from tests.model.stepping import Place


class ModelSink:
    """`relay.sink.KafkaSink`: one producer."""

    largest = batch = 1_000_000

    def __init__(self, place: Place) -> None:
        self._place = place
        self._epoch = 0
        self.produced = 0
        self.trouble: int | None = None

    def initialise(self, seconds: float) -> bool:
        del seconds
        self._place.ask("init")
        epoch = self._place.kafka.initialise(0)
        if epoch is None:
            return False
        self._epoch = epoch
        return True

    def refusal(self, record: Record) -> None:
        """Take everything."""

    def begin(self) -> None:
        self.produced, self.trouble = 0, None

    def produce(self, record: Record) -> None:
        number, name = record.value.decode().split("|")
        self._produce(EVENTS, (int(number), name, record.key.decode()), first=self.produced == 0)

    def produce_progress(self, key: bytes, value: bytes) -> None:
        del key
        self._produce(PROGRESS, value, first=True)

    def _produce(self, partition: int, value: object, *, first: bool) -> None:
        self._place.ask("produce")
        if self.trouble is None:
            self.trouble = self._place.kafka.produce(0, self._epoch, partition=partition, value=value, first=first)
        self.produced += 1

    def commit(self, records: dict[int, Record], *, patient: bool = False) -> Evidence:
        del records, patient
        choice = self._place.ask("end")
        return seen_of_end(choice, producer=0, epoch=self._epoch, trouble=self.trouble, kafka=self._place.kafka)

    def abort(self) -> None:
        """Leave it to the next producer."""

    def close(self) -> None:
        """Hold nothing."""


class ModelReader:
    """`relay.progress.ProgressReader`."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def last(self) -> LastRecord:
        if self._place.ask("read") == "give up":
            raise HaltedError(0, "an open transaction hides the position")
        ours = [value for value in self._place.kafka.read_committed(PROGRESS) if isinstance(value, bytes)]
        return LastRecord(decode_progress(ours[-1]) if ours else None)

    def warm_up(self) -> None:
        """Know everything already."""

    def close(self) -> None:
        """Hold nothing."""


class ModelTopics:
    """`relay.topics.Topics`: all that is wanted exists."""

    largest = batch = 1_000_000

    def known(self, topic: str) -> bool:
        return bool(topic)

    def forget(self, topic: str) -> None:
        """Know it again at once."""

    def describe(self, topic: str) -> TopicFacts:
        del topic
        return TopicFacts(partitions=1, replication=1, settings={"cleanup.policy": "compact"})


class ModelEnvelope:
    """`outbox.envelope.Envelope`: the value has the row's id, which the model's log wants to know."""

    name = "model"

    def encode(self, event: StoredEvent) -> Record:
        return Record("t", event.aggregate_id.encode(), f"{event.payload}|{event.event_id}".encode(), ())
