"""The model's PostgreSQL behind the interfaces that the relay uses; each call waits until it is chosen."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import psycopg

from relay.errors import LeaseLostError
from relay.lease import Batch, Installation, ServerFacts, Term
from relay.window import Page, Position, Row, Window
from tests.model.positions import INSTALLATION, row_of
from tests.model.postgres_model import ConnectionLostError, Postgres
from tests.model.reading import PAGE_ROWS
from tests.model.stepping import Place


@contextmanager
def _connection() -> Iterator[None]:
    try:
        yield
    except ConnectionLostError:
        raise psycopg.OperationalError("the connection is gone") from None


class ModelSession:
    """`relay.leases.Session`."""

    def __init__(self, place: Place, killed: Callable[[], bool]) -> None:
        """Be connected once the lease is asked for."""
        self._place = place
        self._killed = killed
        self.connection: Any = SimpleNamespace(info=SimpleNamespace(backend_pid=place.number))

    def facts(self) -> ServerFacts:
        return ServerFacts(180000, recovering=False, sysid=7, cache=1, backend_pid=1, connected_pid=1)

    def installation(self) -> Installation:
        return INSTALLATION

    def any_bootstrapped(self) -> bool:
        return True

    def try_lock(self, shard: int) -> bool:
        del shard
        self._place.ask("lock")
        self._place.pg.connect(self._place.number)
        return self._place.pg.try_lock(self._place.number)

    def raise_epoch(self, shard: int, *, shards: int) -> Term:
        del shard, shards
        self._place.ask("epoch")
        with _connection():
            return self._place.pg.raise_epoch(self._place.number)

    def check(self, term: Term) -> None:
        self._place.ask("check")
        with _connection():
            epoch, held = self._place.pg.check_lease(self._place.number)
        if epoch != term.epoch or not held:
            raise LeaseLostError(0, term.epoch, "fenced")

    def batch(self, shard: int, seq: int) -> Batch | None:
        del shard
        self._place.ask("judge")
        with _connection():
            return self._place.pg.batch(self._place.number, seq)

    def current_snapshot(self) -> str:
        self._place.ask("judge")
        with _connection():
            self._place.pg.alive(self._place.number)
            return self._place.pg.snapshot()

    def write_barrier(self, term: Term, window: Window) -> None:
        self._place.ask("barrier")
        batch = Batch(window.a, window.b, term.epoch, window.n)
        with _connection():
            written = self._place.pg.write_barrier(self._place.number, epoch=term.epoch, seq=window.seq, batch=batch)
        self._demand(term, done=written)

    def mark_bootstrapped(self, term: Term) -> None:
        self._place.ask("mark")
        with _connection():
            self._demand(term, done=self._place.pg.mark_bootstrapped(self._place.number, epoch=term.epoch))

    def mirror(self, term: Term, position: Position) -> None:
        self._place.ask("ahead" if self._place.reading() == "ahead" else "mirror")
        with _connection():
            seq = position.seq
            self._demand(term, done=self._place.pg.mirror_position(self._place.number, epoch=term.epoch, seq=seq))

    def _demand(self, term: Term, *, done: bool) -> None:
        if not done:
            raise LeaseLostError(0, term.epoch, "fenced")

    def clear_halt(self, term: Term) -> None:
        """Change nothing that the model has."""

    def note_halt(self, shard: int, *, epoch: int | None, reason: str) -> None:
        """Change nothing that the model has."""

    def unlock(self, shard: int) -> None:
        """Leave it to the end of the session."""

    def close(self) -> None:
        if not self._killed():
            self._place.pg.disconnect(self._place.number)


class ModelSource:
    """`relay.source.Source`; each statement is a call."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def _statement(self) -> Postgres:
        self._place.ask(self._place.reading())
        with _connection():
            self._place.pg.alive(self._place.number)
        return self._place.pg

    def snapshot(self) -> str:
        return self._statement().snapshot()

    def find(self, *, seq: int, a: str, b: str) -> Window | None:
        if a == b:
            return None
        lo, n = self._statement().find_range(self._place.number, a, b)
        olds = self._olds(a, b)
        return Window(seq=seq, a=a, b=b, lo=lo, olds=olds, n=n) if n or olds else None

    def resume(self, position: Position, *, n: int) -> Window:
        olds = self._olds(position.a, position.b)
        return Window(seq=position.seq, a=position.a, b=position.b, lo=position.last_id or 0, olds=olds, n=n)

    def _olds(self, a: str, b: str) -> tuple[str, ...]:
        return tuple(map(str, self._statement().old_transactions(self._place.number, a, b)))

    def page(self, window: Window, *, after: int) -> Page:
        found = self._statement().read_page(
            self._place.number, a=window.a, b=window.b, lo=window.lo, olds=tuple(map(int, window.olds)), after=after
        )
        rows: tuple[Row, ...] = tuple(row_of(row) for row in found[:PAGE_ROWS])
        return Page(window, rows, rows[-1].id if len(found) > PAGE_ROWS else None)

    def release_due(self, *, rows: int) -> int:
        del rows
        self._statement()
        return 0

    def parked_keys(self) -> dict[tuple[str, str], int]:
        return {}
