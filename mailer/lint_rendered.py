"""The rules about what a reader sees: a mail rendered with every sample in every language.

Each sample is rendered once more without `name` and `locale`, which hosts may leave out.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mailer.errors import HeaderRefusedError, MailFolderError, MalformedEventError, RenderError
from mailer.lint_finding import Finding
from mailer.mail_folders import BODY_HTML, BODY_TEXT, MAIL_TOML, SUBJECT, MailFolder, read_sample
from mailer.rendering import Library, Rendered

# Gmail shows the first 102 KB of a message and hides the rest behind a link.
LARGEST_HTML = 100_000
# Phones show 40 characters of a subject, desktops 70 to 100.
LONGEST_SUBJECT = 120
_OPTIONAL = ("name", "locale")
_SAMPLE_EVENT = {
    "event_id": "00000000-0000-4000-8000-000000000000",
    "aggregate_type": "user",
    "aggregate_id": "42",
}
_LINK = re.compile(r"""\b(?:href|src)\s*=\s*["']([^"']*)["']""", re.IGNORECASE)
_TEXT_LINK = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s<>\"']+", re.IGNORECASE)
_HARMLESS = ("https://", "mailto:", "tel:", "http://localhost", "http://127.0.0.1")
_FRAME = {
    "a language (<html lang=…>)": re.compile(r"<html\b[^>]*\blang\s*=", re.IGNORECASE),
    "a title": re.compile(r"<title>\s*[^<\s]", re.IGNORECASE),
    "a viewport, without which phones show it tiny": re.compile(r"<meta\b[^>]*\bviewport\b", re.IGNORECASE),
}


@dataclass(frozen=True, slots=True)
class _Case:
    """One sample in one language, and the files it is made of."""

    library: Library
    folder: MailFolder
    sample: str
    locale: str

    def path(self, file: str) -> Path:
        """Return the file that this language's *file* is."""
        localized = self.folder.path / self.locale / file
        return localized if localized.is_file() else self.folder.path / file

    def finding(self, file: str, rule: str, problem: str, fix: str, *, at: str = "") -> Finding:
        """Return a finding in *file*, at the line that has the text *at* where it can be found."""
        path = self.path(file)
        line = 1
        if at and path.is_file():
            lines = path.read_text("utf-8").splitlines()
            line = next((number for number, text in enumerate(lines, 1) if at in text), 1)
        return Finding(path, line, rule, f"{problem} (sample {self.sample}, {self.locale})", fix)


def sample_event(folder: MailFolder) -> dict[str, object]:
    """Return the event that a sample is the payload of."""
    return {**_SAMPLE_EVENT, "type": folder.mail.event}


def lint_rendered(library: Library, folder: MailFolder) -> Iterator[Finding]:
    """Yield what is wrong with the mail as it is read."""
    for sample in folder.samples:
        try:
            payload = read_sample(sample)
        except MailFolderError:
            continue  # found already, with its line
        bare = {key: value for key, value in payload.items() if key not in _OPTIONAL}
        yield from _lint_recipient(library, folder, payload, sample)
        for locale in library.locales_of(folder.mail.name):
            yield from _lint_case(_Case(library, folder, sample.stem, locale), payload)
            yield from _lint_case(_Case(library, folder, f"{sample.stem} without name and locale", locale), bare)


def _lint_recipient(
    library: Library, folder: MailFolder, payload: Mapping[str, object], sample: Path
) -> Iterator[Finding]:
    try:
        library.recipient_and_locale(folder.mail, {**sample_event(folder), "payload": payload})
    except MalformedEventError as error:
        if error.reason in ("no_recipient", "bad_address"):
            fix = f"correct `to` in {MAIL_TOML}, or the address in the sample"
            yield Finding(sample, 1, "recipient", f"makes no delivery: {error.detail}", fix)


def _lint_case(case: _Case, payload: Mapping[str, object]) -> Iterator[Finding]:
    mail = case.folder.mail
    try:
        rendered = case.library.render(mail.name, payload=payload, event=sample_event(case.folder), locale=case.locale)
    except RenderError as error:
        yield _not_rendered(case, error)
        return
    except HeaderRefusedError as error:
        fix = "keep the subject on one line, and pass names through | person"
        yield case.finding(SUBJECT, "header", error.problem, fix)
        return
    yield from _lint_subject(case, rendered.subject)
    yield from _lint_text(case, rendered)
    if rendered.html is not None:
        yield from _lint_html(case, rendered.html, rendered.text)


def _not_rendered(case: _Case, error: RenderError) -> Finding:
    path = case.library.sources.files.get(error.template, case.folder.path / error.template.partition("/")[2])
    problem = f"{error.problem} (sample {case.sample}, {case.locale})"
    if error.variable:
        fix = f'give {error.variable} in the sample, or write it optional: payload.{error.variable} | default("")'
        return Finding(path, error.line or 1, "undefined", problem, fix)
    return Finding(path, error.line or 1, "render", problem, "correct the template at this line, or the sample's value")


def _lint_subject(case: _Case, subject: str) -> Iterator[Finding]:
    if len(subject) > LONGEST_SUBJECT:
        problem = f"the subject has {len(subject)} characters, expected {LONGEST_SUBJECT} at most"
        yield case.finding(SUBJECT, "subject-length", problem, "shorten it, or cut a value with | truncate(60)")


def _lint_text(case: _Case, rendered: Rendered) -> Iterator[Finding]:
    if not rendered.text.strip():
        fix = "write what the mail says: some readers see nothing else"
        yield case.finding(BODY_TEXT, "text-empty", "the text body is empty", fix)
    for link in _TEXT_LINK.findall(rendered.text):
        yield from _lint_link(case, BODY_TEXT, link)


def _lint_html(case: _Case, html: str, text: str) -> Iterator[Finding]:
    if (size := len(html.encode())) > LARGEST_HTML:
        problem = f"the HTML has {size} bytes, expected {LARGEST_HTML} at most"
        yield case.finding(BODY_HTML, "html-size", problem, "shorten it: Gmail clips a message at 102 KB")
    for missing in (what for what, pattern in _FRAME.items() if not pattern.search(html)):
        fix = 'begin with {% extends "_base/layout.html" %}, which has it'
        yield case.finding(BODY_HTML, "html-frame", f"the HTML lacks {missing}", fix)
    brand = str(case.library.sources.brand.get("url", ""))
    for link in (link.replace("&amp;", "&") for link in _LINK.findall(html)):
        yield from _lint_link(case, BODY_HTML, link)
        if link.startswith("https://") and link not in text and link != brand:
            fix = "say it in the text body too: some readers see nothing else"
            yield case.finding(BODY_TEXT, "text-lacks-link", "a link of the HTML body is not in the text body", fix)


def _lint_link(case: _Case, file: str, link: str) -> Iterator[Finding]:
    if not link.startswith(_HARMLESS):
        scheme = link.partition(":")[0] if ":" in link else link or "an empty link"
        fix = "make it an absolute https:// link"
        yield case.finding(file, "link-not-https", f"a link is not https: {scheme[:20]}", fix, at=link)
