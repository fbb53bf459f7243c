import json
from pathlib import Path

import pytest

from bench import kept
from bench.contest import Spread, contest, ratio
from bench.kept import Result
from bench.table import Table


def test_contestants_take_turns() -> None:
    turns: list[str] = []

    def runner(name: str, rate: float) -> dict[str, float]:
        turns.append(name)
        return {"rate": rate}

    found = contest({"a": lambda: runner("a", 2.0), "b": lambda: runner("b", 4.0)}, rounds=3)

    assert turns == ["a", "b"] * 3
    assert [len(rounds) for rounds in found.values()] == [3, 3]


def test_a_ratio_compares_what_ran_in_the_same_round() -> None:
    rounds = {"ours": [{"rate": 10.0}, {"rate": 1.0}], "limit": [{"rate": 20.0}, {"rate": 2.0}]}

    assert ratio(rounds, "ours", "limit", "rate") == Spread(0.5, 0.5, 0.5)


def test_a_spread_says_its_ends() -> None:
    assert f"{Spread.over([3.0, 1.0, 2.0]):.1f}" == "2.0 (1.0 to 3.0)"


def test_a_kept_result_is_read_back_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "FOLDER", tmp_path)
    result = Result({"cores": "2"}, {"ours": [{"rate": 10.5}], "limit": [{"rate": 20.0}, {"rate": 21.0}]})

    path = kept.save("trial", result)

    assert kept.load("trial") == result
    assert json.loads(path.read_text(encoding="utf-8"))["machine"] == {"cores": "2"}


def test_a_bench_that_never_ran_has_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "FOLDER", tmp_path)

    assert kept.load("trial") is None


def test_a_table_is_columns_to_a_person_and_markdown_to_a_page() -> None:
    table = Table(("who", "rate"), [("ours", "10"), ("the limit", "20")])

    assert str(table).splitlines() == ["who        rate", "ours       10", "the limit  20"]
    assert table.markdown().splitlines() == ["| who | rate |", "| --- | --- |", "| ours | 10 |", "| the limit | 20 |"]
