"""The steps in which a relay looks for what is next: `relay/feed.py` and `relay/source.py`, on the model's rows.

[look]   ShardLoop._read: Source.release_due, then Feed.page or Feed.find: snapshot, find and page in one, for what
         commits between them is in a later window whichever is first; test_machines.py takes them apart
[mirror] ShardLoop._write_mirror, with nothing else to do
[ahead]  ShardLoop._meanwhile, while a commit is under way: the mirror, once a renewal, and Feed.read_ahead
"""

from relay.machine import Signal, Slice
from relay.window import Page, Window
from tests.model.kafka_model import Kafka
from tests.model.positions import page_words, row_of
from tests.model.postgres_model import Postgres
from tests.model.relay_memory import LeaseLost, Memory

PAGE_ROWS = 2


def go_on(relay: Memory) -> bool:
    """Take the page in hand, or the one that was read ahead, which asks nobody; return whether there is one."""
    if relay.hand is None:
        relay.hand, relay.ahead = relay.ahead, None
    if relay.hand is None:
        return False
    relay.signal(Signal.FOUND)
    if relay.following is not None:
        relay.current, relay.following = relay.following, None
    else:
        relay.current = relay.begin_filling(relay.hand, portion_of(relay, relay.hand), producer=relay.turn)
    if relay.current.full:
        relay.at = "commit"
        relay.looked = not has_to_look(relay)
    return True


def portion_of(relay: Memory, page: Page) -> int:
    """Return how many rows of *page* go into one transaction."""
    return len(relay.portion.of(Slice(page.rows, alone=False)).rows)


def look(relay: Memory, pg: Postgres, kafka: Kafka) -> str:
    """Have the next page in hand, or find that there is none."""
    del kafka
    pg.alive(relay.number)
    if relay.position.last_id is not None:
        relay.hand = _resumed(relay, pg)
    else:
        relay.hand, relay.a = found_page(relay, pg, seq=relay.position.seq + 1, a=relay.a)
    if go_on(relay):
        return f"has a page: {page_words(relay.hand)}"
    relay.signal(Signal.EMPTY)
    relay.at = "mirror" if relay.mirror_due is not None else "idle"
    return f"finds nothing up to {relay.a}"


def _resumed(relay: Memory, pg: Postgres) -> Page:
    position, last = relay.position, relay.position.last_id or 0
    olds = tuple(map(str, pg.old_transactions(relay.number, position.a, position.b)))
    window = Window(seq=position.seq, a=position.a, b=position.b, lo=last, olds=olds, n=relay.n)
    return page_of(relay, pg, window, after=last)


def found_page(relay: Memory, pg: Postgres, *, seq: int, a: str) -> tuple[Page | None, str]:
    """Return what Feed._find does: the first page between *a* and now, or None; and where to look from next."""
    b = pg.snapshot()
    if a == b:
        return None, b
    lo, n = pg.find_range(relay.number, a, b)
    olds = tuple(map(str, pg.old_transactions(relay.number, a, b)))
    if not relay.rules.bound_from_rows:
        lo = relay.bound
        relay.bound = pg.image.next_id - 1
    if not n and not olds:
        return None, b
    page = page_of(relay, pg, Window(seq=seq, a=a, b=b, lo=lo, olds=olds, n=n), after=0)
    return (None, b) if page.exhausted and page.end is None else (page, a)


def page_of(relay: Memory, pg: Postgres, window: Window, *, after: int) -> Page:
    """Return what Source.page does."""
    found = pg.read_page(
        relay.number, a=window.a, b=window.b, lo=window.lo, olds=tuple(map(int, window.olds)), after=after
    )
    if not relay.rules.from_xmax:
        low = int(window.a.split(":")[1])
        found = tuple(row for row in found if row.tx != low)
    if not relay.rules.order_by_id:
        found = tuple(sorted(found, key=lambda row: (row.tx, row.id)))
    rows = tuple(row_of(row) for row in found[:PAGE_ROWS])
    return Page(window, rows, rows[-1].id if len(found) > PAGE_ROWS else None)


def mirror(relay: Memory, pg: Postgres, kafka: Kafka) -> str:
    """Note in PostgreSQL how far we came."""
    del kafka
    assert relay.mirror_due is not None
    if not pg.mirror_position(relay.number, epoch=relay.held.epoch, seq=relay.mirror_due):
        raise LeaseLost
    relay.mirror_due, relay.mirrored = None, True
    relay.at = "idle"
    return "writes the mirror"


def _mirror_now(relay: Memory) -> bool:
    """Return whether a commit's time is used for the mirror: at most five times a second, so once a renewal here."""
    return relay.mirror_due is not None and not relay.mirrored


def has_to_look(relay: Memory) -> bool:
    """Return whether PostgreSQL is asked anything while the page in hand is committed."""
    filling = relay.filling
    after = filling.after
    return _mirror_now(relay) or after.last_id is None or after.last_id == filling.page.end


def ahead(relay: Memory, pg: Postgres, kafka: Kafka) -> str:
    """Read what follows the page that is being committed."""
    pg.alive(relay.number)
    filling = relay.filling
    page, after = filling.page, filling.after
    told = ""
    if _mirror_now(relay):
        told = mirror(relay, pg, kafka) + "; "
        relay.at = "commit"
    if after.last_id is None:
        relay.ahead, _ = found_page(relay, pg, seq=after.seq + 1, a=after.next_a)
    elif after.last_id == page.end:
        relay.ahead = page_of(relay, pg, page.window, after=page.end)
    relay.looked = True
    return f"{told}reads ahead: {page_words(relay.ahead)}"
