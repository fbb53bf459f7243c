"""Whether Kafka keeps what it acknowledges: replication, in-sync minimum, no unclean election, a compacted position."""

from collections.abc import Iterator
from typing import Final

from console.cluster import IN_SYNC, Cluster, TopicFacts
from console.finding import Finding, Surroundings, failed, from_error, good, judged, skipped, warned
from console.output import counted
from relay.errors import RESOLVE
from relay.replicas import summary
from relay.shortage import TRANSACTIONS
from relay.sink import GUARDED
from runtime.connecting import check_kafka
from runtime.errors import ProcessError

FIRST_PRODUCE: Final = 8  # Kafka 2.4: the first whose transactions librdkafka drives as we need them
RELEASE: Final = "Kafka 2.4 or later"
REPLICAS = 3
ONE_BROKER: Final = "one broker cannot keep a second copy: fit for development, not for the guarantee"
_DEFAULT_PREFIX: Final = "outbox.event."


def check(around: Surroundings) -> Iterator[Finding]:
    """Yield what the cluster is, then what the topics that the guarantee rests on are."""
    settings = around.settings
    if settings.kafka_bootstrap is None:
        yield skipped("kafka", "not configured here: OUTBOX_KAFKA_BOOTSTRAP not set")
        return
    try:
        check_kafka(settings.kafka_bootstrap, settings.kafka_options)
        cluster = Cluster(settings.kafka_bootstrap, settings.kafka_options)
    except ProcessError as error:
        yield from_error("kafka.connection", error, expected=f"a broker at {settings.kafka_bootstrap}")
        return
    yield good("kafka.connection", f"{settings.kafka_bootstrap}, {counted(cluster.brokers, 'broker')}")
    yield from _replicas(around, cluster)  # first: without a majority of the controllers nobody answers for settings
    yield _version(cluster)
    yield from _transactions(cluster)
    yield from _progress(around, cluster)
    yield from _events(around, cluster)
    yield skipped("kafka.clock", "no request shows the brokers' clock; event time travels in ce_time, by PostgreSQL's")


def _version(cluster: Cluster) -> Finding:
    release = cluster.release()
    if release is None:
        return skipped("kafka.version", "the brokers do not say what they can do", expected=RELEASE)
    return judged(
        "kafka.version",
        fits=cluster.understands() >= FIRST_PRODUCE,
        expected=RELEASE,
        actual=f"{release} or later",
        fix="upgrade the brokers",
    )


def _transactions(cluster: Cluster) -> Iterator[Finding]:
    settings = cluster.broker_settings()
    if not settings:
        yield skipped(
            "kafka.transaction_log", "this login may not read the brokers' settings (DescribeConfigs on the cluster)"
        )
        return
    longest, ours = int(settings.get("transaction.max.timeout.ms", 900_000)), int(GUARDED["transaction.timeout.ms"])
    yield judged(
        "kafka.transaction_timeout",
        fits=longest >= ours,
        expected=f"transaction.max.timeout.ms of {ours} or more",
        actual=str(longest),
        fix=f"raise it to {ours}: the broker refuses the relay's transactions",
    )
    made = cluster.topics([TRANSACTIONS])
    name = "transaction.state.log"
    replicas = made[0].replication if made else int(settings.get(f"{name}.replication.factor", 3))
    in_sync = int((made[0].settings if made else {}).get("min.insync.replicas", settings.get(f"{name}.min.isr", 2)))
    yield _replicated(
        "kafka.transaction_log", cluster, replicas=replicas, in_sync=in_sync, where=f"{name}.* of the brokers"
    )


def _progress(around: Surroundings, cluster: Cluster) -> Iterator[Finding]:
    if around.installation is None:
        yield skipped("kafka.progress_topic", "its name is in the database, which was not reached or is not migrated")
        return
    name = around.installation.progress_topic
    found = cluster.topics([name])
    if not found:
        if around.bootstrapped:
            yield failed(
                "kafka.progress_topic",
                expected=name,
                actual="it is gone, and this installation has published before",
                fix=f"find out whether this is the right cluster; if it is, see {RESOLVE}",
            )
        else:
            yield skipped("kafka.progress_topic", "not there yet: the first relay makes it", expected=name)
        return
    topic, shards = found[0], around.installation.shards
    yield judged(
        "kafka.progress_partitions",
        fits=topic.partitions >= shards,
        expected=f"{shards} or more: one a shard",
        actual=str(topic.partitions),
        fix=f"kafka-topics --alter --topic {name} --partitions {shards}",
    )
    if topic.settings:
        policy = topic.settings.get("cleanup.policy", "delete")
        yield judged(
            "kafka.progress_cleanup",
            fits=policy == "compact",
            expected="cleanup.policy=compact",
            actual=policy,
            fix=f"kafka-configs --alter --topic {name} --add-config cleanup.policy=compact",
        )
    yield from _topic("kafka.progress", cluster, topic)


