"""Whether the relays come to an end by themselves, once nothing breaks any more: rule 11, and every wait.

The schedule is fair: everybody makes a step in turn. A fresh relay that does the rest alone, as in `World.finish`, says
nothing of two that hinder each other.
"""

from tests.model.promise import PromiseBrokenError, check
from tests.model.world import World

MOST_ROUNDS = 150  # more than two relays need for these few events, whatever has befallen them
LAST = 16  # steps that are told of a schedule without an end
MOST_INITS = 4  # of both relays together: each renews once, and one of them takes over


def come_to_an_end(world: World) -> None:
    """Raise unless everything is published by the relays that are there, in a fair schedule without faults."""
    if all(relay.at == "dead" for relay in world.relays) or world.hung:
        return
    ended = world.copy()
    inits, told = 0, list[str]()
    for _ in range(MOST_ROUNDS):
        steps = _round(ended, told)
        inits += sum(how in ("init", "warm up") for how in steps)
        if set(steps) <= {"warm up"}:
            check(ended.pg.image, ended.kafka, ended.bounds.rules)
            if "warm up" not in steps and inits > MOST_INITS:
                raise PromiseBrokenError(f"the relays have initialised producers {inits} times")
            return
    last = "".join(f"\n       {step}" for step in told[-LAST:])
    raise PromiseBrokenError(
        f"{MOST_ROUNDS} rounds of everybody in turn, {inits} inits, and no end in sight; the last steps:{last}"
    )


def _round(world: World, told: list[str]) -> list[str]:
    """Have everybody make a step, and return which steps those were; *told* has them in words."""
    made = []
    for what, number in _turns(world):
        free, _ = world.actions()
        action = next((one for one in free if one[:2] == (what, number)), None)
        if action is not None:
            told.append(world.do(action))
            made.append(action[2])
    return made


def _turns(world: World) -> list[tuple[str, int]]:
    hosts = [("host", number) for number in range(len(world.hosts))]
    relays = [("relay", relay.number) for relay in world.relays]
    markers = [("markers", producer) for producer in range(len(world.kafka.epochs))]
    return [*hosts, *relays, ("late", 0), *markers, ("other", 0)]
