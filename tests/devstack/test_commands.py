import json
import os
import re
import shlex
import stat
from pathlib import Path

import psutil
import psycopg
import pytest
from typer.testing import CliRunner

from devstack import background
from devstack.commands import app
from devstack.errors import StackStateError


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for name in ("OUTBOX_PROVIDER", "OUTBOX_DATABASE_URL", "OUTBOX_KAFKA_BOOTSTRAP"):
        monkeypatch.delenv(name, raising=False)
    return CliRunner()


def test_without_a_stack_status_and_env_say_what_to_do(runner: CliRunner) -> None:
    for command in ("status", "env"):
        result = runner.invoke(app, [command])

        assert isinstance(result.exception, StackStateError)
        assert str(result.exception) == "no server runs that `outbox dev up` has started"
        assert result.exception.__notes__ == ["outbox dev up"]


def test_down_without_a_stack_does_nothing(runner: CliRunner) -> None:
    result = runner.invoke(app, ["down"])

    assert (result.exit_code, result.stdout) == (0, "nothing was running\n")


def test_a_note_of_a_dead_stack_is_forgotten(runner: CliRunner) -> None:
    note = {"pid": os.getpid(), "started_at": 1.0, "folder": "/gone", "environment": {}, "inbox": None}
    background.state_file().write_text(json.dumps(note))  # our own number, but another process's start

    assert runner.invoke(app, ["down"]).stdout == "nothing was running\n"
    assert not background.state_file().exists()


def test_up_env_status_and_down_go_together(runner: CliRunner) -> None:
    up = runner.invoke(app, ["up", "--no-kafka"])
    again = runner.invoke(app, ["up"])
    env = runner.invoke(app, ["env"])
    status = runner.invoke(app, ["status", "--json"])
    mode = stat.S_IMODE(background.state_file().stat().st_mode)
    down = runner.invoke(app, ["down"])

    assert [result.exit_code for result in (up, again, env, status, down)] == [0, 0, 0, 0, 0]
    settings = dict(shlex.split(line)[1].split("=", 1) for line in env.stdout.splitlines())
    assert sorted(settings) == ["OUTBOX_DATABASE_URL", "OUTBOX_MAIL_DSN", "OUTBOX_MAIL_FROM"]
    assert re.search(rf"PostgreSQL +✓ +{re.escape(settings['OUTBOX_DATABASE_URL'])}", up.stdout)
    assert settings["OUTBOX_DATABASE_URL"] in again.stdout
    found = json.loads(status.stdout)
    assert [(server["server"], server["answers"]) for server in found["servers"]] == [
        ("PostgreSQL", True),
        ("mail to", True),
        ("inbox", True),
    ]
    assert mode == 0o600  # a password is in it
    assert down.stdout == "stopped\n"
    assert not psutil.pid_exists(found["pid"])
    assert not Path(found["logs"]).exists()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(settings["OUTBOX_DATABASE_URL"])


def test_a_stack_that_does_not_start_says_why(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTBOX_PROVIDER", "vagrant")

    result = runner.invoke(app, ["up"])

    assert isinstance(result.exception, StackStateError)
    assert "expected OUTBOX_PROVIDER to be one of given, embedded, container, got 'vagrant'" in str(result.exception)
    assert result.exception.__notes__ == [f"see {background.state_file().with_name('dev.log')}"]
    assert background.current() is None
