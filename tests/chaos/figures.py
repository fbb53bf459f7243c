"""What a run comes to, as one line of JSON: what was done to it, what went through, and what was found wrong."""

import dataclasses
import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from confluent_kafka import libversion

from devstack import maven
from tests.chaos.plan import FaultKind, Shape
from tests.support.promises import Kind, Violation


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one run."""

    seed: int
    seconds: float
    shape: Shape
    versions: Mapping[str, str]
    faults: Mapping[str, int]
    totals: Mapping[str, int]
    transactions: Mapping[str, int]
    events: Mapping[str, int]
    progress: Mapping[str, float]
    found: Mapping[str, int]
    wrong: Sequence[str]

    def line(self) -> str:
        """Return them as one line of JSON."""
        return json.dumps(dataclasses.asdict(self), default=str)

    def record(self, path: Path) -> None:
        """Append them to the file at *path*."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(self.line() + "\n")


def totals(faults: Mapping[str, int]) -> dict[str, int]:
    """Return the sums that are asked for, over every kind that counts towards each."""
    return {
        "relay_kills": sum(n for what, n in faults.items() if what.startswith("relay killed")),
        "broker_kills": faults.get(str(FaultKind.BROKER), 0),
        "postgres_crashes": sum(n for what, n in faults.items() if what.startswith(str(FaultKind.POSTGRES))),
        "zombies": faults.get(str(FaultKind.ZOMBIE), 0),
        "end_txn_faults": sum(n for what, n in faults.items() if what.startswith("END_TXN ")),
        "other_request_faults": sum(n for what, n in faults.items() if what.partition(" ")[0] in _REQUESTS),
        "cuts": faults.get(str(FaultKind.CUT), 0),
    }


_REQUESTS = ("PRODUCE", "ADD_PARTITIONS_TO_TXN", "INIT_PRODUCER_ID", "FIND_COORDINATOR")


def found(violations: Sequence[Violation]) -> dict[str, int]:
    """Return how often each promise was broken: a line for each, also for those that held."""
    counts = Counter(violation.kind for violation in violations)
    return {str(kind): counts[kind] for kind in Kind}


def versions(postgres: str) -> dict[str, str]:
    """Return what ran."""
    kafka = maven.KAFKA[0].rpartition(":")[2]
    return {
        "postgresql": postgres,
        "kafka": kafka,
        "confluent-kafka": version("confluent-kafka"),
        "librdkafka": libversion()[0],
        "python": platform.python_version(),
    }
