"""A shard that has published, and what a test of the crash matrix asks: what does Kafka have after the fault?"""

from dataclasses import dataclass

import pytest

from tests.acceptance.conftest import Insert
from tests.support.checker import Seen, check, look
from tests.support.kafka_network import ProxiedKafka
from tests.support.promises import Kind
from tests.support.relays import RelayProcess, Relays

# The window under test has three pages: 5, 5 and 3 events.
SMALL_PAGES = {"relay_page_rows": 5}
BEFORE = 3
WINDOW = 13


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard with BEFORE published events, and a window of WINDOW events that is not published yet."""

    database: str
    broker: ProxiedKafka
    relays: Relays

    def published(self) -> int:
        """Return how many events of the window consumers see."""
        return len(self._look().published) - BEFORE

    def is_open(self) -> bool:
        """Return whether a transaction is open in Kafka."""
        return any(violation.kind is Kind.OPEN for violation in self._look().wrong)

    def recover(self) -> int:
        """Have a fresh relay publish the rest, check every promise, and return how many events it published."""
        relay = self.relays.drain(settings=SMALL_PAGES)
        seen = check(self.database, self.broker.bootstrap)
        assert len(seen.published) == BEFORE + WINDOW
        return committed(relay)

    def _look(self) -> Seen:
        return look(self.database, self.broker.bootstrap, complete=False)


def committed(relay: RelayProcess) -> int:
    """Return how many events *relay* has told to be committed."""
    return sum(event["count"] for event in relay.events("relay.page.committed"))


@pytest.fixture
def shard(database: str, broker: ProxiedKafka, relays: Relays, insert: Insert) -> Shard:
    """The shard as above."""
    insert(BEFORE)
    relays.drain()
    insert(WINDOW)
    return Shard(database, broker, relays)
