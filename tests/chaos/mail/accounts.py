"""What became of every mail, worked out from what was inserted, what the tables say, what the server took; no I/O."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

# What a killed worker may leave in doubt: a window.
WINDOW = 8
FINAL = frozenset({"sent", "in_doubt", "dead", "suppressed", "expired", "cancelled", "bounced"})


@dataclass(frozen=True, slots=True)
class Delivery:
    """A row of `outbox.delivery`."""

    event_id: str
    message: str
    state: str
    policy: str
    leased: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """A row of `outbox.attempt`."""

    message: str
    outcome: str
    worker: str


@dataclass(frozen=True, slots=True)
class Books:
    """Everything that is compared. *mails* counts the server's messages by the uuid of their Message-ID."""

    acknowledged: Collection[str]
    rolled_back: Collection[str]
    deliveries: Sequence[Delivery]
    attempts: Sequence[Attempt]
    mails: Mapping[str, int]

    def outcomes(self, outcome: str) -> Counter[str]:
        """Return how often each message had an attempt of *outcome*."""
        return Counter(attempt.message for attempt in self.attempts if attempt.outcome == outcome)

    def doubts(self) -> Counter[str]:
        """Return how many attempts of each worker ended in doubt."""
        return Counter(attempt.worker for attempt in self.attempts if attempt.outcome == "in_doubt")


def wrong(books: Books) -> list[str]:
    """Return a line for each kind of thing that breaks a promise; none when all hold."""
    planned = Counter(delivery.event_id for delivery in books.deliveries)
    accepted, doubted = books.outcomes("accepted"), books.outcomes("in_doubt")
    twice = {message for message, count in books.mails.items() if count > 1}
    found = {
        "events lost": sum(event not in planned for event in books.acknowledged),
        "events planned twice": sum(count > 1 for count in planned.values()),
        "mails of events that were rolled back": sum(event in planned for event in books.rolled_back),
        "deliveries not in a final state": sum(one.state not in FINAL for one in books.deliveries),
        "leases left": sum(one.leased for one in books.deliveries),
        "deliveries sent that the server never took": sum(
            one.state == "sent" and not books.mails.get(one.message) for one in books.deliveries
        ),
        "deliveries that gave up": sum(one.state in FINAL - {"sent", "in_doubt"} for one in books.deliveries),
        "in doubt although their policy is to send again": sum(
            one.state == "in_doubt" and one.policy == "resend" and doubted[one.message] < _MOST_SENDINGS
            for one in books.deliveries
        ),
        "mails doubled outside in_doubt": len(twice - doubted.keys()),
        "mails taken more often than attempts account for": sum(
            count > accepted[message] + doubted[message] for message, count in books.mails.items()
        ),
        "attempts accepted that the server does not know": sum(
            count > books.mails.get(message, 0) for message, count in accepted.items()
        ),
        f"workers that left more than {WINDOW} in doubt": sum(count > WINDOW for count in books.doubts().values()),
    }
    return [f"{count} {what}" for what, count in found.items() if count]


# What is in doubt is sent again once; what is in doubt a second time is a person's to settle.
_MOST_SENDINGS = 2
