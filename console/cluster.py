"""What Kafka says of itself to an operator: brokers, their age by what they can do, and the settings of topics."""

import contextlib
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from relay.replicas import Replicas
from runtime.errors import KafkaUnavailableError

REQUEST_SECONDS: Final = 5.0
IN_SYNC: Final = 2
# The protocol names no release, but each understands newer requests: (highest Produce, the first release with it).
_RELEASES: Final = ((13, "4.1"), (12, "4.0"), (11, "3.8"), (10, "3.7"), (9, "2.8"), (8, "2.4"), (7, "2.1"), (3, "0.11"))
_PRODUCE: Final = re.compile(r"ApiKey Produce \(0\) Versions \d+\.\.(\d+)")


class _Produce(logging.Handler):
    """Collects what a broker says it can do, from the client's own log."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.versions: list[int] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one line of the client's log."""
        if found := _PRODUCE.search(record.getMessage()):
            self.versions.append(int(found[1]))


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """What a topic is like; *settings* is empty where we may not read them."""

    name: str
    partitions: int
    replication: int
    settings: Mapping[str, str]


class Cluster:
    """A reachable Kafka cluster, as its administrator sees it."""

    def __init__(self, bootstrap: str, options: Mapping[str, str]) -> None:
        """Make the client; nothing is asked yet."""
        from confluent_kafka.admin import AdminClient  # noqa: PLC0415 - only where the question is Kafka's

        self._heard = _Produce()
        logger = logging.Logger("console.kafka", logging.DEBUG)  # noqa: LOG001 - in no tree: its lines reach nobody else
        logger.addHandler(self._heard)
        config: dict[str, Any] = {**options, "bootstrap.servers": bootstrap, "debug": "feature"}
        self._admin: AdminClient = AdminClient(config, logger=logger)
        self.bootstrap = bootstrap
        self.metadata = self._admin.list_topics(timeout=REQUEST_SECONDS)
        self._admin.poll(0.1)

    @property
    def brokers(self) -> int:
        """Return how many brokers there are."""
        return len(self.metadata.brokers)

    def release(self) -> str | None:
        """Return the first release that can do what the brokers can; the oldest of them counts."""
        if not self._heard.versions:
            return None
        least = min(self._heard.versions)
        return next((release for produce, release in _RELEASES if least >= produce), None)

    def understands(self) -> int:
        """Return the highest Produce request that every broker heard of understands."""
        return min(self._heard.versions, default=0)

    def broker_settings(self) -> Mapping[str, str]:
        """Return the settings of one broker; they are alike where people are careful."""
        from confluent_kafka.admin import ResourceType  # type: ignore[attr-defined]  # noqa: PLC0415 - it has no __all__

        return self._settings(ResourceType.BROKER, [str(next(iter(self.metadata.brokers)))]).popitem()[1]

    def topics(self, names: Iterable[str]) -> list[TopicFacts]:
        """Return what those of *names* are like that exist."""
        from confluent_kafka.admin import ResourceType  # type: ignore[attr-defined]  # noqa: PLC0415

        found = [name for name in names if name in self.metadata.topics]
        settings = self._settings(ResourceType.TOPIC, found) if found else {}
        return [self._facts(name, settings.get(name, {})) for name in found]

    def replicas(self, names: Iterable[str]) -> list[Replicas]:
        """Return the partitions of *names* of which a copy is missing or behind; if nobody says, two have to be."""
        from relay.shortage import copies  # noqa: PLC0415 - only where the question is Kafka's

        thin = [one for one in copies(self.metadata, frozenset(names), {}) if one.thin]
        least: dict[str, int] = {}
        with contextlib.suppress(KafkaUnavailableError):
            for topic in self.topics({one.topic for one in thin}):
                least[topic.name] = int(topic.settings.get("min.insync.replicas", IN_SYNC))
        return [replace(one, min_in_sync=least.get(one.topic, IN_SYNC)) for one in thin]

    def _facts(self, name: str, settings: Mapping[str, str]) -> TopicFacts:
        partitions = self.metadata.topics[name].partitions
        replication = min((len(partition.replicas) for partition in partitions.values()), default=0)
        return TopicFacts(name, len(partitions), replication, settings)

    def _settings(self, kind: Any, names: list[str]) -> dict[str, Mapping[str, str]]:  # noqa: ANN401 - the driver's enum
        from confluent_kafka import KafkaException  # noqa: PLC0415
        from confluent_kafka.admin import ConfigResource  # type: ignore[attr-defined]  # noqa: PLC0415

        asked = self._admin.describe_configs(
            [ConfigResource(kind, name) for name in names], request_timeout=REQUEST_SECONDS
        )
        answers: dict[str, Mapping[str, str]] = {}
        for resource, future in asked.items():
            try:
                answers[resource.name] = {name: entry.value for name, entry in future.result().items()}
            except KafkaException as error:
                if error.args[0].name() not in {"TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED"}:
                    raise KafkaUnavailableError(self.bootstrap, error.args[0].str()) from None
                answers[resource.name] = {}
        return answers
