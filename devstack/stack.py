"""Everything that the pipeline needs, started together: PostgreSQL, Kafka, an SMTP sink."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar

from devstack import folders, providers
from devstack.sink.process import SinkProcess


class _Closable(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=_Closable)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which servers to start; *durable*: with fsync."""

    postgres: bool
    kafka: bool
    smtp: bool
    durable: bool


@dataclass(frozen=True, slots=True)
class Stack:
    """The running servers, and their addresses. Closing it stops what it started and deletes the folder of the run."""

    folder: Path
    postgres: providers.Postgres | None
    kafka: providers.Kafka | None
    sink: SinkProcess | None
    _closers: ExitStack = field(repr=False)

    @classmethod
    def start(
        cls,
        *,
        postgres: bool = True,
        kafka: bool = True,
        smtp: bool = True,
        durable: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a stack of the wanted servers, started side by side; when one fails, all are stopped.

        Not *durable* spares the embedded PostgreSQL its fsync. The provider chain reads *environment*, by default ours.
        """
        folder = folders.new_run_folder()
        wanted = Wanted(postgres=postgres, kafka=kafka, smtp=smtp, durable=durable)
        try:
            return cls._start(folder, wanted, environment=os.environ if environment is None else environment)
        except BaseException:
            folders.remove(folder, keep_logs=True)
            raise

    @classmethod
    def _start(cls, folder: Path, wanted: Wanted, *, environment: Mapping[str, str]) -> Self:
        """Return a stack of what is *wanted*, started in *folder*."""
        with ExitStack() as closers, ThreadPoolExecutor(thread_name_prefix="devstack") as pool:
            # Each registers its end as soon as it runs: an error, or Ctrl-C meanwhile, ends what has come up by then.
            def launch(start: Callable[[], T], *, really: bool) -> Future[T] | None:
                return pool.submit(_started, start, closers) if really else None

            database = launch(
                lambda: providers.postgres(environment, folder, durable=wanted.durable), really=wanted.postgres
            )
            broker = launch(lambda: providers.kafka(environment, folder), really=wanted.kafka)
            sink = launch(lambda: SinkProcess(folder), really=wanted.smtp)
            return cls(
                folder=folder,
                postgres=database.result() if database else None,
                kafka=broker.result() if broker else None,
                sink=sink.result() if sink else None,
                _closers=closers.pop_all(),
            )

    @property
    def database_url(self) -> str:
        """Return the superuser's address of PostgreSQL."""
        assert self.postgres is not None, "this stack was started without PostgreSQL"  # noqa: S101  a caller's mistake
        return self.postgres.dsn

    @property
    def kafka_bootstrap(self) -> str:
        """Return the address of Kafka."""
        assert self.kafka is not None, "this stack was started without Kafka"  # noqa: S101  a caller's mistake
        return self.kafka.bootstrap

    @property
    def smtp_dsn(self) -> str:
        """Return the sink's address for a mail transport."""
        assert self.sink is not None, "this stack was started without a sink"  # noqa: S101  a caller's mistake
        return self.sink.dsn

    @property
    def inbox_url(self) -> str:
        """Return the address at which a person looks at the mails."""
        assert self.sink is not None, "this stack was started without a sink"  # noqa: S101  a caller's mistake
        return self.sink.http_url

    def environment(self) -> dict[str, str]:
        """Return the settings that lead our processes to this stack."""
        found = {
            "OUTBOX_DATABASE_URL": self.postgres and self.postgres.dsn,
            "OUTBOX_KAFKA_BOOTSTRAP": self.kafka and self.kafka.bootstrap,
            "OUTBOX_MAIL_DSN": self.sink and self.sink.dsn,
            "OUTBOX_MAIL_FROM": self.sink and "Outbox <no-reply@example.com>",  # nobody but the sink sees it
        }
        return {name: value for name, value in found.items() if value}

    def close(self) -> None:
        """Stop the servers that are ours, and delete their data and logs."""
        self._closers.close()
        folders.remove(self.folder)

    def __enter__(self) -> Self:
        """Return the stack."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the stack; after an error of the block the logs stay, and the error says where."""
        self._closers.close()
        if isinstance(error, Exception):
            folders.remove(self.folder, keep_logs=True)
            error.add_note(f"logs of the servers: {self.folder}")
        else:
            folders.remove(self.folder)


def _started(start: Callable[[], T], closers: ExitStack) -> T:
    """Return what *start* starts, after its end is registered."""
    server = start()
    closers.callback(server.close)
    return server
