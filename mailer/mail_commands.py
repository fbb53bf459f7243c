"""`outbox mail …`: what an author of mails uses: a new one, a list, lint, previews, and a test message."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from mailer.compose import compose
from mailer.errors import MailerError, MailFolderError, TransportDsnError
from mailer.guard import parse_mailbox, wire_address
from mailer.lint import lint
from mailer.lint_rendered import sample_event
from mailer.mail import Mail
from mailer.mail_folders import read_sample
from mailer.preview import serve
from mailer.rendering import Library, shipped_templates
from mailer.reply import OutgoingMessage, Phase
from mailer.scaffold import new_mail
from mailer.transports import open_transport
from runtime.errors import SettingsError
from runtime.exits import ExitCode
from runtime.secrets import SecretUrl
from runtime.settings import DatabaseSettings, SecretDsn, variable

app = typer.Typer(name="mail", help="Write, check and try the mails.", no_args_is_help=True)

Templates = Annotated[
    Path | None,
    typer.Option("--templates", envvar="OUTBOX_MAIL_TEMPLATES", help="Folder of mails; the shipped ones by default."),
]
Name = Annotated[str, typer.Argument(help="The mail, which is the name of its folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Config = Annotated[
    Path | None, typer.Option("--config", envvar="OUTBOX_CONFIG", help="Settings file; outbox.toml here by default.")
]
# What is read by a program or kept in a file is not cut to the width of a terminal that is not there.
_out = Console(highlight=False, width=None if sys.stdout.isatty() else 160)


class MailSettings(DatabaseSettings):
    """What these commands read of the mailer's settings; none of them asks the database."""

    database_url: SecretDsn | None = None  # type: ignore[assignment]  # a mail can be written without a database
    mail_dsn: SecretUrl | None = None
    mail_from: str | None = None
    mail_templates: Path | None = None


