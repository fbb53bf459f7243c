"""Topics, as a test makes and changes them."""

from collections.abc import Mapping

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # no __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)


class TopicAdmin:
    """An administrator of one broker."""

    def __init__(self, bootstrap: str) -> None:
        """Connect lazily; the client is kept, for dropping it drops its requests."""
        self._admin = AdminClient({"bootstrap.servers": bootstrap})

    def create(self, topic: str, *, partitions: int = 3, config: Mapping[str, str] | None = None) -> None:
        """Make *topic*."""
        new = NewTopic(topic, partitions, 1, config=dict(config or {}))
        self._admin.create_topics([new])[topic].result(20)

    def delete(self, topic: str) -> None:
        """Delete *topic*."""
        self._admin.delete_topics([topic])[topic].result(20)

    def alter(self, topic: str, name: str, value: str) -> None:
        """Change one setting of *topic*."""
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        self._admin.incremental_alter_configs([resource])[resource].result(20)

    def config(self, topic: str) -> dict[str, str]:
        """Return the settings of *topic*."""
        resource = ConfigResource(ResourceType.TOPIC, topic)
        entries = self._admin.describe_configs([resource])[resource].result(20)
        return {name: entry.value for name, entry in entries.items()}

    def topics(self) -> dict[str, int]:
        """Return each topic with its number of partitions."""
        return {name: len(found.partitions) for name, found in self._admin.list_topics(timeout=20).topics.items()}
