"""The jars of Kafka Connect and Debezium, from Maven Central, each with its hash in `jars.lock.toml` beside this file.

`python -m bench.peers.jars` writes the lock file anew: run it to change a version.
"""

from __future__ import annotations

from pathlib import Path

from devstack import maven

LOCK = Path(__file__).with_name("jars.lock.toml")
GROUP = "connect"
# The first root's versions win: those of Kafka Connect, whose class path it is.
ROOTS = (
    "org.apache.kafka:connect-runtime:4.3.1",
    "io.debezium:debezium-connector-postgres:3.6.1.Final",
    "org.slf4j:slf4j-simple:1.7.36",
)
# Confluent's are not on Maven Central, and neither is needed by what runs here.
LEFT_OUT = ("io.confluent:", "io.debezium:debezium-storage-chronicle-queue:")


def classpath() -> str:
    """Return the class path of a Kafka Connect with Debezium's connector; downloads what the cache lacks."""
    return ":".join(map(str, maven.fetch(maven.locked(GROUP, lock=LOCK))))


if __name__ == "__main__":
    found = [coordinate for coordinate in maven.resolve(ROOTS) if not coordinate.startswith(LEFT_OUT)]
    maven.write_lock(LOCK, {GROUP: found}, by="python -m bench.peers.jars")
