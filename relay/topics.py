"""Kafka's topics, as an administrator sees them: whether a topic exists, what it takes, and making it."""

import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient, ConfigResource, NewTopic, ResourceType  # type: ignore[attr-defined]  # no __all__

from relay.errors import RecordRefusedError, SinkUnavailableError
from relay.machine import INVALID_TOPIC, POISON, TOPIC_UNAUTHORISED, UNKNOWN_TOPIC
from relay.replicas import known_brokers
from relay.telemetry import Telemetry

T = TypeVar("T")

# Seconds for one request to the cluster.
_REQUEST = 10.0
# Of clients beside the producer: what they have to say arrives as an error; lines of their own would be no log lines.
QUIET: Mapping[str, Any] = {"allow.auto.create.topics": False, "socket.timeout.ms": 5000, "log_level": 0}
# How often we look for a topic that was just made, every 50 ms.
_HEARING = 100
# The same for a topic that we may not make: another broker may not have heard of it yet.
_MISSING = 20
# Kafka's own default for max.message.bytes, for topics whose settings we may not read.
DEFAULT_MAX_BYTES = 1_048_588
# The largest batch we let grow, whatever a topic takes; librdkafka's own default.
LARGEST_BATCH = 1_000_000
_LARGEST_OPTION = 1_000_000_000  # librdkafka takes no larger message.max.bytes
# Three replicas, of which two are in sync, lose nothing with one broker.
_REPLICAS, _IN_SYNC = 3, 2
_TOO_FEW_BROKERS = 38  # Kafka's INVALID_REPLICATION_FACTOR


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """How topics are made; None: three replicas, two in sync, or what a cluster of one or two brokers can hold."""

    create: bool
    partitions: int
    replication: int | None
    min_insync: int | None


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """What a topic is like."""

    partitions: int
    replication: int
    settings: Mapping[str, str]


