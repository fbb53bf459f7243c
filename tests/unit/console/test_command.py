import subprocess
import sys
import time
from importlib.metadata import EntryPoint

import pytest
import typer

from console import command, parts
from console.__main__ import run
from console.errors import ExtraMissingError, UsageError


def test_help_names_every_part_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"], {}) == 0

    out = capsys.readouterr().out
    for part in parts.OWN:
        assert part.name in out


def test_help_comes_at_once() -> None:
    drivers = "{'celery', 'confluent_kafka', 'psycopg', 'sqlalchemy', 'alembic', 'jinja2', 'starlette'}"
    program = (
        "import sys; from console.__main__ import run; run(['--help'], {});"
        f" print(sorted({drivers} & set(sys.modules)))"
    )
    began = time.monotonic()

    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert shown.stdout.splitlines()[-1] == "[]"
    assert time.monotonic() - began < 10  # half a second on an idle machine; the imports above are what is held


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([], {}) == 2

    captured = capsys.readouterr()
    assert "Usage: outbox" in captured.out + captured.err


def test_a_group_without_a_command_shows_its_help_and_no_empty_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["relay"], {}) == 2

    shown = capsys.readouterr()
    assert "drain" in shown.out
    assert "error:" not in shown.err


def test_a_command_that_is_not_there_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["statuss"], {}) == 2

    assert (
        capsys.readouterr().err
        == "error: no such command 'statuss'. Did you mean 'status'?\nfix: see `outbox --help`\n"
    )


def test_a_missing_setting_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status"], {}) == 2

    assert capsys.readouterr().err.startswith("error: OUTBOX_DATABASE_URL is required: PostgreSQL, as `postgresql://")


def test_an_unexpected_error_is_one_line_unless_debugging(capsys: pytest.CaptureFixture[str]) -> None:
    error = RuntimeError("no answer from postgresql://ada:hush@db/shop")

    assert command.report(error, debug=False) == 1
    short = capsys.readouterr().err
    assert command.report(error, debug=True) == 1
    long = capsys.readouterr().err

    assert short.splitlines()[0] == "error: unexpected RuntimeError: no answer from postgresql://ada:***@db/shop"
    assert "OUTBOX_LOG_LEVEL=debug" in short
    assert "RuntimeError: no answer" in long
    assert "hush" not in short + long


def test_notes_of_an_error_are_its_fixes(capsys: pytest.CaptureFixture[str]) -> None:
    error = UsageError("expected one, got two")
    error.add_note("take one")

    assert command.report(error, debug=False) == 2
    assert capsys.readouterr().err == "error: expected one, got two\nfix: take one\n"


def test_a_part_whose_extra_is_missing_says_what_to_install() -> None:
    part = parts.Part("x", "no_such_module:app", "", "mailer")

    with pytest.raises(ExtraMissingError, match="`outbox x` needs the module 'no_such_module'") as missing:
        part.load()

    assert missing.value.__notes__ == ["pip install 'pg-outbox-relay[mailer]'"]
    assert missing.value.exit_code == 2


def test_a_plugin_adds_a_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = typer.Typer()

    @plugin.command()
    def hello() -> None:
        typer.echo("hello from a plug-in")

    @plugin.command()
    def other() -> None: ...

    entry = EntryPoint("extra", "json:loads", parts.GROUP)
    monkeypatch.setattr(parts, "entry_points", lambda group: [entry] if group == parts.GROUP else [])
    monkeypatch.setattr(EntryPoint, "load", lambda _: plugin)

    assert run(["extra", "hello"], {}) == 0
    assert "hello from a plug-in" in capsys.readouterr().out


def test_completion_knows_the_commands_of_a_part() -> None:
    program = "import sys, os; sys.argv = ['outbox']; from console.__main__ import main; main()"
    environment = {"_OUTBOX_COMPLETE": "complete_bash", "COMP_WORDS": "outbox dead ", "COMP_CWORD": "2"}

    completed = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )

    assert completed.stdout.split() == ["ls", "show", "redrive", "discard"]
