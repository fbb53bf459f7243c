"""The values that go through the model: rows and progress records in the product's own form, and all of it in words."""

from functools import lru_cache

from outbox.envelope import StoredEvent
from relay.lease import Installation
from relay.window import Page, Position, Progress, Row, decode_progress, digest
from tests.model.postgres_image import EventRow

INSTALLATION = Installation("model", 1, 7, 1)
_CREATED = "2026-01-01T00:00:00.000000Z"


@lru_cache(maxsize=4096)
def row_of(event: EventRow) -> Row:
    """Return *event* as the product's source returns it; the payload is its id, which the record has to carry."""
    return Row(event.id, StoredEvent(event.name, "t", event.key, "happened", str(event.id), None, None, _CREATED))


@lru_cache(maxsize=4096)
def decoded(value: bytes) -> Progress | None:
    """Return the progress record in *value*."""
    return decode_progress(value)


@lru_cache(maxsize=4096)
def encoded(epoch: int, after: Position, ids: tuple[int, ...]) -> bytes:
    """Return the progress record that Publisher._progress_record makes."""
    who = INSTALLATION
    return Progress(
        install=who.install,
        gen=who.gen,
        sysid=who.sysid,
        shard=0,
        epoch=epoch,
        seq=after.seq,
        prev_seq=max(after.seq - 1, 0),
        a=after.a,
        b=after.b,
        last_id=after.last_id,
        n=len(ids),
        sha=digest(ids),
    ).encode()


def page_key(page: Page | None) -> object:
    """Return what tells two pages apart, without hashing their events."""
    if page is None:
        return None
    window = page.window
    return window.seq, window.a, window.b, window.lo, window.olds, tuple(row.id for row in page.rows), page.end


def page_words(page: Page | None) -> str:
    """Return *page* in words."""
    if page is None:
        return "nothing"
    more = "" if page.end is None else ", and more"
    return f"window {page.window.seq} ({page.window.a} to {page.window.b}), ids {[row.id for row in page.rows]}{more}"


def position_words(value: object) -> str:
    """Return the progress record in *value* in words."""
    if not isinstance(value, bytes):
        return "no position"
    progress = decoded(value)
    assert progress is not None
    return f"window {progress.seq}, last id {progress.last_id}, epoch {progress.epoch}"
