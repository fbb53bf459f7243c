"""Whether permits can travel and mail can leave: broker, transports, mail folders, DNS. No mail is sent."""

from collections.abc import Iterator
from typing import Final

from console.finding import Finding, Surroundings, failed, good, skipped, warned
from console.output import counted
from runtime.errors import ProcessError
from runtime.secrets import mask

BROKER_SECONDS: Final = 5.0
_TRIALS: Final = {"null": "mail is thrown away", "console": "mail is printed, and not sent"}


def check(around: Surroundings) -> Iterator[Finding]:
    """Yield a line for the broker, one a transport, one for the mail folders, and those of the sender's domain."""
    if around.mailer is None:
        yield skipped("mail", "the mailer is not configured here")
        return
    yield _broker(around)
    if around.mailer.mail_redirect_all_to is not None:
        yield warned(
            "mail.redirect",
            expected="mail to go to its recipients",
            actual="all of it goes to one address",
            fix="unset OUTBOX_MAIL_REDIRECT_ALL_TO where real mail is sent",
        )
    yield from _transports(around)
    yield _templates(around)
    from console.checks import sender_domain  # noqa: PLC0415 - it needs the extra `mailer`

    yield from sender_domain.check(around.mailer)


def _broker(around: Surroundings) -> Finding:
    from mailer.broker import make_app  # noqa: PLC0415 - Celery takes half a second to import
    from mailer.broker_urls import PGMQ, kind_of  # noqa: PLC0415

    assert around.mailer is not None  # noqa: S101 - `check` has looked
    url = around.mailer.broker
    kind = kind_of(url)
    expected = "a broker of a kind that loses no permit, reachable"
    actual = "pgmq, on the database itself" if kind == PGMQ and url == "pgmq://" else mask(url, user=False)
    if kind == PGMQ and around.database is None:
        return skipped("celery.broker", f"{actual}, which was not reached")
    fix = "check OUTBOX_CELERY_BROKER_URL, and that the broker runs"
    try:
        with make_app(around.mailer).connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=BROKER_SECONDS, interval_start=0.1)
    except Exception as error:  # noqa: BLE001 - each broker's client raises errors of its own
        said = mask(str(error).partition("\n")[0]) or type(error).__name__
        return failed("celery.broker", expected=expected, actual=f"{actual}: {said}", fix=fix)
    return good("celery.broker", actual, expected=expected)


def _transports(around: Surroundings) -> Iterator[Finding]:
    from mailer.transports import open_transport  # noqa: PLC0415 - as above

    assert around.mailer is not None  # noqa: S101 - `check` has looked
    transport = open_transport(around.mailer.mail_dsn.get_secret_value())
    try:
        for child in transport.children:
            probe = getattr(child, "probe", None)
            name = f"mail.transport {child.name}"
            if why := _TRIALS.get(child.name.partition(":")[0]):
                yield warned(name, expected="a mail server", actual=why, fix="set OUTBOX_MAIL_DSN to one")
            elif probe is None:
                yield good(name, "nothing to connect to")
            elif problem := probe():
                fix = "check host, port, credentials and starttls in OUTBOX_MAIL_DSN"
                yield failed(name, expected="a session, and our sign-in accepted", actual=mask(problem), fix=fix)
            else:
                yield good(name, "greets", expected="a session, and our sign-in accepted")
    finally:
        transport.close()


def _templates(around: Surroundings) -> Finding:
    from mailer.lint import lint  # noqa: PLC0415 - as above
    from outbox.errors import OutboxError  # noqa: PLC0415

    assert around.mailer is not None  # noqa: S101 - `check` has looked
    expected = "every mail renders every sample in every language"
    try:
        findings = lint(around.mailer.mail_templates)
    except (OutboxError, ProcessError) as error:
        return failed(
            "mail.templates",
            expected=expected,
            actual=str(error),
            fix="; ".join(getattr(error, "__notes__", ("see it",))),
        )
    if findings:
        return failed(
            "mail.templates",
            expected=expected,
            actual=f"{counted(len(findings), 'finding')}, the first: {findings[0]}",
            fix="`outbox mail lint`",
        )
    return good("mail.templates", "they do", expected=expected)
