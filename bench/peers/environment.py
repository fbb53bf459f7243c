"""The environment of the contestant faststream-outbox, in the cache folder and apart from the project's own."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from devstack import folders

LOCK = Path(__file__).with_name("faststream.lock")


def python(lock: Path = LOCK) -> Path:
    """Return the interpreter of an environment with what the lock file names, made if need be."""
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    folder = folders.cache_folder() / f"bench-{lock.stem}-{sys.version_info.major}.{sys.version_info.minor}-{digest}"
    done = folder / "complete"
    if not done.exists():
        _make(folder, lock)
        done.touch()
    return folder / "bin" / "python"


def _make(folder: Path, lock: Path) -> None:
    """Install in *folder*, over what a run that was broken off may have left there."""
    with tempfile.TemporaryFile("w+") as log:
        for words in (
            (sys.executable, "-m", "venv", "--clear", str(folder)),
            (str(folder / "bin" / "pip"), "install", "--require-hashes", "--no-deps", "--quiet", "-r", str(lock)),
        ):
            if subprocess.run(words, stdout=log, stderr=log, check=False).returncode:
                log.seek(0)
                raise RuntimeError(f"expected {' '.join(words)} to succeed, got:\n{log.read()[-2000:]}")
