"""What a host installs, built as it is released."""

import re
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
INSERT = """
import sys
sys.path.insert(0, sys.argv[1])
import outbox
print(outbox.Event(aggregate_type="a", aggregate_id="1", type="t", payload={"n": 1}).payload_text)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (built,) = folder.glob("*.whl")
    return built


def test_the_base_depends_on_nothing(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_string(archive.read(name).decode())

    needed = [need for need in metadata.get_all("Requires-Dist", []) if "extra ==" not in need]
    assert needed == []


def test_a_host_can_use_it_without_any_other_package(wheel: Path) -> None:
    # -S: no site-packages, as if nothing else were installed.
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", INSERT, str(wheel)], capture_output=True, text=True, check=True
    )

    assert ran.stdout == '{"n":1}\n'


def test_type_checkers_find_its_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert "outbox/py.typed" in archive.namelist()


def test_every_statement_is_in_it(wheel: Path) -> None:
    packages = ("outbox", "relay", "mailer", "console", "runtime")
    statements = {str(path.relative_to(ROOT)) for package in packages for path in (ROOT / package).glob("**/*.sql")}

    with zipfile.ZipFile(wheel) as archive:
        assert statements <= set(archive.namelist())


def test_nothing_by_which_tests_break_a_process_is_in_it(wheel: Path) -> None:
    """The seam is telemetry, which every relay has; who listens to it there is the log and the metrics alone."""
    with zipfile.ZipFile(wheel) as archive:
        modules = {name: archive.read(name).decode() for name in archive.namelist() if name.endswith(".py")}

    assert {name.partition("/")[0] for name in modules} == {
        "outbox", "runtime", "relay", "mailer", "console", "devstack",
    }  # fmt: skip
    for name, text in modules.items():
        assert "OUTBOX_TEST_" not in text, name
        assert not re.search(r"^\s*(from|import) (tests|bench)\b", text, re.MULTILINE), name
    assert [name for name, text in modules.items() if re.search(r"observers=(?!observers)", text)] == []
