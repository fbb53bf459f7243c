"""How much of a page goes into one transaction: half of what took too long, and the double of what was quick. No I/O.

A transaction has to end within the timeouts of the client and the broker. A page that a slow broker cannot store by
then would come again as it is, for ever: so each that took too long is tried as its first half, down to a single row.
What one row needs longer for is waited for as long as the broker keeps a transaction; its end is not clean then, and
Kafka is asked whether it was committed (rule 4): it was, as a rule, and the position has moved by that row.
"""

from dataclasses import dataclass, replace

from relay.machine import SOCKET_TIMEOUT, Slice

# As many rows as a page can have: the setting of the page's rows allows no more.
WHOLE = 100_000
# Seconds. Twice of what took no longer still ends in half the time that there is.
QUICK = SOCKET_TIMEOUT / 4


@dataclass(frozen=True, slots=True)
class Portion:
    """At most *rows* of a page go into one transaction."""

    rows: int = WHOLE

    @property
    def patient(self) -> bool:
        """Return whether nothing is left but to wait longer: it is a single row, and that took too long before."""
        return self.rows == 1

    def of(self, piece: Slice) -> Slice:
        """Return as much of *piece* as may go into one transaction."""
        return piece if len(piece.rows) <= self.rows else replace(piece, rows=piece.rows[: self.rows])

    def halved(self, count: int) -> "Portion":
        """Return the portion after *count* rows took too long; the same if nothing smaller can be tried."""
        return Portion(max(1, min(count, self.rows) // 2)) if count else self

    def grown(self, count: int, *, seconds: float) -> "Portion":
        """Return the portion after *count* rows ended cleanly in *seconds*; what did not fill it tells nothing."""
        if count < self.rows or seconds > QUICK:
            return self
        return Portion(min(2 * self.rows, WHOLE))
