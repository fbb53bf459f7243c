"""The seed decides: the same one plans the same faults and the same shape, whatever else is changed."""

import json
from collections import Counter

from tests.chaos import plan
from tests.chaos.hosts import WAYS
from tests.chaos.injectors import INJECTORS
from tests.chaos.plan import FaultKind, Plan, Shape


def test_a_seed_plans_the_same_faults_each_time() -> None:
    assert Plan.of(7, seconds=300) == Plan.of(7, seconds=300)
    assert Plan.of(7, seconds=300).faults != Plan.of(8, seconds=300).faults


def test_a_longer_storm_begins_like_a_shorter_one() -> None:
    short, long = Plan.of(7, seconds=60).faults, Plan.of(7, seconds=120).faults

    assert tuple(one for one in long if one.at < 60) == short


def test_a_kind_that_is_left_out_changes_no_other() -> None:
    with_all, without = Plan.of(7, seconds=60), Plan.of(7, seconds=60, intervals={FaultKind.KILL: 0})

    assert without.faults == tuple(one for one in with_all.faults if one.kind is not FaultKind.KILL)


def test_every_kind_comes_about_as_often_as_its_interval_says() -> None:
    found = Counter(one.kind for one in Plan.of(7, seconds=10_000).faults)

    for kind, mean in plan.INTERVALS.items():
        assert 0.7 < found[kind] * mean / 10_000 < 1.3


def test_every_kind_has_an_injector() -> None:
    assert set(INJECTORS) == set(FaultKind)


def test_seeds_ask_for_one_shard_and_three_and_for_both_policies() -> None:
    shapes = [Shape.of(seed) for seed in range(40)]

    assert {shape.shards for shape in shapes} == {1, 3}
    assert {shape.policy for shape in shapes} == {"park-key", "skip"}
    assert {shape.retention for shape in shapes} == {True, False}


def test_a_host_decides_its_nth_step_by_seed_name_and_number_alone() -> None:
    first, again = (plan.seeded(7, "host", 12).choices(list(WAYS)) for _ in range(2))

    assert first == again


def test_a_plan_can_be_written_down() -> None:
    assert json.loads(json.dumps(Plan.of(7, seconds=60).as_json()))["seed"] == 7
