"""Hanging transactions: finding them, gathering what proves how they ended, and ending them that way.

`undecided.py` says what they are and what counts as proof. Who heals holds the lease of the shard: it is done under the
relay's transactional id, and fences whoever publishes under it.
"""

from collections.abc import Iterable, Mapping, Sequence

from relay.codec import Partition
from relay.errors import PositionHiddenError, SinkUnavailableError
from relay.lease import Installation
from relay.leases import Session
from relay.testimony import coordinator_log, progress_from
from relay.transactions import Transactions
from relay.undecided import Diagnosis, Entry, HangingTransaction, Mirror, Outcome, Witnesses, judge, judge_log


def find(transactions: Transactions, partitions: Iterable[Partition]) -> list[HangingTransaction]:
    """Return the transactions that *partitions* have open and that nobody is going to end.

    Asked in this order: what is open, what its coordinator has under way, what is still open. A coordinator forgets a
    partition only when its marker is written, so what is open before and after, and not under way between, hangs.
    """
    before = transactions.open(partitions)
    if not before:
        return []
    known = transactions.known({one.producer_id for one in before})
    idle = [one for one in before if not (one.producer_id in known and known[one.producer_id].carries(one))]
    if not idle:
        return []
    after = {(one.place, one.producer_id, one.start_offset) for one in transactions.open({one.place for one in idle})}
    return [
        HangingTransaction(one, known.get(one.producer_id))
        for one in idle
        if (one.place, one.producer_id, one.start_offset) in after
    ]


def hangs(transactions: Transactions, place: Partition) -> bool:
    """Return whether it is known that a transaction hangs on *place*."""
    try:
        return transactions.unable is None and bool(find(transactions, [place]))
    except SinkUnavailableError:
        return False  # then it is waited for


def diagnose(
    session: Session,
    transactions: Transactions,
    options: Mapping[str, str],
    *,
    installation: Installation,
    shard: int,
    topics: Sequence[str],
) -> Diagnosis | None:
    """Return what hangs on the progress partition of *shard*, and of the same producer on *topics*, and how it ended.

    None if nothing hangs there. Changes nothing. *options* are for Kafka clients. Only what the relay's transactional
    id has left open is diagnosed: other producers' transactions on *topics* are their owners' business.
    """
    progress = (installation.progress_topic, shard)
    ours = installation.transactional_id(shard)
    found = [
        one
        for one in find(transactions, [progress, *transactions.partitions(topics)])
        if one.found.place == progress or (one.known is not None and one.known.transactional_id == ours)
    ]
    if not found:
        return None
    outcome, reason = _judged(session, options, installation=installation, shard=shard, found=found)
    return Diagnosis(shard, tuple(found), outcome, reason)


def explained(
    error: PositionHiddenError,
    session: Session,
    transactions: Transactions,
    options: Mapping[str, str],
    *,
    installation: Installation,
    prefix: str,
) -> PositionHiddenError:
    """Return *error* with what hides the position, how that ended, and what an operator does about it.

    Topics of events are looked at if their name begins with *prefix*. Who cannot be asked is named, and hides nothing.
    """
    shard = error.shard
    progress = (installation.progress_topic, shard)

    def look(topics: Sequence[str]) -> Diagnosis | None:
        return diagnose(session, transactions, options, installation=installation, shard=shard, topics=topics)

    try:
        try:
            found = look(transactions.topics(prefix) if prefix else ())
        except SinkUnavailableError:
            found = look(())  # a relay need not be allowed to read the topics that it writes to
        under_way = transactions.open([progress]) if found is None else []
    except SinkUnavailableError as problem:
        return PositionHiddenError(shard, f"{error.reason}; which one could not be asked: {problem}")
    if found is not None:
        return PositionHiddenError(shard, f"{error.reason}: {found}")
    told = ", ".join(f"producer id {one.producer_id} from offset {one.start_offset} on" for one in under_way)
    return PositionHiddenError(
        shard, f"{error.reason}, and is under way ({told or 'it has ended meanwhile'}): try again"
    )


def heal(transactions: Transactions, diagnosis: Diagnosis) -> None:
    """End what hangs as *diagnosis* has proven that it ended; raise SinkUnavailableError if it could not be done.

    Hold the lease of the shard. Where Kafka has forgotten the producer, it needs ClusterAction. Afterwards a takeover
    finds the position: published events stay published once.
    """
    if diagnosis.outcome is None:
        raise SinkUnavailableError(f"how it ended is not proven: {diagnosis.reason}")
    places = [one.found.place for one in diagnosis.hanging]
    commit = diagnosis.outcome is Outcome.COMMITTED
    known = diagnosis.hanging[0].known
    if known is not None:
        transactions.end(known.transactional_id, places, producer_id=known.producer_id, commit=commit)
    else:
        # Kafka has forgotten the id, and would give it another producer, whose markers end nothing of this one.
        for one in diagnosis.hanging:
            transactions.mark(one.found, commit=commit)
    if left := find(transactions, places):
        raise SinkUnavailableError(f"the marker was written, and still {left[0]}")


def _judged(
    session: Session,
    options: Mapping[str, str],
    *,
    installation: Installation,
    shard: int,
    found: Sequence[HangingTransaction],
) -> tuple[Outcome | None, str]:
    """Return how *found* ended, and by what that is proven; None if it is not."""
    if len({(one.found.producer_id, one.found.producer_epoch) for one in found}) > 1:
        return None, "transactions of more than one producer hang"
    on_progress = [one.found for one in found if one.found.topic == installation.progress_topic]
    name = found[0].known.transactional_id if found[0].known else installation.transactional_id(shard)
    log: tuple[Entry, ...] = coordinator_log(options, name)
    if not on_progress:
        # Its number on a topic of events does not tell which transaction it was of: all of them have to be alike.
        outcome, reason = judge_log(found[0].found, 0, log)
        return (outcome, reason) if outcome is Outcome.COMMITTED else (None, reason)
    records = progress_from(options, on_progress[0].place, on_progress[0].start_offset)
    last = records[-1] if records else None
    witnesses = Witnesses(
        records,
        batch=session.batch(shard, last.seq) if last else None,
        mirror=_mirror(session, shard),
        log=log,
    )
    outcome, reason = judge(on_progress[0], witnesses)
    if outcome is Outcome.ABORTED and len(found) > 1:
        return None, f"{reason}, and what else of its producer hangs may be of an earlier one"
    return outcome, reason


def _mirror(session: Session, shard: int) -> Mirror:
    row = session.row("mirror", shard=shard) or {}
    return Mirror(bool(row.get("bootstrapped")), int(row.get("confirmed_seq") or 0), row.get("confirmed_last"))
