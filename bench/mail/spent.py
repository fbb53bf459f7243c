"""CPU time of every part of the mailer's way, children included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from bench.peers.meters import listener
from bench.processor import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from devstack import Stack


class Spent:
    """What the parts spent while the block ran: `seconds`, by part."""

    def __init__(self, servers: Stack, parts: Mapping[str, int]) -> None:
        """Watch the *parts*, by process id, PostgreSQL and Kafka."""
        self._parts = {
            **parts,
            "postgres": listener(urlsplit(servers.database_url).port),
            "broker": listener(int(servers.kafka_bootstrap.rpartition(":")[2])),
        }
        self.seconds: dict[str, float] = {}

    def __enter__(self) -> Self:
        """Begin."""
        self.seconds = {part: -cpu_seconds(pid) for part, pid in self._parts.items()}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        for part, pid in self._parts.items():
            self.seconds[part] += cpu_seconds(pid)
