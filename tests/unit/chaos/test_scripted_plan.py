"""The seed decides what the scripted mail server does and when; the same one decides the same."""

import json
from collections import Counter

from tests.chaos.plan import seeded
from tests.chaos.scripted import fates, plan
from tests.chaos.scripted.fates import CONNECTION, DOUBTFUL, EARLY, FOR_GOOD, HANDSHAKE, LATE_NO, ODD_YES, Fates, Step
from tests.chaos.scripted.injectors import INJECTORS
from tests.chaos.scripted.plan import INTERVALS, PLACES, Fault, Plan, Shape


def planned(seed: int, seconds: float = 240) -> Plan:
    return Plan.of(seed, seconds=seconds, rate=20)


def test_a_seed_plans_the_same_each_time() -> None:
    assert planned(7) == planned(7)
    assert planned(7).faults != planned(8).faults


def test_a_plan_can_be_written_down() -> None:
    assert json.loads(json.dumps(planned(7).as_json()))["seed"] == 7


def test_every_kind_of_fault_has_an_injector_and_comes_about_as_often_as_its_interval_says() -> None:
    found = Counter(one.kind for one in planned(7, 20_000).faults)

    assert set(INJECTORS) == set(Fault)
    for kind, mean in INTERVALS.items():
        assert 0.7 < found[kind] * mean / 20_000 < 1.3


def test_seeds_ask_for_every_route_with_and_without_pipelining() -> None:
    shapes = [Shape.of(seed) for seed in range(60)]

    assert {(shape.route.partition("(")[0], shape.pipelining) for shape in shapes} == {
        (route, pipelining) for route in ("failover", "roundrobin", "tls") for pipelining in (True, False)
    }


def test_a_worker_is_met_at_every_step_of_a_conversation() -> None:
    assert {step for step, _ in PLACES} == set(Step) - {Step.DONE}
    chance = seeded(7, "places")
    assert {plan.place(chance) for _ in range(500)} == set(PLACES)


def test_recipients_meet_every_trouble() -> None:
    met = {trouble for number in range(6000) for trouble in Fates(7).of_recipient(number)}

    assert met == {*EARLY, *LATE_NO, *DOUBTFUL, *ODD_YES, *FOR_GOOD}


def test_connections_meet_every_trouble_until_it_is_calm() -> None:
    fate, calm = Fates(7), Fates(7, calm=True)

    met = {fate.of_connection(1, number, tls=True) for number in range(6000)}

    assert met == {*CONNECTION, *HANDSHAKE, None}
    assert {calm.of_connection(1, number, tls=True) for number in range(200)} == {None}


def test_what_is_for_good_stays_and_anything_else_is_over_in_its_time() -> None:
    passing, final = (EARLY[0],), (EARLY[0], FOR_GOOD[0])

    assert [fates.trouble_at(passing, nth) for nth in range(3)] == [EARLY[0], None, None]
    assert [fates.trouble_at(final, nth) for nth in range(3)] == [EARLY[0], FOR_GOOD[0], FOR_GOOD[0]]


def test_only_after_the_dot_a_message_may_be_taken() -> None:
    kept = [one for one in (*EARLY, *LATE_NO, *DOUBTFUL, *ODD_YES, *FOR_GOOD, *CONNECTION, *HANDSHAKE) if one.keeps]

    assert {one.step for one in kept} == {Step.DOT}
    assert [one for one in kept if one.code is not None] == []
