"""A pytest plug-in that writes down what came of each test, and where the product was imported from."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

_PRODUCT = ("outbox", "runtime", "relay", "mailer", "console", "devstack")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the file to write to."""
    parser.addoption("--witness", metavar="FILE", type=Path)


def pytest_configure(config: pytest.Config) -> None:
    """Watch, if a file is named."""
    if (path := config.getoption("--witness")) is not None:
        config.pluginmanager.register(Witness(path), "mutations-witness")


class Witness:
    """Appends a line of JSON for each phase of a test, and one about the imports in the end."""

    def __init__(self, path: Path) -> None:
        """Write to *path*."""
        self._path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write down how one phase of a test ended."""
        self._write({"test": report.nodeid, "phase": report.when, "outcome": report.outcome})

    def pytest_sessionfinish(self) -> None:
        """Write down the files of the product's modules."""
        files = [
            module.__file__
            for name, module in list(sys.modules.items())
            if name.partition(".")[0] in _PRODUCT and getattr(module, "__file__", None)
        ]
        self._write({"imported": sorted(filter(None, files))})

    def _write(self, facts: Mapping[str, object]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")
