"""Pytest on the copy: which tests passed, and which one noticed a mutation."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutations.copying import applied
from tests.mutations.mutation import Mutation, StaleMutationError

# Everything that touches the relay: a mutation has survived only when all of it stays green.
RELATED = (
    "tests/unit/relay",
    "tests/unit/runtime",
    "tests/integration/relay",
    "tests/integration/sql",
    "tests/acceptance/relay",
    "tests/acceptance/matrix",
    "tests/acceptance/faults",
)
# And everything that touches the mailer.
_RELATED_TO_MAIL = (
    "tests/unit/mailer",
    "tests/integration/mailer",
    "tests/contract/transports",
    "tests/acceptance/mailer",
)
_OPTIONS = ("-p", "tests.mutations.witness", "-p", "no:randomly", "-p", "no:cacheprovider", "-q", "--timeout=120")


def related(mutation: Mutation) -> Sequence[str]:
    """Return the tests that touch what *mutation* changes."""
    mail = all(change.file.startswith("mailer/") for change in mutation.changes)
    return _RELATED_TO_MAIL if mail else RELATED


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one run of pytest: by test, whether its call passed, failed or was skipped."""

    outcomes: Mapping[str, str]
    broken: bool  # something failed that is no test's own doing: an import, a fixture
    output: str

    @property
    def failed(self) -> str | None:
        """Return the first test that failed."""
        return next((test for test, outcome in self.outcomes.items() if outcome == "failed"), None)


@dataclass(frozen=True, slots=True)
class Red:
    """A test noticed; *listed* says whether it was one that the mutation names."""

    test: str
    seconds: float
    listed: bool = True


@dataclass(frozen=True, slots=True)
class Survived:
    """No test noticed."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The mutation could not be tried, or proves nothing."""

    reason: str


Outcome = Red | Survived | Failed


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs pytest in *copy*; *servers* are the addresses of running servers, for tests that need none of their own."""

    copy: Path
    environment: Mapping[str, str]
    servers: Mapping[str, str]
    listed_only: bool = False

    def run(self, tests: Sequence[str], *, own_servers: bool, stop_at_first: bool = True) -> Run:
        """Run *tests* in their order, and return what came of them."""
        environment = {**self.environment, **({} if own_servers else self.servers)}
        options = [*_OPTIONS, *(["-x"] if stop_at_first else [])]
        with tempfile.NamedTemporaryFile(suffix=".jsonl") as witness:
            command = [sys.executable, "-m", "pytest", *options, "--witness", witness.name, *tests]
            ended = subprocess.run(command, cwd=self.copy, env=environment, check=False, text=True, capture_output=True)
            lines = [json.loads(line) for line in Path(witness.name).read_text(encoding="utf-8").splitlines()]
        self._prove(lines)
        return _summed_up(lines, code=ended.returncode, output=ended.stdout + ended.stderr)

    def green(self, mutations: Iterable[Mutation]) -> dict[str, str]:
        """Return what comes of every test that *mutations* name, without a mutation."""
        outcomes: dict[str, str] = {}
        mutations = list(mutations)
        for own in (False, True):
            tests = dict.fromkeys(test for one in mutations if one.own_servers is own for test in one.tests)
            if tests:
                run = self.run(list(tests), own_servers=own, stop_at_first=False)
                outcomes.update({test: _of(test, run) for test in tests})
        return outcomes

    def try_out(self, mutation: Mutation, green: Mapping[str, str]) -> Outcome:
        """Apply *mutation*, and return whether a test notices."""
        if wrong := {test: green[test] for test in mutation.tests if green[test] != "passed"}:
            return Failed(f"expected the tests to pass without it, got {wrong}")
        try:
            with applied(self.copy, mutation):
                return self._noticed(mutation)
        except StaleMutationError as error:
            return Failed(str(error))

    def _noticed(self, mutation: Mutation) -> Outcome:
        began = time.monotonic()
        run = self.run(mutation.tests, own_servers=mutation.own_servers)
        if run.failed is not None:
            return Red(run.failed, time.monotonic() - began)
        if not run.broken and not self.listed_only:
            run = self.run(related(mutation), own_servers=True)
            if run.failed is not None:
                return Red(run.failed, time.monotonic() - began, listed=False)
        return Failed(f"no test failed, and pytest said:\n{run.output[-2000:]}") if run.broken else Survived()

    def _prove(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Raise unless the product was imported from the copy."""
        imported = [path for line in lines for path in line.get("imported", ())]
        if elsewhere := [path for path in imported if not Path(path).resolve().is_relative_to(self.copy)]:
            raise RuntimeError(f"expected the product to be imported from {self.copy}, got {elsewhere[:3]}")


def _summed_up(lines: Sequence[Mapping[str, Any]], *, code: int, output: str) -> Run:
    calls = {line["test"]: line["outcome"] for line in lines if line.get("phase") == "call"}
    skipped = {line["test"]: "skipped" for line in lines if line.get("outcome") == "skipped"}
    outcomes = {**calls, **skipped}
    broken = code != 0 and "failed" not in outcomes.values()
    return Run(outcomes, broken, output)


def _of(test: str, run: Run) -> str:
    """Return what came of *test*, which may have parameters or be a whole file."""
    found = [
        outcome for name, outcome in run.outcomes.items() if name == test or name.startswith((f"{test}[", f"{test}::"))
    ]
    if not found:
        return f"not run: {run.output[-1000:]}"
    return next((outcome for outcome in found if outcome != "passed"), "passed")
