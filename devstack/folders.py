"""Where things lie: downloads in the user's cache folder, a run's data and logs in a folder of its own.

A run's folder lies in the system's folder for temporary files, because a root user's home is closed to the unprivileged
user that PostgreSQL must run as, and because a unix socket's path may not be longer than 107 bytes.
"""

import contextlib
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path

import platformdirs
import psutil

APPLICATION = "pg-outbox-relay"
# PostgreSQL refuses root. Every Linux has this user, so none has to be made.
UNPRIVILEGED = "nobody"
PREFIX = "outbox-dev-"
OWNER = "owner"  # in a run's folder: the process that it belongs to
KEPT_SECONDS = 86_400  # how long the logs of a failed run stay


def cache_folder() -> Path:
    """Return the folder of downloads, made if need be."""
    folder = platformdirs.user_cache_path(APPLICATION)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def state_folder() -> Path:
    """Return the folder in which `outbox dev up` notes what runs, made if need be."""
    folder = platformdirs.user_state_path(APPLICATION)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def new_run_folder() -> Path:
    """Return a new folder for one run; other users may pass through it, and not look into it.

    Folders of runs whose process was killed are deleted now: their servers died with it, and could not do that.
    """
    _delete_abandoned()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    folder.chmod(0o711)
    (folder / OWNER).write_text(f"{os.getpid()}\n")
    return folder


def remove(folder: Path, *, keep_logs: bool = False) -> None:
    """Delete a run's folder, or all but the logs in it."""
    logs = [path for path in folder.glob("*.log") if path.stat().st_size] if keep_logs else []
    for path in folder.iterdir() if logs else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path not in logs:
            path.unlink(missing_ok=True)
    if not logs:
        shutil.rmtree(folder, ignore_errors=True)


def _delete_abandoned() -> None:
    """Delete our folders whose owner is dead, and logs of failures that are a day old."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, ValueError):  # somebody else's, or just being deleted by another run
            if folder.stat().st_uid != os.geteuid():
                continue
            owner = folder / OWNER
            if owner.exists():
                abandoned = not psutil.pid_exists(int(owner.read_text()))
            else:
                abandoned = time.time() - folder.stat().st_mtime > KEPT_SECONDS
            if abandoned:
                shutil.rmtree(folder, ignore_errors=True)


def server_user() -> str | None:
    """Return the user that PostgreSQL runs as, or None where that is the one we are."""
    return UNPRIVILEGED if os.geteuid() == 0 else None


def give_to(path: Path, user: str | None) -> None:
    """Hand *path* to *user*."""
    if user is not None:
        shutil.chown(path, user)


def reachable_copy(program_tree: Path, *, libraries: Path | None, user: str | None, into: Path) -> Path:
    """Return *program_tree* where *user* can read it: itself, or else a tree of hard links (or copies) in *into*.

    Its programs find their *libraries* by the way that leads there from themselves, which the copy keeps.
    """
    if user is None or _open_to_others(program_tree):
        return program_tree
    trees = [program_tree, *([libraries] if libraries is not None and libraries.is_dir() else [])]
    base = Path(os.path.commonpath(trees))
    copy = into / "programs"
    if not copy.exists():
        for tree in trees:
            shutil.copytree(tree, copy / tree.relative_to(base), symlinks=True, copy_function=_link, dirs_exist_ok=True)
        for folder in (copy, *(path for path in copy.rglob("*") if path.is_dir() and not path.is_symlink())):
            folder.chmod(0o755)
    return copy / program_tree.relative_to(base)


def _open_to_others(tree: Path) -> bool:
    """Say whether any user may pass through every folder above *tree*."""
    tree = tree.resolve()
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (tree, *tree.parents))


def _link(source: str, target: str) -> None:
    """Link *source* at *target*, or copy it where the file systems differ."""
    with contextlib.suppress(OSError):
        os.link(source, target, follow_symlinks=False)
        return
    shutil.copy2(source, target, follow_symlinks=False)
