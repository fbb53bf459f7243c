"""The deliveries in PostgreSQL, for a worker: claims, intents and outcomes, each under its token.

Whatever is said twice, because a connection was lost before the answer came, changes nothing the second time: the token
is gone by then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from psycopg.rows import DictRow

from mailer.claims import BreakerRow, BreakerRule, Claim, Failures, Intent, Outcome
from mailer.database import Database, Statement
from mailer.delivery import Dead, InDoubt, Retry, Sent, state_after
from mailer.telemetry import logger


class Store:
    """What one worker process says to the database."""

    def __init__(
        self, database: Database, *, worker: str, lease: timedelta, rule: BreakerRule, lanes: Sequence[str]
    ) -> None:
        """Claim in the name of *worker*, for *lease*; *lanes* are the most urgent ones, in order."""
        self._database = database
        self._worker = worker
        self._lease = lease
        self._rule = rule
        self._lanes = list(lanes)

    def take_permit(self, permit: UUID) -> bool:
        """Use up *permit*, and return whether it still counted."""
        return bool(self._database.rows("take_permit", {"id": permit}))

    def claim(self, *, limit: int) -> tuple[tuple[Claim, ...], bool]:
        """Return up to *limit* claims, the most urgent that are due, and whether there may be more."""
        found = self._database.rows("claim", self._wanted(limit, before=None))
        return _claims(found), len(found) == limit

    def look(self, *, before: Claim, limit: int) -> tuple[Mapping[str, BreakerRow], tuple[Claim, ...]]:
        """Return the transports that are not plainly well, and up to *limit* claims more urgent than *before*."""
        breakers, found = self._database.together(("breakers", {}), ("claim", self._wanted(limit, before=before)))
        return _breakers(breakers), _claims(found)

    def record(self, outcomes: Sequence[Outcome], failures: Sequence[Failures], recovered: Sequence[str]) -> set[int]:
        """Record *outcomes* and what they say of transports; return the ids whose claim still stood."""
        return self.record_and_intend(outcomes, failures, recovered, [])[0]

    def record_and_intend(
        self,
        outcomes: Sequence[Outcome],
        failures: Sequence[Failures],
        recovered: Sequence[str],
        intents: Sequence[Intent],
    ) -> tuple[set[int], set[int]]:
        """Record the last window and mark the next one `sending`, in one commit; return the ids that still stood."""
        statements: list[Statement] = []
        if outcomes:
            statements.append(("record", {**_outcomes(outcomes), "worker": self._worker}))
        if intents:
            statements.append(("intend", _intents(intents, self._lease)))
        statements += _about_transports(failures, recovered, self._rule)
        stood: dict[str, set[int]] = {"record": set(), "intend": set()}
        for (name, _), found in zip(statements, self._database.together(*statements), strict=True):
            if name in stood:
                stood[name] = {row["id"] for row in found}
            else:
                _tell_breakers(found)
        return stood["record"], stood["intend"]

    def release(self, claims: Sequence[Claim], *, pause: timedelta) -> None:
        """Give *claims* back that nobody was contacted for; they are due after *pause*."""
        self._database.rows("release", {**_names(claims), "pause_seconds": pause.total_seconds()})

    def reserve(self, seconds: Mapping[str, float], *, patience: timedelta) -> Mapping[str, float]:
        """Reserve slots of transports, *seconds* long in all; return in how many seconds they begin.

        A transport that is missing had none to begin within *patience*. Saying it twice costs slots, nothing else.
        """
        arguments = {"names": list(seconds), "seconds": list(seconds.values())}
        found = self._database.rows("reserve", {**arguments, "patience_seconds": patience.total_seconds()})
        return {row["name"]: max(0.0, row["taken_seconds"] - seconds[row["name"]]) for row in found}

    def breakers(self) -> Mapping[str, BreakerRow]:
        """Return the transports that are not plainly well, by name."""
        return _breakers(self._database.rows("breakers"))

    def probe(self, transport: str) -> bool:
        """Become the one that tries *transport* again, and return whether we are."""
        return bool(self._database.rows("probe", {"name": transport, "lease_seconds": self._lease.total_seconds()}))

    def _wanted(self, limit: int, *, before: Claim | None) -> dict[str, object]:
        return {
            "lanes": self._lanes,
            "before_lane": before and before.lane,
            "before_priority": before and before.priority,
            "limit": limit,
            "worker": self._worker,
            "lease_seconds": self._lease.total_seconds(),
        }


def _claims(found: Sequence[DictRow]) -> tuple[Claim, ...]:
    return tuple(Claim.from_row(row) for row in found if row["state"] == "claimed")


def _breakers(found: Sequence[DictRow]) -> Mapping[str, BreakerRow]:
    return {
        row["name"]: BreakerRow(
            row["name"], row["breaker"], row["failures"], timedelta(seconds=row["retry_in_seconds"])
        )
        for row in found
    }


def _about_transports(failures: Sequence[Failures], recovered: Sequence[str], rule: BreakerRule) -> list[Statement]:
    """Return what is to be said, in the order of the names, so that two workers cannot wait for one another."""
    said: dict[str, Statement] = {name: ("transport_recovered", {"name": name}) for name in recovered}
    said |= {failed.transport: ("transport_failed", _failed(failed, rule)) for failed in failures}
    return [said[name] for name in sorted(said)]


def _tell_breakers(found: Sequence[DictRow]) -> None:
    for row in found:
        if row["breaker"] == "closed" and row["was"] != "closed":
            logger().info("mailer.breaker.closed", transport=row["name"])
        elif row["breaker"] == "open":
            pause = round(row["retry_in_seconds"], 1)
            logger().warning("mailer.breaker.opened", transport=row["name"], reason=row["reason"], seconds=pause)


def _names(claims: Sequence[Claim]) -> dict[str, object]:
    return {"ids": [claim.id for claim in claims], "tokens": [claim.token for claim in claims]}


def _intents(intents: Sequence[Intent], lease: timedelta) -> dict[str, object]:
    return {
        **_names([intent.claim for intent in intents]),
        # What was rendered at the first attempt is there already.
        "contents": [intent.content if intent.claim.content is None else None for intent in intents],
        "versions": [intent.version for intent in intents],
        "transports": [intent.transport for intent in intents],
        "lease_seconds": lease.total_seconds(),
    }


def _failed(failed: Failures, rule: BreakerRule) -> dict[str, object]:
    return {
        "name": failed.transport,
        "failures": failed.count,
        "at_once": failed.at_once,
        "reason": failed.reason,
        "threshold": rule.threshold,
        "pause_seconds": rule.pause.total_seconds(),
        "pause_cap_seconds": rule.pause_cap.total_seconds(),
    }


@dataclass(frozen=True, slots=True)
class _Settled:
    """The columns that a verdict sets."""

    spent: int
    pause: float = 0.0
    pin: str | None = None
    reason: str | None = None
    detail: str | None = None
    suppress: bool = False


def _settled(outcome: Outcome) -> _Settled:
    match outcome.verdict:
        case Sent():
            return _Settled(spent=1)
        case Retry(pause=pause, spent=spent, pin=pin):
            # What was in doubt once stays with its transport, however often that one says "later".
            pin = pin or outcome.claim.pinned_transport
            return _Settled(spent=int(spent), pause=pause.total_seconds(), pin=pin)
        case Dead(reason=reason, detail=detail, suppress=suppress):
            return _Settled(spent=1, reason=reason, detail=detail, suppress=suppress)
        case InDoubt(transport=transport):
            detail = f"no reply after the final dot from {transport}: perhaps it was accepted"
            return _Settled(spent=1, pin=transport, reason="in_doubt", detail=detail)


def _outcomes(outcomes: Sequence[Outcome]) -> dict[str, object]:
    settled = [_settled(outcome) for outcome in outcomes]
    tries = [(outcome.claim.id, one) for outcome in outcomes for one in outcome.tries]
    return {
        **_names([outcome.claim for outcome in outcomes]),
        "states": [state_after(outcome.verdict).value for outcome in outcomes],
        "spent": [one.spent for one in settled],
        "pauses": [one.pause for one in settled],
        "pins": [one.pin for one in settled],
        "reasons": [one.reason for one in settled],
        "details": [one.detail for one in settled],
        "suppress": [one.suppress for one in settled],
        "try_ids": [delivery for delivery, _ in tries],
        "try_ago": [one.seconds_ago for _, one in tries],
        "try_transports": [one.transport for _, one in tries],
        "try_phases": [one.phase for _, one in tries],
        "try_codes": [one.code for _, one in tries],
        "try_enhanced": [one.enhanced for _, one in tries],
        "try_outcomes": [one.outcome for _, one in tries],
        "try_details": [one.detail for _, one in tries],
    }
