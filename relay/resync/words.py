"""What a resync says: a shard as it is, what each choice would do, and what was done; for people and for programs."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from relay.resync.deciding import Choice, Some
from relay.resync.running import Offer, Survey
from relay.resync.writing import Plan, plan_effects
from relay.window import Position

_MEANS = {
    Choice.TOPICS: "from what is proven, leaving out what the topics hold already",
    Choice.KAFKA: "from the last progress record",
    Choice.POSTGRES: "from the mirror in outbox.shard",
    Choice.BEGINNING: "everything that is retained, again",
    Choice.NOW: "only what is committed from now on",
}
_SAYS = {
    "publish": "publishes {} events",
    "twice": "  of them {} are in the topics already: published TWICE",
    "lose": "counts {} events as published that are in no topic: NEVER published",
    "leave_out": "leaves out {} events that are in the topics already",
}


def shown(survey: Survey) -> Iterator[str]:
    """Yield the lines that show *survey*."""
    yield f"shard {survey.seen.shard}: {survey.halted_reason or 'no relay has noted that it stopped'}"
    yield f"  proven position: {placed(survey.base)}; PostgreSQL is at {survey.seen.now}"
    if survey.installation != survey.seen.installation:
        yield f"  outbox.meta is written: {survey.installation}"
    for offer in survey.offers:
        yield from _offered(offer, survey)


def _offered(offer: Offer, survey: Survey) -> Iterator[str]:
    yield f"  --from {offer.choice}: {_MEANS[offer.choice]}"
    if offer.target is None or offer.effects is None:
        yield f"    not possible: {offer.refused}"
        return
    yield f"    goes on from {placed(offer.target.position)}"
    for name, some in plan_effects(offer.effects):
        if some.count or name == "publish":
            yield f"    {_SAYS[name].format(some.count)}{_where(some)}"
    if offer.choice is Choice.BEGINNING and survey.forgettable:
        yield f"    publishes {survey.forgettable} more, which an earlier resync left out as published"


def _where(some: Some) -> str:
    if not some.count:
        return ""
    examples = ", ".join(some.examples[:3])
    return f" (ids {some.first_id} to {some.last_id}, inserted {some.first_at} to {some.last_at}, as {examples})"


def placed(position: Position) -> str:
    """Return *position* in words."""
    end = "" if position.finished else f", window {position.a} to it up to id {position.last_id}"
    return f"window {position.seq}, snapshot {position.b}{end}"


def listed(survey: Survey) -> dict[str, Any]:
    """Return *survey* for a program."""
    return {
        "shard": survey.seen.shard,
        "halted_reason": survey.halted_reason,
        "install": survey.installation.install,
        "base": asdict(survey.base),
        "now": survey.seen.now,
        "left_out_before": survey.forgettable,
        "choices": {offer.choice.value: _listed(offer) for offer in survey.offers},
    }


def _listed(offer: Offer) -> dict[str, Any]:
    if offer.target is None or offer.effects is None:
        return {"possible": False, "reason": offer.refused}
    return {
        "possible": True,
        "position": asdict(offer.target.position),
        **{name: asdict(some) for name, some in plan_effects(offer.effects)},
    }


def told(plan: Plan) -> str:
    """Return that *plan* was carried out."""
    return f"shard {plan.shard}: goes on from {placed(plan.target.position)}, by --from {plan.target.choice}"
