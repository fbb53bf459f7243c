"""The copy of the tree that is mutated: what git knows of or would add, without what it ignores."""

import compileall
import py_compile
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.mutations.mutation import Mutation, mutated

# The project is installed editable, so a copy is imported only because it stands first on the path.
_WHERE = """
import importlib, sys
for name in sys.argv[1:]:
    print(importlib.import_module(name).__file__)
"""
_PACKAGES = ("outbox", "runtime", "relay", "mailer", "console", "devstack", "tests")
_MODULES = (*_PACKAGES[:-1], "tests.support.crashing_relay")


@contextmanager
def copy_of(root: Path) -> Iterator[Path]:
    """Give a copy of the tree at *root*, and remove it in the end."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    with tempfile.TemporaryDirectory(prefix="outbox-mutants-") as folder:
        copy = Path(folder).resolve()
        for name in filter(None, listed.stdout.split("\0")):
            if (root / name).is_file():  # git lists what was deleted, too
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, copy / name)
        _compile(copy)
        yield copy


def _compile(copy: Path) -> None:
    """Have bytecode that is valid as long as its source is what it was made from."""
    mode = py_compile.PycInvalidationMode.CHECKED_HASH
    for package in _PACKAGES:
        compileall.compile_dir(copy / package, quiet=1, invalidation_mode=mode)


def environment_of(copy: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which *copy* is what gets imported, without settings of ours.

    No bytecode is written: Python takes it for fresh when size and second of a file are the same, as after a small
    change. What `_compile` made is compared with the source itself.
    """
    kept = {name: value for name, value in inherited.items() if not name.startswith(("OUTBOX_", "PYTEST_"))}
    return {**kept, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}


def prove_imported(copy: Path, environment: Mapping[str, str]) -> None:
    """Raise unless a process like those of the tests imports the code of *copy*, and no other."""
    where = subprocess.run(
        [sys.executable, "-c", _WHERE, *_MODULES],
        cwd=copy,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    if elsewhere := [path for path in where if not Path(path).resolve().is_relative_to(copy)]:
        raise RuntimeError(f"expected every module to be imported from {copy}, got {elsewhere}")


@contextmanager
def applied(copy: Path, mutation: Mutation) -> Iterator[None]:
    """Have *mutation* applied to *copy* for the length of the block."""
    changed = mutated(copy, mutation)
    originals = {path: path.read_bytes() for path in changed}
    try:
        for path, text in changed.items():
            path.write_text(text, encoding="utf-8")
        yield
    finally:
        for path, content in originals.items():
            path.write_bytes(content)
