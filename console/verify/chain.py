"""Progress records: an unbroken chain, each with its barrier row and the count and digest of its page. No I/O."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from console.verify.facts import Doubt, Finding, Kind, Link, Note, Reach, Said


class Missing(NamedTuple):
    """A window that no progress record speaks of."""

    seq: int
    at: float


class Member(NamedTuple):
    """The id of an event that a window must publish; *elsewhere*: or that a history which is gone has published."""

    seq: int
    id: int
    elsewhere: int = 0


def chained(shard: int, links: Iterable[Link], *, owner: str) -> Iterator[Said]:
    """Yield breaks in the progress records of *shard*, in their order; *owner* is who we are."""
    before: Link | None = None
    for link in links:
        if link.owner != owner:
            yield _wrong(Kind.CHAIN, shard, link, f"is of {link.owner or 'nobody we know'}, expected {owner}")
            continue
        yield from _barred(shard, link)
        chosen = chosen_anew(link)
        if chosen:
            yield Note(f"shard {shard}: the position was chosen anew before window {link.seq + 1}")
        elif link.prev_seq != max(link.seq - 1, 0):
            yield _wrong(Kind.CHAIN, shard, link, f"names {link.prev_seq} as its predecessor")
        if before is not None:
            yield from _follows(shard, before, link, chosen=chosen)
        before = link


def chosen_anew(link: Link) -> bool:
    """Return whether an operator chose this position: it names itself as its predecessor, and publishes nothing."""
    return link.seq > 0 and link.prev_seq == link.seq and link.n == 0


def _barred(shard: int, link: Link) -> Iterator[Finding]:
    if link.barrier_epoch is None:
        return  # outside of the range, or told by `contiguous`
    if (link.barrier_a, link.barrier_b) != (link.a, link.b):
        yield _wrong(Kind.BARRIER, shard, link, "and its row in outbox.batch have other snapshots")
    elif link.barrier_epoch < link.epoch or (link.last_id is None and link.barrier_epoch != link.epoch):
        # A later term writes the row of a window that is not finished anew, of one that is finished never.
        problem = f"is of epoch {link.epoch}, its row in outbox.batch of epoch {link.barrier_epoch}"
        yield _wrong(Kind.BARRIER, shard, link, problem)


def _follows(shard: int, before: Link, link: Link, *, chosen: bool) -> Iterator[Finding]:
    if link.epoch < before.epoch:
        yield _wrong(Kind.CHAIN, shard, link, f"of epoch {link.epoch} follows one of epoch {before.epoch}")
    if chosen:
        return
    if link.seq == before.seq:
        if before.last_id is None or (link.a, link.b) != (before.a, before.b):
            yield _wrong(Kind.CHAIN, shard, link, "goes on in a window that was finished, or has other snapshots")
        elif link.last_id is not None and link.last_id <= before.last_id:
            yield _wrong(Kind.CHAIN, shard, link, f"goes back from row {before.last_id} to {link.last_id}")
    elif link.seq < before.seq:
        yield _wrong(Kind.CHAIN, shard, link, f"follows window {before.seq}")
    elif link.seq == before.seq + 1 and before.last_id is not None:
        yield _wrong(Kind.CHAIN, shard, link, f"begins before window {before.seq} was finished")


def contiguous(shard: int, seqs: Iterable[int]) -> Iterator[Finding]:
    """Yield holes in the numbers of the windows that PostgreSQL has: outbox.batch loses none but its oldest."""
    for before, after in pairwise(seqs):
        if after != before + 1:
            gone = f"{before + 1} to {after - 1}"
            problem = f"shard {shard}: outbox.batch has no rows for windows {gone}: PostgreSQL lost history"
            yield Finding(Kind.BARRIER, problem, shard=shard, window=before + 1)


def recorded(shard: int, missing: Iterable[Missing], reach: Reach, *, chosen: int = 0) -> Iterator[Said]:
    """Yield windows without a progress record, unless compaction may have taken it, or it was lost before *chosen*."""
    for window in missing:
        if window.seq < chosen:
            yield Doubt(f"shard {shard}: windows before {chosen}, where the position was chosen anew", covered=True)
        elif window.at < reach.compacted_before:
            yield Doubt(f"shard {shard}: windows whose progress records compaction may have taken", covered=True)
        else:
            problem = f"window {window.seq} of shard {shard} is finished, and no progress record speaks of it"
            yield Finding(Kind.CHAIN, problem, shard=shard, window=window.seq)


def paged(shard: int, links: Iterable[Link], members: Iterable[Member], reach: Reach) -> Iterator[Said]:
    """Yield progress records whose count or digest is not that of the rows of their page.

    *links* are those of the range, *members* the rows of its windows without a dead letter, by window and id.
    """
    left = iter(members)
    member = next(left, None)
    for link in links:
        page: list[Member] = []
        while member is not None and (member.seq < link.seq or _within(member, link)):
            if member.seq == link.seq:
                page.append(member)
            member = next(left, None)
        ids = [one.id for one in page]
        here = [one.id for one in page if not one.elsewhere]
        if not chosen_anew(link) and _said(ids) != (link.n, link.sha) != _said(here):
            yield _unequal(shard, link, ids, reach)


def _said(ids: Sequence[int]) -> tuple[int, str]:
    return len(ids), hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()


def _within(member: Member, link: Link) -> bool:
    return member.seq == link.seq and (link.last_id is None or member.id <= link.last_id)


def _unequal(shard: int, link: Link, ids: Sequence[int], reach: Reach) -> Said:
    at = link.barrier_at or 0.0
    if len(ids) < link.n and at < reach.pruned_before:
        return Doubt(f"shard {shard}: pages so old that retention may have deleted some of their rows")
    if len(ids) > link.n and at < reach.compacted_before:
        return Doubt(f"shard {shard}: pages whose predecessor compaction may have taken", covered=True)
    rows = f"{len(ids)} rows" + (f" from {ids[0]} to {ids[-1]}" if ids else "")
    return _wrong(Kind.PAGE, shard, link, f"speaks of {link.n} events, its page has {rows} or others")


def _wrong(kind: Kind, shard: int, link: Link, problem: str) -> Finding:
    text = f"progress record {link.offset} of shard {shard} (window {link.seq}) {problem}"
    return Finding(kind, text, shard=shard, window=link.seq, partition=shard, offset=link.offset)
