"""Mails out of folders of templates: compiled once, rendered without side effects, and checked before they are owed.

A template sees `payload` (the event's), `event` (its id and types), `brand` (`_base/brand.toml`) and `locale`, in a
sandbox that can change nothing. An undefined name is an error and never an empty string. Values of events are
data: they are escaped in HTML, and never compiled. CSS is inlined with remote and file loading off, for the defaults
of the inliner fetch any URL and read any file that a stylesheet names.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import css_inline
from jinja2 import Template, TemplateError, TemplateSyntaxError

from mailer.errors import AddressRefusedError, HeaderRefusedError, MailFolderError, MalformedEventError, RenderError
from mailer.guard import check_address, check_value
from mailer.mail import Mail
from mailer.mail_folders import BODY_HTML, BODY_TEXT, SUBJECT, MailFolder, Sources, best_locale, read_sources
from mailer.sandbox import Environment, run, sandbox
from outbox.envelope import ReceivedEvent

_FACTS = ("event_id", "type", "aggregate_type", "aggregate_id")
_LOCALE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A mail as a reader will see it, before it becomes a message."""

    subject: str
    text: str
    html: str | None


class _Compiled(NamedTuple):
    subject: Template
    text: Template
    html: Template | None


class Library:
    """The mails that this process can make."""

    def __init__(self, sources: Sources) -> None:
        """Compile every template of *sources*; raise MailFolderError for the first that does not compile."""
        self.sources = sources
        self._inliner = css_inline.CSSInliner(
            load_remote_stylesheets=False, keep_style_tags=True, keep_at_rules=True, remove_inlined_selectors=True
        )
        default = sources.default_locale
        locales = {default, *(locale for folder in sources.folders.values() for locale in folder.locales)}
        self._environments = {locale: sandbox(sources, locale) for locale in sorted(locales)}
        self._recipients = {mail.name: self._expression(mail.name, mail.to) for mail in self.mails}
        self._locales = {mail.name: self._expression(mail.name, mail.locale or "") for mail in self.mails}
        self._compiled = {
            (folder.mail.name, locale): self._compile(folder, locale)
            for folder in sources.folders.values()
            for locale in (default, *folder.locales)
        }
        self._names = {str(path): name for name, path in sources.files.items()}

    @classmethod
    def load(cls, path: Path | None = None, *, only: str | None = None) -> Self:
        """Return the library in *path*, or the shipped one; `_base` files that it lacks are the shipped ones.

        With *only*, the library has that one mail: what is wrong with the others does not matter.
        """
        shipped = shipped_templates()
        return cls(read_sources(path or shipped, shipped=shipped, only=only))

    @property
    def mails(self) -> tuple[Mail, ...]:
        """Return every mail, by name."""
        return tuple(folder.mail for folder in self.sources.folders.values())

    @property
    def lanes(self) -> tuple[str, ...]:
        """Return the lanes that the mails name: each must have a worker."""
        return tuple(sorted({mail.lane for mail in self.mails}))

    def environment(self, locale: str) -> Environment:
        """Return what the templates of *locale* are compiled with."""
        return self._environments[locale]

    def folder(self, name: str) -> MailFolder:
        """Return the folder of the mail *name*; raise MailFolderError if there is none."""
        try:
            return self.sources.folders[name]
        except KeyError:
            known = ", ".join(self.sources.folders) or "none"
            raise MailFolderError(str(self.sources.path), f"has no mail {name!r}; there are {known}") from None

    def mails_for(self, event_type: str) -> tuple[Mail, ...]:
        """Return the mails that an event of *event_type* makes."""
        return tuple(mail for mail in self.mails if mail.event == event_type)

    def locales_of(self, name: str) -> tuple[str, ...]:
        """Return the languages of the mail *name*, the default one first."""
        return (self.sources.default_locale, *self.folder(name).locales)

    def recipient_and_locale(self, mail: Mail, event: ReceivedEvent | Mapping[str, object]) -> tuple[str, str]:
        """Return whom *mail* goes to because of *event*, and in which language.

        Raise MalformedEventError if there is nobody, if the address is none, or if a variable of the mail is missing:
        the mail is rendered once without its CSS, so that what cannot be rendered is known before it is owed.
        """
        payload = event["payload"] if isinstance(event, Mapping) else event.payload
        if not isinstance(payload, dict):
            raise MalformedEventError(mail.name, "payload_not_an_object", "its payload is no JSON object")
        facts = _facts(event)
        address = self._address(mail, payload, facts)
        try:
            locale = self.locale(mail.name, payload=payload, event=facts)
            self._rendered(mail.name, payload=payload, event=facts, locale=locale)
        except RenderError as error:
            reason = "missing_variable" if error.variable else "render_failed"
            raise MalformedEventError(mail.name, reason, str(error)) from error
        except HeaderRefusedError as error:
            raise MalformedEventError(mail.name, "header_refused", str(error)) from error
        return address, locale

    def locale(self, name: str, *, payload: Mapping[str, object], event: Mapping[str, object]) -> str:
        """Return the language that the mail *name* has for what *payload* asks; the default one when it has not."""
        asked = self._run(self._locales[name], self._context(payload, event, "")).strip()
        wanted = asked if _LOCALE.fullmatch(asked) else None
        return best_locale(wanted, self.folder(name).locales) or self.sources.default_locale

    def render(
        self, mail_name: str, *, payload: Mapping[str, object], event: Mapping[str, object], locale: str | None
    ) -> Rendered:
        """Return the mail; raise RenderError, or HeaderRefusedError for a subject that would be more than one line."""
        rendered = self._rendered(mail_name, payload=payload, event=event, locale=locale)
        if rendered.html is None:
            return rendered
        return Rendered(rendered.subject, rendered.text, self._inlined(mail_name, rendered.html))

    def _rendered(
        self, name: str, *, payload: Mapping[str, object], event: Mapping[str, object], locale: str | None
    ) -> Rendered:
        chosen = best_locale(locale, self.folder(name).locales) or self.sources.default_locale
        templates = self._compiled[name, chosen]
        context = self._context(payload, event, chosen)
        subject = check_value("Subject", self._run(templates.subject, context).strip())
        if not subject:
            raise RenderError(f"{name}/{SUBJECT}", None, None, "the subject is empty")
        text = f"{self._run(templates.text, context).strip()}\n"
        html = None if templates.html is None else self._run(templates.html, context)
        return Rendered(subject, text, html)

    def _address(self, mail: Mail, payload: Mapping[str, object], facts: Mapping[str, object]) -> str:
        try:
            address = self._run(self._recipients[mail.name], self._context(payload, facts, ""))
        except RenderError as error:
            raise MalformedEventError(mail.name, "no_recipient", str(error)) from error
        if not address.strip():
            raise MalformedEventError(mail.name, "no_recipient", f"{mail.name}/mail.toml: `to` comes out empty")
        try:
            return check_address(address)
        except AddressRefusedError as error:
            raise MalformedEventError(mail.name, "bad_address", str(error)) from error

    def _context(self, payload: Mapping[str, object], event: Mapping[str, object], locale: str) -> dict[str, object]:
        facts = {name: event[name] for name in _FACTS if name in event}
        return {"payload": payload, "event": facts, "brand": self.sources.brand, "locale": locale}

    def _run(self, template: Template, context: Mapping[str, object]) -> str:
        return run(template, context, names=self._names)

    def _inlined(self, name: str, html: str) -> str:
        try:
            return self._inliner.inline(html)
        except css_inline.InlineError:
            raise RenderError(f"{name}/{BODY_HTML}", None, None, "its CSS cannot be inlined") from None

    def _expression(self, name: str, source: str) -> Template:
        try:
            template: Template = self._environments[self.sources.default_locale].from_string(source)
        except TemplateSyntaxError as error:
            raise MailFolderError(f"{name}/mail.toml", f"{source!r} is no template: {error.message}") from None
        template.name = f"{name}/mail.toml"
        return template

    def _compile(self, folder: MailFolder, locale: str) -> _Compiled:
        name = folder.mail.name
        environment = self._environments[locale]
        try:
            html = environment.get_template(f"{name}/{BODY_HTML}") if folder.has_html else None
            return _Compiled(
                environment.get_template(f"{name}/{SUBJECT}"), environment.get_template(f"{name}/{BODY_TEXT}"), html
            )
        except TemplateSyntaxError as error:
            raise MailFolderError(f"{error.filename or error.name}:{error.lineno}", f"{error.message}") from None
        except TemplateError as error:
            raise MailFolderError(str(folder.path), f"{type(error).__name__}: {error.message}") from None


def shipped_templates() -> Path:
    """Return where the shipped mails are: inside the installed package, or at the root of a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "_templates"
    return installed if installed.is_dir() else package.parent / "templates"


def _facts(event: ReceivedEvent | Mapping[str, object]) -> dict[str, object]:
    if isinstance(event, Mapping):
        return {name: event[name] for name in _FACTS if name in event}
    return {
        "event_id": str(event.event_id),
        "type": event.type,
        "aggregate_type": event.aggregate_type,
        "aggregate_id": event.aggregate_id,
    }
