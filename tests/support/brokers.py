"""RabbitMQ and Redis of this machine's packages, started for tests: own folder, own ports, no service of the system.

Nothing is downloaded. Where a program is missing, `missing` says what to install.
"""

import secrets
import shutil
import signal
from pathlib import Path
from typing import Any, Protocol

import redis
from kombu.connection import Connection

from devstack.processes import Command, GuardedProcess, free_port
from devstack.sink.process import listens
from mailer.broker import QUEUE

# Seconds. RabbitMQ takes 3 on a quiet machine, and 10 beside a test suite.
_START_SECONDS = 120
# Debian's program on the PATH changes to a user of its own, and refuses everybody but that user and root.
_RABBITMQ = (Path("/usr/lib/rabbitmq/bin/rabbitmq-server"), "rabbitmq-server")


class Broker(Protocol):
    """A broker that can be killed, and started again at the same address."""

    @property
    def url(self) -> str:
        """Return the address for Celery."""

    @property
    def version(self) -> str:
        """Return what it is, for people."""

    def waiting(self) -> int:
        """Return how many permits wait in it."""

    def start(self) -> None:
        """Start it, with what it had written."""

    def crash(self) -> None:
        """Kill it with SIGKILL."""

    def close(self) -> None:
        """End it for good."""


def missing(kind: str) -> str | None:
    """Return what lacks for a broker of *kind* (`rabbitmq`, `redis`), or nothing."""
    programs = {
        "rabbitmq": (_rabbitmq(), shutil.which("epmd")),
        "redis": (shutil.which("redis-server"),),
    }
    return None if all(programs[kind]) else f"{kind}-server is not installed (on Debian: apt-get install {kind}-server)"


def started(kind: str, folder: Path) -> "RabbitMQ | Redis":
    """Return a running broker of *kind*, with its data in *folder*."""
    made = (RabbitMQ if kind == "rabbitmq" else Redis)(folder)
    made.start()
    return made


class Redis:
    """A Redis that writes nothing down: what it holds is lost with it."""

    def __init__(self, folder: Path) -> None:
        """Prepare one in *folder*."""
        self._port = free_port()
        self._password = secrets.token_urlsafe(12)
        self._folder = folder
        self._process: GuardedProcess | None = None

    @property
    def url(self) -> str:
        """Return the address for Celery."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    @property
    def version(self) -> str:
        """Return which Redis it is."""
        with self._client() as client:
            return f"Redis {client.info()['redis_version']}"

    def waiting(self) -> int:
        """Return how many permits wait, those that a worker has at the moment included."""
        with self._client() as client:
            return int(client.llen(QUEUE)) + int(client.hlen("unacked"))

    def start(self) -> None:
        """Start it, empty."""
        settings = self._folder / "redis.conf"
        lines = ("bind 127.0.0.1", f"port {self._port}", 'save ""', "appendonly no", f"dir {self._folder}")
        settings.write_text("\n".join((*lines, f"requirepass {self._password}\n")), encoding="utf-8")
        program = shutil.which("redis-server") or "redis-server"
        self._process = GuardedProcess(Command("Redis", (program, str(settings)), self._folder / "redis.log"))
        self._process.wait_ready(lambda: listens(self._port), timeout_seconds=_START_SECONDS)

    def crash(self) -> None:
        """Kill it."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Stop it."""
        self._end(signal.SIGTERM)

    def _client(self) -> Any:
        return redis.Redis.from_url(self.url, socket_timeout=5)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end(number, timeout_seconds=20)


class RabbitMQ:
    """A node of RabbitMQ with a name, a cookie and an epmd of its own, so that it meets no other node."""

    def __init__(self, folder: Path) -> None:
        """Prepare one in *folder*."""
        self._folder = folder / "rabbitmq"
        self._log = folder / "rabbitmq.log"
        self._port, self._names, self._nodes = free_port(), free_port(), free_port()
        self._password = secrets.token_urlsafe(12)
        self._processes: list[GuardedProcess] = []

    @property
    def url(self) -> str:
        """Return the address for Celery."""
        return f"amqp://outbox:{self._password}@127.0.0.1:{self._port}//"

    @property
    def version(self) -> str:
        """Return which RabbitMQ it is."""
        with Connection(self.url) as connection:  # type: ignore[no-untyped-call] # kombu publishes no types
            connection.connect()
            return f"RabbitMQ {connection.connection.server_properties['version']}, quorum queue"

    def waiting(self) -> int:
        """Return how many permits wait; those that a worker has at the moment are not counted."""
        with Connection(self.url) as connection:  # type: ignore[no-untyped-call] # kombu publishes no types
            return int(connection.default_channel.queue_declare(QUEUE, passive=True).message_count)

    def start(self) -> None:
        """Start the node, and the daemon that knows its name."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        lines = (f"listeners.tcp.1 = 127.0.0.1:{self._port}", "default_user = outbox", "log.console = true")
        (self._folder / "rabbitmq.conf").write_text(
            "\n".join((*lines, f"default_pass = {self._password}", "loopback_users = none\n")), encoding="utf-8"
        )
        (self._folder / "enabled_plugins").write_text("[].\n", encoding="utf-8")
        if not self._processes:
            arguments = (shutil.which("epmd") or "epmd", "-address", "127.0.0.1", "-port", str(self._names))
            self._run("epmd", arguments, self._names)
        self._run("RabbitMQ", (_rabbitmq() or "rabbitmq-server",), self._port)

    def crash(self) -> None:
        """Kill the node; the daemon that knows its name stays."""
        self._processes.pop().end(signal.SIGKILL, timeout_seconds=20)

    def close(self) -> None:
        """End both. Nobody wants its data any more, so it gets no time to tidy up."""
        while self._processes:
            self.crash()

    def _run(self, name: str, arguments: tuple[str, ...], port: int) -> None:
        process = GuardedProcess(Command(name, arguments, self._log, environment=self._environment()))
        self._processes.append(process)
        process.wait_ready(lambda: listens(port), timeout_seconds=_START_SECONDS)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self._folder),  # where the cookie is
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"outbox-{self._port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._nodes),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "no-environment.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(self._folder / "pid"),
            "RUNNING_UNDER_SYSTEMD": "true",  # the node takes the place of the script: one process, ours to kill
        }


def _rabbitmq() -> str | None:
    return next((found for program in _RABBITMQ if (found := shutil.which(program))), None)
