"""The figures of the page on brokers are those of the runs that are kept."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "how-to" / "brokers.md").read_text("utf-8")
RUNS = (ROOT / "tests" / "chaos" / "results" / "mail.jsonl").read_text("utf-8")


def row(run: dict[str, object]) -> str:
    doubt, permits, flows = run["in_doubt"], run["most_permits_out"], run["flows_again_seconds"]
    assert isinstance(doubt, dict)
    assert isinstance(permits, dict)
    assert isinstance(flows, list)
    cells = [
        run["version"],
        run["kills"],
        run["broker_kills"],
        f"{run['mails']:,}",
        0,
        0,
        doubt["most_of_a_kill"],
        max(permits.values()),
        f"{min(flows):g} to {max(flows):g} s" if flows else "not looked at",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def test_each_row_is_a_run_that_is_kept_and_that_broke_no_promise() -> None:
    runs = [json.loads(line) for line in RUNS.splitlines()]

    assert re.findall(r"^\| (?:PostgreSQL|RabbitMQ|Redis) .*$", PAGE, re.MULTILINE) == [row(run) for run in runs]
    assert [run["wrong"] for run in runs] == [[]] * len(runs)
    assert sum(run["kills"] for run in runs if run["broker"] == "redis") >= 200