@app.command("ls")
def list_mails(templates: Templates = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the mails: which event makes them, how urgent they are, and in which languages they are."""
    with _reported():
        library = Library.load(_settings(config, mail_templates=templates).mail_templates)
        if as_json:
            typer.echo(json.dumps([_facts(library, mail) for mail in library.mails], indent=2))
            return
        table = Table(box=SIMPLE)
        for column in ("mail", "event", "lane", "priority", "expires", "in doubt", "languages", "version"):
            table.add_column(column, no_wrap=True)
        for mail in library.mails:
            table.add_row(*(str(value) for value in _facts(library, mail).values()))
        _out.print(table)


@app.command("lint")
def lint_mails(
    name: Annotated[str | None, typer.Argument(help="One mail; all of them by default.")] = None,
    templates: Templates = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Render every mail with every sample in every language and print what is wrong; exit code 1 if anything is."""
    with _reported():
        findings = lint(_settings(config, mail_templates=templates).mail_templates, only=name)
        if as_json:
            typer.echo(json.dumps([asdict(finding) | {"path": str(finding.path)} for finding in findings], indent=2))
        for finding in () if as_json else findings:
            typer.echo(str(finding))
        if findings:
            files = len({finding.path for finding in findings})
            _say(f"{len(findings)} finding{'s' * (len(findings) > 1)} in {files} file{'s' * (files > 1)}")
            raise typer.Exit(ExitCode.FAILED)
        _say("no findings")


@app.command("new")
def new(
    name: Name,
    event: Annotated[str, typer.Option("--event", help="The type of the event that makes it, such as user.renamed.")],
    templates: Templates = None,
    config: Config = None,
) -> None:
    """Write a new mail's folder, ready to be changed: it lints without a finding."""
    with _reported():
        root = _settings(config, mail_templates=templates).mail_templates or shipped_templates()
        for path in new_mail(root, name, event=event):
            typer.echo(str(path))
        _say(f"see it with: outbox mail preview --templates {root}")


@app.command("preview")
def preview(
    templates: Templates = None,
    config: Config = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8026,
) -> None:
    """Show every mail with every sample in every language in a browser, on this machine only, until Ctrl-C."""
    with _reported(), suppress(KeyboardInterrupt):
        path = _settings(config, mail_templates=templates).mail_templates
        Library.load(path)  # what is wrong with the library is said here first, and not by a browser only
        serve(path, port=port, started=lambda url: _say(f"previews at {url} — Ctrl-C stops"))


@app.command("send-test")
def send_test(
    *,
    name: Name,
    to: Annotated[str, typer.Option("--to", help="Where the test message goes.")],
    sample: Annotated[str, typer.Option("--sample", help="The payload to use, of the mail's samples.")] = "typical",
    locale: Annotated[str | None, typer.Option("--locale", help="The language; the default one by default.")] = None,
    dsn: Annotated[
        str | None, typer.Option("--dsn", help="The transport, as a DSN.", envvar="OUTBOX_MAIL_DSN", show_envvar=True)
    ] = None,
    sender: Annotated[
        str | None,
        typer.Option(
            "--from", help="The sender, as `address` or `Name <address>`.", envvar="OUTBOX_MAIL_FROM", show_envvar=True
        ),
    ] = None,
    templates: Templates = None,
    config: Config = None,
) -> None:
    """Send one mail, made of a sample, through the real transport. Exit code 1 if it was not accepted."""
    with _reported():
        settings = _settings(config, mail_templates=templates, mail_dsn=dsn, mail_from=sender)
        if settings.mail_dsn is None or settings.mail_from is None:
            raise SettingsError(("a test message needs OUTBOX_MAIL_DSN and OUTBOX_MAIL_FROM (or --dsn and --from)",))
        library = Library.load(settings.mail_templates)
        transport = open_transport(settings.mail_dsn.get_secret_value())
        try:
            message = _message(library, sender=settings.mail_from, name=name, sample=sample, locale=locale, to=to)
            reply = transport.send(message)
        finally:
            transport.close()
    said = " ".join(part for part in (str(reply.code or ""), reply.enhanced or "", reply.text) if part)
    if not reply.accepted:
        in_doubt = reply.phase is Phase.DOT and not reply.answered
        unsure = "perhaps accepted: no answer came after the message" if in_doubt else "not accepted"
        _say(f"{reply.transport}: {unsure}, at {reply.phase}: {said}")
        raise typer.Exit(ExitCode.FAILED)
    typer.echo(f"{reply.transport}: accepted: {said}")


def _message(library: Library, *, sender: str, name: str, sample: str, locale: str | None, to: str) -> OutgoingMessage:
    folder = library.folder(name)
    path = next((path for path in folder.samples if path.stem == sample), None)
    if path is None:
        known = ", ".join(path.stem for path in folder.samples) or "none"
        raise MailFolderError(str(folder.path), f"has no sample {sample!r}; there are {known}")
    mailbox = parse_mailbox(sender)
    message_id = f"<{uuid4()}@{wire_address(mailbox.address).rpartition('@')[2]}>"
    rendered = library.render(name, payload=read_sample(path), event=sample_event(folder), locale=locale)
    now = datetime.now(UTC)  # noqa: TID251  # no database is asked here: a person runs this by hand
    content = compose(rendered, message_id=message_id, sender=sender, recipient=to, date=now)
    return OutgoingMessage(mailbox.address, to, content, message_id)


def _facts(library: Library, mail: Mail) -> dict[str, object]:
    return {
        "mail": mail.name,
        "event": mail.event,
        "lane": mail.lane,
        "priority": mail.priority,
        "expires_after": f"{mail.expires_after / timedelta(hours=1):g}h",
        "in_doubt": mail.in_doubt,
        "locales": " ".join(library.locales_of(mail.name)),
        "version": mail.version,
    }


def _settings(config: Path | None, **given: Path | str | None) -> MailSettings:
    """Return the settings of *config* with what the command line, or its environment, gives instead."""
    return MailSettings.load({variable(name): str(value) for name, value in given.items() if value is not None}, config)


def _say(text: str) -> None:
    """Say something to the person who runs the command; standard output is for what a program may read."""
    typer.echo(text, err=True)


@contextmanager
def _reported() -> Iterator[None]:
    """Print an error of ours as a sentence with its fix, and exit with its code."""
    try:
        yield
    except (MailerError, SettingsError) as error:
        notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", ()))
        _say(f"error: {error}{notes}")
        wrong_setting = isinstance(error, SettingsError | TransportDsnError)
        raise typer.Exit(ExitCode.USAGE if wrong_setting else ExitCode.FAILED) from None
    except OSError as error:
        _say(f"error: {error.strerror or error}: {error.filename or ''}")
        raise typer.Exit(ExitCode.FAILED) from None
