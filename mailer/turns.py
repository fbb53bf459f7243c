"""Let messages wait for their turn, where transports have a limit: slots are reserved, waited for, or given up.

What was sent without a slot (a probe, and what another transport is asked for after a failure) is counted afterwards:
the next slots begin later.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from mailer.means import Held, Means
from mailer.windows import Going

# What was sent already is counted, however long the line is.
_WHATEVER = timedelta(days=3650)


class Turns:
    """The turns of one batch."""

    def __init__(self, means: Means, held: Held) -> None:
        """Reserve for what is *held*."""
        self._store = means.store
        self._limits = means.pace.limits
        self._lanes = means.pace.lanes
        self._held = held
        # There was no slot for it: nothing of the lane need be claimed before the sweeper finds it due again.
        self.turned_away = False

    def matter(self, going: Iterable[Going]) -> bool:
        """Return whether any of *going* goes to a transport with a limit."""
        return self._limits.bind(one.first for one in going)

    def place(self, window: Sequence[Going]) -> tuple[list[Going], float]:
        """Reserve slots for *window*; return what has one, and in how many seconds the first may go."""
        window = self._fitting(window)
        names = [one.first for one in window]
        starts = self._limits.starts(names, self._reserve(names, patience=self._patience(window)))
        if refused := [one for one, start in zip(window, starts, strict=True) if start is None]:
            self._turn_away(refused, all_of_it=len(refused) == len(window))
        wait = min((start for start in starts if start is not None), default=0.0)
        going = [
            replace(one, after=start - wait) for one, start in zip(window, starts, strict=True) if start is not None
        ]
        return going, wait

    def _patience(self, window: Sequence[Going]) -> timedelta:
        """Return how long a line *window* may stand in: the most urgent lane's is longer than others can make it."""
        urgent = any(one.intent.claim.lane in self._lanes[:1] for one in window)
        return self._limits.line * (2 if urgent else 1)

    def _fitting(self, window: Sequence[Going]) -> list[Going]:
        """Return what of *window* fits in the lines of its transports; the rest belongs to the next window."""
        fits = self._limits.fitting([one.first for one in window])
        beyond = [one.intent.claim for one, fit in zip(window, fits, strict=True) if not fit]
        self._held.put_back(beyond)
        return [one for one, fit in zip(window, fits, strict=True) if fit]

    def _turn_away(self, refused: Sequence[Going], *, all_of_it: bool) -> None:
        """Give *refused* back, for their transports' lines are full; the rest too when no other transport is in use."""
        pause = self._limits.pause(one.first for one in refused)
        self.turned_away = True
        self._held.release([one.intent.claim for one in refused], pause)
        if all_of_it:
            self._held.release_rest(pause)

    def count(self, names: Iterable[str]) -> None:
        """Count messages for *names* that were sent without a slot."""
        names = list(names)
        if self._limits.bind(names):
            self._reserve(names, patience=_WHATEVER)

    def _reserve(self, names: Sequence[str], *, patience: timedelta) -> Mapping[str, float]:
        seconds = self._limits.seconds(names)
        return self._held.insist(lambda: self._store.reserve(seconds, patience=patience))