class Topics:
    """Looks topics up, makes those that are missing, and remembers what it has seen until `forget`."""

    def __init__(self, options: Mapping[str, Any], plan: TopicPlan, telemetry: Telemetry) -> None:
        """Make the client; nothing is asked yet."""
        self._admin = AdminClient({**options, **QUIET})
        self._plan = plan
        self._telemetry = telemetry
        self._limits: dict[str, int] = {}
        self._doubtful: set[str] = set()
        self._missing: set[str] = set()
        self._in_sync: dict[str, int] = {}

    def ping(self) -> int:
        """Return how many brokers answer; raise SinkUnavailableError if none does."""
        return len(self.cluster().brokers)

    def cluster(self, *, seconds: float = _REQUEST) -> Any:  # noqa: ANN401  # the driver's own class
        """Return what the brokers say of themselves and of all topics, within *seconds*."""
        return self._metadata(None, seconds=seconds)

    @property
    def seen(self) -> frozenset[str]:
        """Return the topics that were found to exist."""
        return frozenset(self._limits)

    def known(self, topic: str) -> bool:
        """Return whether *topic* was found to exist."""
        return topic in self._limits and topic not in self._doubtful

    def forget(self, topic: str) -> None:
        """Ask again about *topic*: something about it may have changed. Its limit holds until then."""
        self._doubtful.add(topic)

    @property
    def largest(self) -> int:
        """Return the largest record in bytes that some known topic takes."""
        return min(max(self._limits.values(), default=DEFAULT_MAX_BYTES), _LARGEST_OPTION)

    @property
    def batch(self) -> int:
        """Return the largest batch in bytes that every known topic takes."""
        return min(*self._limits.values(), LARGEST_BATCH) if self._limits else LARGEST_BATCH

    def ensure(self, topic: str) -> None:
        """Have *topic* exist, by making it if we may; raise RecordRefusedError if it cannot be published to."""
        if self.known(topic):
            return
        facts = self.describe(topic)
        if facts is None:
            facts = self._created(topic) if self._plan.create else self._awaited(topic)
        self._limits[topic] = int(facts.settings.get("max.message.bytes", DEFAULT_MAX_BYTES))
        self._doubtful.discard(topic)

    def describe(self, topic: str) -> TopicFacts | None:
        """Return what *topic* is like; None if it does not exist; raise RecordRefusedError if it never can."""
        found = self._metadata(topic).topics.get(topic)
        code: int | None = found.error.code() if found is not None and found.error is not None else None
        if found is None or code in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):  # noqa: SLF001
            return None
        if code is not None and code in POISON:
            raise RecordRefusedError(code, f"topic {topic!r}: {found.error.str()}")
        if code is not None and code != KafkaError.LEADER_NOT_AVAILABLE:
            raise SinkUnavailableError(f"topic {topic!r}: {found.error.str()}")
        replication = max((len(partition.replicas) for partition in found.partitions.values()), default=0)
        return TopicFacts(len(found.partitions), replication, self.settings(topic))

    def _created(self, topic: str) -> TopicFacts:
        self.create(topic)
        return self.described(topic)

    def _awaited(self, topic: str) -> TopicFacts:
        """Return what *topic* is like, if a broker hears of it within a second; the next time we ask only once."""
        for _ in range(1 if topic in self._missing else _MISSING):
            if (facts := self.describe(topic)) is not None:
                self._missing.discard(topic)
                return facts
            self._admin.poll(0.05)
        self._missing.add(topic)
        raise RecordRefusedError(UNKNOWN_TOPIC, f"topic {topic!r} does not exist, and the relay may not create it")

    def described(self, topic: str) -> TopicFacts:
        """Return what *topic* is like, which was just made; brokers hear of it a moment later."""
        for _ in range(_HEARING):
            if (facts := self.describe(topic)) is not None and facts.partitions:
                return facts
            self._admin.poll(0.05)
        raise SinkUnavailableError(f"topic {topic!r} was created, and no broker knows it")

    def writable(self, topic: str) -> bool:
        """Return whether we may write to *topic*, as the brokers' authorizer has it."""
        request = TopicCollection([topic])
        try:
            described = self._result(
                lambda: self._admin.describe_topics(request, include_authorized_operations=True)[topic]
            )
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                return False
            raise SinkUnavailableError(f"rights on topic {topic!r}: {error.args[0].str()}") from None
        return AclOperation.WRITE in described.authorized_operations

    def create(self, topic: str, *, partitions: int | None = None, settings: Mapping[str, str] | None = None) -> None:
        """Make *topic*; nothing, if somebody else has just made it."""
        count = partitions or self._plan.partitions
        wanted = self._plan.replication or _REPLICAS
        error = self._try_creation(topic, count, wanted, settings or {})
        if error is not None and error.code() == _TOO_FEW_BROKERS:
            fewer = self._plan.replication or self._fewer(topic)
            error = self._try_creation(topic, count, fewer, settings or {}) if fewer < wanted else error
        if error is not None:
            self._judge_creation(topic, error)

    def _try_creation(
        self, topic: str, partitions: int, replication: int, settings: Mapping[str, str]
    ) -> KafkaError | None:
        """Make *topic*, and return None, or why that failed."""
        min_insync = self._plan.min_insync or (_IN_SYNC if replication >= _REPLICAS else 1)
        given = {"min.insync.replicas": str(min_insync), "unclean.leader.election.enable": "false", **settings}
        new = NewTopic(topic, num_partitions=partitions, replication_factor=replication, config=given)
        try:
            self._result(lambda: self._admin.create_topics([new], request_timeout=_REQUEST)[topic])
        except KafkaException as error:
            refused: KafkaError = error.args[0]
            return refused
        facts = {"topic": topic, "partitions": partitions, "replication": replication}
        self._telemetry.emit("relay.topic.created", **facts)
        if replication < _REPLICAS and self._plan.replication is None:
            self._telemetry.emit("relay.topic.unsafe", **facts)
        return None

    def _fewer(self, topic: str) -> int:
        """Return how many replicas a cluster of one or two brokers holds; raise SinkUnavailableError if it has more.

        A broker that is away is no reason for a topic that would lose events for ever: the topic waits for it. Brokers
        in KRaft mode count those that are away, others do not; so we ask what else speaks of them.
        """
        metadata = self.cluster()
        partitions = (found for other in metadata.topics.values() for found in other.partitions.values())
        known = len(known_brokers(metadata.brokers, (found.replicas for found in partitions)))
        meant = max(known, self._meant(next(iter(metadata.brokers), None)))
        if meant < _REPLICAS:
            return meant
        raise SinkUnavailableError(
            f"topic {topic!r} waits for {_REPLICAS} brokers, {len(metadata.brokers)} answer and {meant} are expected;"
            " start them, or set OUTBOX_TOPICS_REPLICATION_FACTOR"
        )

    def _meant(self, broker: int | None) -> int:
        """Return how many brokers the settings of *broker* speak of: a topic with more replicas could not be made."""
        resource = ConfigResource(ResourceType.BROKER, str(broker))
        with contextlib.suppress(KafkaException):  # not everybody may read them
            entries = self._result(lambda: self._admin.describe_configs([resource], request_timeout=_REQUEST)[resource])
            return int(entries["default.replication.factor"].value)
        return 1

    def _judge_creation(self, topic: str, error: KafkaError) -> None:
        """Raise what a refused creation means for the events of that topic."""
        code = error.code()
        if code == KafkaError.TOPIC_ALREADY_EXISTS:
            return
        detail = f"topic {topic!r} cannot be created: {error.str()}"
        if code == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
            raise RecordRefusedError(TOPIC_UNAUTHORISED, detail) from None
        if code in POISON or code == KafkaError._INVALID_ARG:  # noqa: SLF001  # the client refuses the name by itself
            raise RecordRefusedError(code if code in POISON else INVALID_TOPIC, detail) from None
        raise SinkUnavailableError(detail) from None

    def settings(self, topic: str) -> Mapping[str, str]:
        """Return the topic's settings; none, if we may not read them."""
        resource = ConfigResource(ResourceType.TOPIC, topic)
        try:
            entries = self._result(lambda: self._admin.describe_configs([resource], request_timeout=_REQUEST)[resource])
        except KafkaException as error:
            if error.args[0].code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART):
                return {}
            raise SinkUnavailableError(f"settings of topic {topic!r}: {error.args[0].str()}") from None
        found = {name: entry.value for name, entry in entries.items() if entry.value is not None}
        self._in_sync[topic] = int(found.get("min.insync.replicas", "1"))
        return found

    def min_in_sync(self, topic: str) -> int:
        """Return `min.insync.replicas` of *topic* as last seen; that of a safe topic, where nobody says."""
        if topic not in self._in_sync:
            with contextlib.suppress(SinkUnavailableError):
                self.settings(topic)
        return self._in_sync.get(topic, _IN_SYNC)

    def _metadata(self, topic: str | None, *, seconds: float = _REQUEST) -> Any:  # noqa: ANN401  # the driver's own class
        try:
            return (
                self._admin.list_topics(topic, timeout=seconds) if topic else self._admin.list_topics(timeout=seconds)
            )
        except KafkaException as error:
            raise SinkUnavailableError(f"no answer from the brokers: {error.args[0].str()}") from None

    def _result(self, request: Callable[[], Any]) -> Any:  # noqa: ANN401  # the driver's own class
        """Return the result of one administrative request."""
        try:
            return request().result(timeout=_REQUEST + 1)
        except FutureTimeoutError:
            raise SinkUnavailableError(f"no answer to an administrative request in {_REQUEST:.0f} s") from None
