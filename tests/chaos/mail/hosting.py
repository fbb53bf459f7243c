"""A host that inserts while other things break: a thread for as long as a block lasts."""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

ROLLED_BACK_SHARE = 0.1


class Host(ABC):
    """One thread that inserts; its choices can be replayed."""

    def __init__(self, dsn: str, *, seed: int) -> None:
        """Prepare; nothing is written before the block is entered."""
        self._dsn = dsn
        self._chance = random.Random(seed)  # noqa: S311 - replayable, not secret
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, name=type(self).__name__.lower())

    def __enter__(self) -> Self:
        """Start to write."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def stop(self) -> None:
        """Stop and wait until the last transaction has ended."""
        self._stop.set()
        self._thread.join()

    @abstractmethod
    def _write(self) -> None:
        """Insert until it is stopped."""
