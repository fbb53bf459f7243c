"""PostgreSQL and Kafka as containers, through testcontainers: where the embedded servers do not exist, or on demand.

Ports are bound to 127.0.0.1 and chosen before the start, so that they outlive a stop and Kafka can advertise its own;
hence the engine must be on this machine. Instead of testcontainers' reaper (a container with the engine's socket
inside, and one image more to pull) a keeper process removes the containers when we die.
"""

import base64
import secrets
import signal
import sys
import time
import uuid
from pathlib import Path
from threading import Event
from typing import Any, Self

import psycopg
from docker.errors import DockerException
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from devstack import kafka
from devstack.errors import ProviderUnavailableError, ServerFailedError
from devstack.processes import Command, GuardedProcess, free_port

POSTGRES_IMAGE = "postgres:17"
KAFKA_IMAGE = "apache/kafka:4.3.1"
POSTGRES_OPTIONS = ("max_connections=200", "max_prepared_transactions=50", "wal_level=replica", "timezone=UTC")


class ContainerServer:
    """A server in a container: it keeps its port and its data until it is closed."""

    def __init__(self, folder: Path, *, image: str, port: int) -> None:
        """Prepare a container of *image* whose *port* is reached at a free port of 127.0.0.1."""
        testcontainers_config.ryuk_disabled = True
        self.port = free_port()
        self.log = folder / f"{image.rpartition('/')[2].partition(':')[0]}.log"
        self._image = image
        self._keeper: GuardedProcess | None = None
        try:
            self._container = DockerContainer(image)
        except DockerException as problem:
            raise _unavailable(problem) from problem
        published: dict[str, Any] = self._container.ports  # its type lacks the form that names an address
        published[f"{port}/tcp"] = ("127.0.0.1", self.port)
        self.running = False

    @classmethod
    def started(cls, folder: Path) -> Self:
        """Return a running server."""
        server = cls(folder)  # type: ignore[call-arg]  # the adapters below know image and port
        server.start()
        return server

    def start(self) -> None:
        """Start the server; one that runs is left alone."""
        if self.running:
            return
        if self._keeper is None:
            self._create()
        else:
            self._docker().start()
        self.running = True
        self._wait()

    def stop(self) -> None:
        """Stop the server in order."""
        if self.running:
            self._docker().stop(timeout=30)
            self.running = False

    def crash(self) -> None:
        """Kill the server."""
        if self.running:
            self._docker().kill()
            self.running = False

    def close(self) -> None:
        """Remove the container and its data."""
        self._save_log()
        self._container.stop()
        self.running = False
        if self._keeper is not None:
            self._keeper.end(signal.SIGKILL, timeout_seconds=5)
            self._keeper = None

    def answers(self) -> bool:
        """Say whether the server answers."""
        raise NotImplementedError

    def _create(self) -> None:
        """Make the container and run it; pulls the image if need be."""
        try:
            self._container.start()
        except DockerException as problem:
            raise _unavailable(problem) from problem
        arguments = (sys.executable, "-m", "devstack.keeper", self._container.get_container_id())
        self._keeper = GuardedProcess(Command("keeper of containers", arguments, self.log.with_name("keeper.log")))

    def _wait(self) -> None:
        deadline, pause = time.monotonic() + 120, Event()
        while not self.answers():
            self._docker().reload()
            if self._docker().status != "running" or time.monotonic() > deadline:
                self._save_log()
                problem = f"did not answer, its container is {self._docker().status}"
                self._container.stop()
                raise ServerFailedError(self._image, problem, self.log)
            pause.wait(0.1)

    def _docker(self) -> Any:  # noqa: ANN401  docker publishes no types
        """Return the engine's own handle of the container."""
        return self._container.get_wrapped_container()

    def _save_log(self) -> None:
        self.log.write_bytes(self._docker().logs())


class ContainerPostgres(ContainerServer):
    """PostgreSQL in a container."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, image=POSTGRES_IMAGE, port=5432)
        self._password = secrets.token_urlsafe(18)
        options = [word for option in POSTGRES_OPTIONS for word in ("-c", option)]
        self._container.with_env("POSTGRES_PASSWORD", self._password).with_command(["postgres", *options])

    @property
    def dsn(self) -> str:
        """Return the superuser's address."""
        return f"postgresql://postgres:{self._password}@127.0.0.1:{self.port}/postgres"

    def answers(self) -> bool:
        """Say whether the server takes a connection."""
        try:
            psycopg.connect(self.dsn, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


class ContainerKafka(ContainerServer):
    """A KRaft broker in a container."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, image=KAFKA_IMAGE, port=9092)
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        settings = {
            "NODE_ID": "1",
            "PROCESS_ROLES": "broker,controller",
            "CONTROLLER_QUORUM_VOTERS": "1@localhost:9094",
            "CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "LISTENERS": "HOST://0.0.0.0:9092,BROKER://0.0.0.0:9093,CONTROLLER://0.0.0.0:9094",
            "ADVERTISED_LISTENERS": f"HOST://127.0.0.1:{self.port},BROKER://localhost:9093",
            "LISTENER_SECURITY_PROTOCOL_MAP": "HOST:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "INTER_BROKER_LISTENER_NAME": "BROKER",
            **kafka.container_settings(),
        }
        self._container.with_envs(CLUSTER_ID=cluster, **{f"KAFKA_{name}": value for name, value in settings.items()})

    @property
    def bootstrap(self) -> str:
        """Return the address for clients."""
        return f"127.0.0.1:{self.port}"

    def answers(self) -> bool:
        """Say whether the broker lists topics."""
        return kafka.answers(self.bootstrap, timeout_seconds=1)


def _unavailable(problem: Exception) -> ProviderUnavailableError:
    error = ProviderUnavailableError("container", f"the container engine refuses: {problem}")
    error.add_note("is Docker running, and may this user use it? OUTBOX_PROVIDER=embedded needs no engine")
    return error
