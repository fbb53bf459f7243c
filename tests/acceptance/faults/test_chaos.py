"""A minute of `make chaos` with a fixed seed: everything at once, and then everything read back."""

from pathlib import Path

import pytest

from devstack import providers
from devstack.postgres import EmbeddedPostgres
from tests.chaos.evidence import Evidence
from tests.chaos.plan import FaultKind, Plan
from tests.chaos.storm import run
from tests.chaos.world import World
from tests.support.kafka_network import ProxiedKafka

# Sparser than `make chaos`: on a slow machine, too, something has to get through.
INTERVALS = {
    FaultKind.KILL: 3.0,
    FaultKind.ZOMBIE: 9.0,
    FaultKind.BROKER: 18.0,
    FaultKind.POSTGRES: 12.0,
    FaultKind.END_TXN: 4.0,
}


@pytest.mark.timeout(600)
def test_each_event_is_published_once_whatever_breaks(
    database: str, postgres: providers.Postgres, broker: ProxiedKafka, tmp_path: Path
) -> None:
    if not isinstance(postgres, EmbeddedPostgres):
        pytest.skip("chaos crashes PostgreSQL, and so needs one of its own")
    plan = Plan.of(5, seconds=60, intervals=INTERVALS)
    evidence = Evidence(plan, folder=tmp_path / "evidence")
    with World.around(database, postgres=postgres, broker=broker) as world:
        figures = run(plan, world, evidence)

    assert figures.wrong == [], f"evidence: {evidence.folder}"
    for what in ("relay_kills", "broker_kills", "postgres_crashes", "end_txn_faults"):
        assert figures.totals[what] > 0, figures.faults
    assert figures.events["published"] > 100
