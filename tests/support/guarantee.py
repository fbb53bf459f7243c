"""The section of docs/guarantee.md that says what was run, from the files that the runs have left.

`python -m tests.support.guarantee` writes it; a unit test compares.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guarantee.md"
BEGIN = "<!-- What was run: written by `python -m tests.support.guarantee`; do not edit. -->\n"
END = "<!-- End of what was run. -->\n"
_TOTALS = {
    "relay_kills": "relays killed",
    "broker_kills": "brokers killed",
    "postgres_crashes": "crashes of PostgreSQL",
    "zombies": "relays paused until they had a successor",
    "end_txn_faults": "EndTxn requests or answers lost, held or reset",
    "other_request_faults": "other requests to Kafka lost, held or reset",
    "cuts": "connections to PostgreSQL cut",
}
# By how the names of faults begin.
_MAIL_FAULTS = {
    "worker paused": "workers paused past their lease",
    "worker asked to end": "workers asked to end",
    "consumer killed": "consumers killed",
    "sweeper killed": "sweepers killed",
    "PostgreSQL crashed": "crashes of PostgreSQL",
    "Kafka killed": "Kafka killed",
    "mail server away": "times that a mail server was away",
    "offsets set back": "offsets set back to the beginning",
}


def section() -> str:
    """Return what was run, as the page has it."""
    lines = (ROOT / "tests/chaos/results/runs.jsonl").read_text(encoding="utf-8").splitlines()
    mail = (ROOT / "tests/chaos/results/mail-scripted.jsonl").read_text(encoding="utf-8").splitlines()
    mutations = json.loads((ROOT / "tests/mutations/results.json").read_text(encoding="utf-8"))
    chaos = _chaos([json.loads(line) for line in lines if line])
    return BEGIN + chaos + _mail([json.loads(line) for line in mail if line]) + _mutants(mutations) + END


def _chaos(runs: Sequence[Mapping[str, Any]]) -> str:
    totals, events, found = Counter[str](), Counter[str](), Counter[str]()
    for run in runs:
        totals.update(run["totals"])
        events.update({name: run["events"][name] for name in ("committed", "published", "dead_letters")})
        found.update(run["found"])
    versions = sorted({", ".join(f"{name} {number}" for name, number in run["versions"].items()) for run in runs})
    rows = [
        ("runs of `make chaos`, seeds", f"{len(runs)}: {', '.join(str(run['seed']) for run in runs)}"),
        ("minutes under fire", f"{sum(run['seconds'] for run in runs) / 60:,.0f}"),
        *((words, f"{totals[name]:,}") for name, words in _TOTALS.items()),
        ("events committed by hosts", f"{events['committed']:,}"),
        ("events seen by consumers, and dead letters", f"{events['published']:,} and {events['dead_letters']:,}"),
        *((kind, f"{count:,}") for kind, count in found.items()),
        ("runs that ended with something else to say", f"{sum(bool(run['wrong']) for run in runs)}"),
    ]
    table = "".join(f"| {words} | {figure} |\n" for words, figure in rows)
    return f"| chaos | |\n|---|---|\n{table}\nVersions: {'; '.join(versions)}.\n\n"


def _mail(runs: Sequence[Mapping[str, Any]]) -> str:
    faults, events, deliveries = Counter[str](), Counter[str](), Counter[str]()
    server, found = Counter[str](), Counter[str]()
    for run in runs:
        faults.update(run["faults"])
        events.update(run["events"])
        deliveries.update(run["deliveries"])
        server.update(run["server"])
        found.update(run["found"])
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(deliveries.items()))
    lost = sum(run["attempts"].get("unknown in_doubt", 0) for run in runs)
    rows = [
        (
            "runs with a mail server that misbehaves, seeds",
            f"{len(runs)}: {', '.join(str(run['seed']) for run in runs)}",
        ),
        ("minutes under fire", f"{sum(run['seconds'] for run in runs) / 60:,.0f}"),
        ("workers killed, at a step of a conversation or anywhere", f"{sum(run['worker_kills'] for run in runs):,}"),
        *((words, f"{_counted(faults, what):,}") for what, words in _MAIL_FAULTS.items()),
        ("events committed, deliveries in the end", f"{events['committed']:,}: {states}"),
        ("messages accepted by the server, by its own account", f"{server['messages accepted']:,}"),
        (
            "left in doubt by lost workers; most by one",
            f"{lost:,}; {max(run['most_in_doubt_a_worker'] for run in runs)}",
        ),
        *((kind, f"{count:,}") for kind, count in found.items()),
        ("runs that ended with something else to say", f"{sum(bool(run['wrong']) for run in runs)}"),
    ]
    table = "".join(f"| {words} | {figure} |\n" for words, figure in rows)
    return f"| chaos of mail | |\n|---|---|\n{table}\n"


def _counted(faults: Mapping[str, int], what: str) -> int:
    return sum(count for name, count in faults.items() if name.startswith(what))


def _mutants(mutations: Mapping[str, Mapping[str, Any]]) -> str:
    red = sum(bool(one.get("caught_by")) for one in mutations.values())
    return f"Mutations: {red} of {len(mutations)} turned the suite red.\n"


def with_section(page: str) -> str:
    """Return *page* with the section as it is now."""
    before, _, rest = page.partition(BEGIN)
    return before + section() + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(with_section(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
