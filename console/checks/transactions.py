"""Whether a transaction hangs on the progress topic or a topic of events: nothing committed behind it is ever seen."""

from collections.abc import Iterator
from typing import Final

from console.finding import Finding, Surroundings, failed, good, skipped
from console.output import counted
from relay.errors import RESOLVE_HANGING, SinkUnavailableError
from relay.hanging import find
from relay.transactions import Transactions
from relay.undecided import HangingTransaction
from relay.wire import Wire

NAME: Final = "kafka.hanging_transactions"
_EXPECTED: Final = "none"
_DEFAULT_PREFIX: Final = "outbox.event."


def check(around: Surroundings) -> Iterator[Finding]:
    """Yield one line for all partitions of the progress topic and of the topics of events."""
    settings = around.settings
    if settings.kafka_bootstrap is None:
        return  # the line above says so
    transactions = Transactions(Wire(settings.kafka_bootstrap, settings.kafka_options))
    if transactions.unable:
        yield skipped(NAME, transactions.unable, expected=_EXPECTED)
        return
    try:
        partitions = transactions.partitions(_topics(around, transactions))
        found = find(transactions, partitions)
    except SinkUnavailableError as error:
        yield skipped(NAME, f"could not be asked: {error.problem}", expected=_EXPECTED)
        return
    if found:
        yield failed(NAME, expected=_EXPECTED, actual="; ".join(map(str, found)), fix=_fix(around, found))
    else:
        yield good(NAME, f"none on {counted(len(partitions), 'partition')}", expected=_EXPECTED)


def _topics(around: Surroundings, transactions: Transactions) -> list[str]:
    """Return the progress topic, and the topics that the route leads to."""
    prefix = around.relay.relay_route.partition("{")[0] if around.relay else _DEFAULT_PREFIX
    found = transactions.topics(prefix) if prefix else []
    return [*found, around.installation.progress_topic] if around.installation else found


def _fix(around: Surroundings, found: list[HangingTransaction]) -> str:
    """Return what ends it: our own in one way only, others as their owners know."""
    who = around.installation
    ours = {who.transactional_id(shard) for shard in range(who.shards)} if who else set()
    if any(one.known is not None and one.known.transactional_id in ours for one in found):
        return f"do not abort it by hand: a committed page would be lost; see {RESOLVE_HANGING}"
    return "ask whose producer it is whether it was committed, then end it with `kafka-transactions.sh`"