def _events(around: Surroundings, cluster: Cluster) -> Iterator[Finding]:
    prefix = _prefix(around)
    if not prefix:
        yield skipped("kafka.event_topics", "the route has no fixed beginning to know its topics by")
        return
    topics = cluster.topics(sorted(name for name in cluster.metadata.topics if name.startswith(prefix)))
    if not topics:
        yield skipped("kafka.event_topics", f"no topic begins with {prefix}")
        return
    worst = [finding for topic in topics for finding in _topic(f"kafka.topic {topic.name}", cluster, topic)]
    bad = [finding for finding in worst if finding.mark == "✗"]
    if bad:
        yield from bad
        return
    least = min(topic.replication for topic in topics)
    summary = f"{counted(len(topics), 'topic')} beginning with {prefix}, {least} replica(s) at least"
    if any(finding.mark == "!" for finding in worst):
        yield warned("kafka.event_topics", expected=_expected(), actual=summary, fix=ONE_BROKER)
    else:
        yield good("kafka.event_topics", summary, expected=_expected())


def _replicas(around: Surroundings, cluster: Cluster) -> Iterator[Finding]:
    """Yield what of the topics that relays write to has no leader, too few replicas in sync, or one missing."""
    prefix = _prefix(around)
    names = {name for name in cluster.metadata.topics if prefix and name.startswith(prefix)} | {TRANSACTIONS}
    if around.installation is not None:
        names.add(around.installation.progress_topic)
    found = cluster.replicas(names)
    for name, bad, expected in (
        ("kafka.leaders", [one for one in found if one.leaderless], "a leader for each partition"),
        ("kafka.in_sync", [one for one in found if one.short], "min.insync.replicas in sync of each partition"),
    ):
        fix = "start the brokers that are missing: relays wait for them"
        yield judged(name, fits=not bad, expected=expected, actual=summary(bad) or expected, fix=fix)
    expected = "every replica in sync"
    if found:
        fix = "start the brokers that are missing: with one more nothing could be written"
        yield warned("kafka.replicas", expected=expected, actual=summary(found), fix=fix)
    else:
        yield good("kafka.replicas", expected, expected=expected)


def _prefix(around: Surroundings) -> str:
    return around.relay.relay_route.partition("{")[0] if around.relay else _DEFAULT_PREFIX


def _topic(name: str, cluster: Cluster, topic: TopicFacts) -> Iterator[Finding]:
    in_sync = int(topic.settings.get("min.insync.replicas", 1))
    where = f"topic {topic.name}"
    if not topic.settings:
        yield skipped(f"{name}_replication", f"this login may not read the settings of {topic.name}")
        return
    yield _replicated(f"{name}_replication", cluster, replicas=topic.replication, in_sync=in_sync, where=where)
    election = topic.settings.get("unclean.leader.election.enable", "false")
    yield judged(
        f"{name}_election",
        fits=election == "false",
        expected="unclean.leader.election.enable=false",
        actual=election,
        fix=f"kafka-configs --alter --topic {topic.name} --add-config unclean.leader.election.enable=false",
    )


def _replicated(name: str, cluster: Cluster, *, replicas: int, in_sync: int, where: str) -> Finding:
    actual = f"{counted(replicas, 'replica')}, min.insync.replicas {in_sync}"
    if replicas >= REPLICAS and in_sync >= IN_SYNC:
        return good(name, actual, expected=_expected())
    if cluster.brokers == 1:
        return warned(name, expected=_expected(), actual=actual, fix=ONE_BROKER)
    fix = f"raise both ({where}): one lost disk loses what was published"
    return failed(name, expected=_expected(), actual=actual, fix=fix)


def _expected() -> str:
    return f"{REPLICAS} replicas, min.insync.replicas {IN_SYNC}"
