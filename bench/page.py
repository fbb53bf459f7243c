"""`docs/performance.md`, made from the kept results: what is said there of a figure stands in `performance.md.j2`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from bench import kept, plots
from bench.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.bench import Bench

PAGE = REPOSITORY / "docs" / "performance.md"
WRITTEN = "<!-- Written by `python -m bench --page` from bench/results; do not edit. -->\n"


def render(benches: Sequence[Bench]) -> str:
    """Return the page: the template, with a section a bench that has a result."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701  Markdown
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found = {bench.name: result for bench in benches if (result := kept.load(bench.name)) is not None}
    sections = {bench.name: _section(bench, found[bench.name]) for bench in benches if bench.name in found}
    return environment.get_template("performance.md.j2").render(
        written=WRITTEN, sections=sections, machines={name: result.machine for name, result in found.items()}
    )


def write(benches: Sequence[Bench]) -> None:
    """Write the page and every plot."""
    for bench in benches:
        if (result := kept.load(bench.name)) is not None:
            plots.draw(bench, result.rounds, kept.FOLDER / f"{bench.name}.svg")
    PAGE.write_text(render(benches), encoding="utf-8")


def check(benches: Sequence[Bench]) -> int:
    """Return 1, and say so, when the page is not what the kept results give."""
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == render(benches):
        return 0
    print(f"error: {PAGE.name} is older than bench/results\n  fix: python -m bench --page", file=sys.stderr)
    return 1


def _section(bench: Bench, result: kept.Result) -> str:
    where = result.machine
    return (
        f"{bench.tabulate(result.rounds).markdown()}\n\n"
        f"![{bench.question}](../bench/results/{bench.name}.svg)\n\n"
        f"`python -m bench {bench.name}`, {where['at']}, commit {where['commit']}, {where['cores']} cores of"
        f" {where['processor']}, load before {where['load_before']}."
    )
