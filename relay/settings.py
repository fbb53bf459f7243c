"""Settings of the relay: `OUTBOX_RELAY_…` and `OUTBOX_TOPICS_…`, over outbox.toml, over these defaults."""

from pydantic import Field

from outbox.envelope import DEFAULT_ENVELOPE, DEFAULT_ROUTE
from relay.machine import Policy
from runtime.settings import ProcessSettings


class RelaySettings(ProcessSettings):
    """What one relay process is told."""

    relay_sink: str = Field("kafka", description="`kafka`; `stdout`, `null` for trials: no position moves.")
    relay_route: str = Field(
        DEFAULT_ROUTE, description="Topic of an event that names none; may hold `{aggregate_type}` and `{type}`."
    )
    relay_envelope: str = Field(
        DEFAULT_ENVELOPE, description="Form of the event on the wire, an entry point of `outbox.envelopes`."
    )
    relay_event_source: str | None = Field(
        None, description="CloudEvents source before the aggregate type; `/outbox/<install_id>` when not given."
    )
    relay_page_rows: int = Field(2000, ge=1, le=100_000, description="Most events in one Kafka transaction.")
    relay_page_bytes: int = Field(8_388_608, ge=1024, description="Stop a page once its payloads hold this many bytes.")
    relay_poison_policy: Policy = Field(
        "park-key",
        description="What becomes of an event that Kafka refuses: `block` the shard, `park-key` (dead letter, and "
        "later events of its key wait behind it), or `skip` (dead letter, and go on).",
    )
    relay_poison_policies: dict[str, Policy] = Field(
        default_factory=dict, description="The policy by topic, as JSON; a name may end with `*`."
    )
    relay_retention_days: float = Field(
        7.0,
        ge=0,
        description="Delete confirmed events after so many days; 0 keeps them. Only `outbox relay run` deletes.",
    )
    relay_retention_interval_seconds: float = Field(
        60.0, gt=0, description="How often to look for what can be deleted."
    )
    relay_retention_rows: int = Field(5000, ge=1, description="Most rows deleted in one statement.")
    topics_create: bool = Field(
        default=True, description="Create a missing topic; false: the topic's poison policy decides."
    )
    topics_partitions: int = Field(3, ge=1, description="Partitions of a topic that the relay creates.")
    topics_replication_factor: int | None = Field(
        None,
        ge=1,
        description="Replicas of a topic that the relay creates; by default 3, which it waits for where brokers "
        "are away, and on clusters of one or two brokers as many, with a warning.",
    )
    topics_min_insync_replicas: int | None = Field(
        None,
        ge=1,
        description="`min.insync.replicas` of such a topic; by default 2, or 1 with fewer than three replicas.",
    )
