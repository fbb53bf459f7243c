"""When to try again: full jitter under a cap, no sooner than the server asked, and not beyond the age of the mail.

The limit is the age of the delivery and not a small count: a quota that is over tomorrow must not use up its attempts
in minutes. Randomness and time come as arguments.
"""

from dataclasses import dataclass
from datetime import timedelta

from mailer.meanings import Pace

# Greylisting servers accept nothing sooner; most open after one to five minutes.
GREYLIST_FLOOR = timedelta(minutes=5)
# A full mailbox is emptied by a person.
MAILBOX_FULL_FLOOR = timedelta(hours=1)
_FLOORS = {Pace.NORMAL: timedelta(0), Pace.GREYLISTED: GREYLIST_FLOOR, Pace.HOURS: MAILBOX_FULL_FLOOR}
# Where the age is nearly spent, a last attempt is worth more than the pause before it.
_LAST_CHANCE = 0.9
# 2 ** 40 seconds are 34,000 years: nothing is lost by not raising two to a larger power.
_LARGEST_EXPONENT = 40


@dataclass(frozen=True, slots=True)
class Backoff:
    """How retries spread: uniformly between nothing and `base * 2 ** (attempt - 1)`, and never over *cap*."""

    base: timedelta = timedelta(seconds=30)
    cap: timedelta = timedelta(hours=6)

    def __post_init__(self) -> None:
        """Refuse what could not spread anything."""
        if not timedelta(0) < self.base <= self.cap:
            raise ValueError(f"expected 0 < base <= cap, got {self.base} and {self.cap}")

    def ceiling(self, attempt: int) -> timedelta:
        """Return the longest pause after *attempt*, the first being number 1."""
        exponent = min(attempt - 1, _LARGEST_EXPONENT)
        return timedelta(seconds=min(self.cap.total_seconds(), self.base.total_seconds() * 2**exponent))

    def floor(self, pace: Pace, hint: timedelta | None) -> timedelta:
        """Return the shortest pause that the reply allows; *cap* bounds our own rules, not what the server asks for."""
        return max(min(_FLOORS[pace], self.cap), hint or timedelta(0))

    def pause(
        self, attempt: int, *, pace: Pace, hint: timedelta | None, left: timedelta, jitter: float
    ) -> timedelta | None:
        """Return how long to wait after *attempt*; nothing when the delivery's age is spent by then.

        *left* is what remains until it expires, *jitter* lies in [0, 1).
        """
        floor = self.floor(pace, hint)
        if left <= max(floor, self.base):
            return None
        room = max(left * _LAST_CHANCE - floor, timedelta(0))
        return floor + min(self.ceiling(attempt), room) * jitter
