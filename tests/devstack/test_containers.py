import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from devstack import Stack
from devstack.errors import ProviderUnavailableError
from tests.support.waiting import wait_until

CONTAINER = {"OUTBOX_PROVIDER": "container"}
ON_CONTAINERS = pytest.mark.skipif(
    os.getenv("OUTBOX_PROVIDER") != "container", reason="needs a container engine: OUTBOX_PROVIDER=container says so"
)


def test_without_an_engine_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")

    with pytest.raises(ProviderUnavailableError, match="provider container is not available") as refused:
        Stack.start(kafka=False, smtp=False, environment=CONTAINER)

    assert "OUTBOX_PROVIDER=embedded needs no engine" in refused.value.__notes__[0]


@ON_CONTAINERS
def test_a_container_keeps_address_and_rows_over_a_crash_and_a_stop() -> None:
    with Stack.start(kafka=False, smtp=False, environment=CONTAINER) as stack:
        assert stack.postgres is not None
        with psycopg.connect(stack.database_url) as connection:
            connection.execute("create table kept (id integer)")
            connection.execute("insert into kept values (1)")

        stack.postgres.crash()
        assert not stack.postgres.running
        stack.postgres.start()
        stack.postgres.stop()
        stack.postgres.start()

        with psycopg.connect(stack.database_url) as connection:
            assert connection.execute("select id from kept").fetchall() == [(1,)]


@ON_CONTAINERS
def test_the_containers_of_a_killed_process_are_removed() -> None:
    import docker  # noqa: PLC0415  only where it is used

    engine = docker.from_env()
    program = (
        "import threading; from devstack import Stack\n"
        "Stack.start(kafka=False, smtp=False, environment={'OUTBOX_PROVIDER': 'container'})\n"
        "print('up', flush=True); threading.Event().wait(300)"
    )
    before = {found.id for found in engine.containers.list()}
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    owner.stdout.readline()
    made = {found.id for found in engine.containers.list()} - before
    assert made

    owner.kill()
    owner.communicate()

    wait_until(
        lambda: not made & {found.id for found in engine.containers.list(all=True)},
        timeout_seconds=30,
        what="the removal of the containers",
    )
    engine.close()
