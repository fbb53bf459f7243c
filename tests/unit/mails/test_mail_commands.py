"""`outbox mail …` as an author of mails uses it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mailer.mail_commands import app
from tests.support.mails import MailFiles


def run(*arguments: object, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=env)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep an outbox.toml of the developer's out of the tests."""
    monkeypatch.chdir(tmp_path)
    for name in ("OUTBOX_MAIL_TEMPLATES", "OUTBOX_MAIL_DSN", "OUTBOX_MAIL_FROM", "OUTBOX_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def test_ls_lists_the_shipped_mails() -> None:
    result = run("ls")

    assert result.exit_code == 0
    assert "password_reset" in result.stdout
    assert "user.password_reset_requested" in result.stdout


def test_ls_lists_them_for_programs() -> None:
    mails = json.loads(run("ls", "--json").stdout)

    assert mails[3] == {
        "mail": "password_reset",
        "event": "user.password_reset_requested",
        "lane": "security",
        "priority": 10,
        "expires_after": "4h",
        "in_doubt": "resend",
        "locales": "en de",
        "version": mails[3]["version"],
    }


def test_lint_ends_with_0_when_nothing_is_wrong() -> None:
    result = run("lint")

    assert (result.exit_code, result.stdout) == (0, "")


def test_lint_ends_with_1_and_says_where_and_how_to_put_it_right(mail: MailFiles) -> None:
    mail.replace("body.txt", "Good day.", "{{ user }}")

    result = run("lint", "--templates", mail.root)

    assert result.exit_code == 1
    assert f"{mail.folder}/body.txt:3: unknown-name: 'user' is defined nowhere" in result.stdout
    assert "    fix: " in result.stdout


def test_lint_reports_to_programs(mail: MailFiles) -> None:
    mail.remove("subject.txt")

    result = run("lint", "greeting", "--templates", mail.root, "--json")

    assert result.exit_code == 1
    assert [finding["rule"] for finding in json.loads(result.stdout)] == ["missing-file"]


def test_new_writes_a_mail_that_lints_without_a_finding(tmp_path: Path) -> None:
    made = run("new", "invoice_ready", "--event", "invoice.ready", "--templates", tmp_path)

    assert made.exit_code == 0
    assert f"{tmp_path}/invoice_ready/mail.toml" in made.stdout
    assert run("lint", "--templates", tmp_path).exit_code == 0


def test_new_leaves_an_existing_mail_alone(mail: MailFiles) -> None:
    result = run("new", "greeting", "--event", "x", "--templates", mail.root)

    assert result.exit_code == 1
    assert "exists already" in result.stderr


@pytest.mark.parametrize("name", ["../up", "Greeting", "a b"])
def test_new_refuses_a_name_that_is_no_folder(tmp_path: Path, name: str) -> None:
    result = run("new", name, "--event", "x", "--templates", tmp_path)

    assert result.exit_code == 1
    assert "lower-case letters" in result.stderr


def test_the_templates_folder_comes_from_the_environment_or_the_file(mail: MailFiles, tmp_path: Path) -> None:
    (tmp_path / "outbox.toml").write_text(f'mail_templates = "{mail.root}"\n')

    by_file = run("ls", "--json")
    by_environment = run("ls", "--json", env={"OUTBOX_MAIL_TEMPLATES": str(mail.root)})

    assert [row["mail"] for row in json.loads(by_file.stdout)] == ["greeting"]
    assert by_file.stdout == by_environment.stdout


def test_send_test_sends_a_sample_to_whom_it_is_told(tmp_path: Path) -> None:
    result = run(
        "send-test", "role_upgrade", "--to", "bob@example.com", "--locale", "de",
        "--dsn", f"file://{tmp_path}/maildir", "--from", "Example <no-reply@example.com>",
    )  # fmt: skip

    (written,) = (tmp_path / "maildir" / "new").iterdir()
    assert result.exit_code == 0
    assert "\nTo: bob@example.com\n" in written.read_text()
    assert "\nSubject: Ihre neue Rolle: Admin\n" in written.read_text()


def test_send_test_says_what_setting_it_lacks() -> None:
    result = run("send-test", "role_upgrade", "--to", "bob@example.com")

    assert result.exit_code == 2
    assert "OUTBOX_MAIL_DSN" in result.stderr


def test_send_test_shows_no_password_of_a_wrong_dsn() -> None:
    result = run(
        "send-test", "role_upgrade", "--to", "bob@example.com",
        env={"OUTBOX_MAIL_DSN": "smtp://u:hunter2@h?starttls=no", "OUTBOX_MAIL_FROM": "a@example.com"},
    )  # fmt: skip

    assert result.exit_code == 2
    assert "require|try|never" in result.stderr
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize(("name", "sample"), [("nope", "typical"), ("role_upgrade", "nope")])
def test_send_test_names_the_mails_and_samples_there_are(name: str, sample: str) -> None:
    env = {"OUTBOX_MAIL_DSN": "null:", "OUTBOX_MAIL_FROM": "a@example.com"}

    result = run("send-test", name, "--sample", sample, "--to", "bob@example.com", env=env)

    assert result.exit_code == 1
    assert "there are" in result.stderr


def test_send_test_refuses_an_address_that_is_none() -> None:
    result = run("send-test", "role_upgrade", "--to", "bob", "--dsn", "null:", "--from", "a@example.com")

    assert result.exit_code == 1
    assert "address of the recipient refused" in result.stderr
