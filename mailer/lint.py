"""What is wrong with a library of mails, found before a reader does: each mail, with each sample, in each language.

Findings read like a compiler's: file, line, rule, what is wrong, and how to put it right. The rules that need nothing
but a file are here; those about what a reader would see are in `lint_rendered.py`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, nodes
from jinja2.exceptions import TemplateSyntaxError

from mailer.errors import MailFolderError
from mailer.lint_finding import Finding
from mailer.lint_rendered import lint_rendered
from mailer.mail_folders import BODY_HTML, BODY_TEXT, MAIL_TOML, SAMPLES, SUBJECT, MailFolder, mail_names, read_sample
from mailer.rendering import Library, shipped_templates

__all__ = ["Finding", "lint"]

_GIVEN = frozenset(("payload", "event", "brand", "locale"))
_SET_BY_JINJA = frozenset(("self", "super", "loop", "caller", "varargs", "kwargs"))
_TEMPLATES = frozenset((SUBJECT, BODY_TEXT, BODY_HTML))
_NEEDED_SAMPLES = ("typical", "longest")
_AT_LINE = re.compile(r"(.*?):(\d+)")
_TOML_LINE = re.compile(r"\(at line (\d+),")
_TOML_KEY = re.compile(r"(?:expected|unknown key) '?(\w+)")
_LOCALE_FOLDER = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*")
_REMOTE = re.compile(
    r"<\s*(link|script|iframe|object|embed|form)\b|@import|url\(\s*['\"]?(?:https?:|file:)", re.IGNORECASE
)
_UNCHECKED_LINK = re.compile(r"""\b(?:href|src)\s*=\s*["']?\s*\{\{(?P<inner>[^}]*)\}\}""")
_IMAGE = re.compile(r"<\s*img\b(?P<attributes>[^>]*)>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _File:
    """One template of a mail."""

    path: Path
    text: str

    def finding(self, line: int, rule: str, problem: str, fix: str) -> Finding:
        """Return a finding at *line* of this file."""
        return Finding(self.path, line, rule, problem, fix)

    def lines(self, pattern: re.Pattern[str]) -> Iterator[tuple[int, re.Match[str]]]:
        """Yield each match of *pattern* with the number of its line."""
        for match in pattern.finditer(self.text):
            yield self.text.count("\n", 0, match.start()) + 1, match


def lint(path: Path | None = None, *, only: str | None = None) -> tuple[Finding, ...]:
    """Return everything that is wrong with the library in *path* (else the shipped one), in the order of its files."""
    root = path or shipped_templates()
    try:
        names = mail_names(root) if only is None else (only,)
    except OSError as error:
        return (Finding(root, 1, "library", f"cannot be read: {error.strerror}", "give a directory of mail folders"),)
    if not names:
        return (Finding(root, 1, "library", "has no mail", "make one with: outbox mail new NAME --event TYPE"),)
    mails = {finding for name in names for finding in _lint_mail(root, name)}
    return tuple(sorted(mails if only else mails.union(_lint_base(root))))


def _lint_base(root: Path) -> Iterator[Finding]:
    """Find in the library's own frame what would be wrong with every mail."""
    for path in sorted((root / "_base").rglob("*.html")):
        yield from _lint_html(_File(path, path.read_text("utf-8")))


def _lint_mail(root: Path, name: str) -> Iterator[Finding]:
    try:
        library = Library.load(root, only=name)
    except MailFolderError as error:
        yield _not_loaded(root, name, error)
        return
    folder = library.folder(name)
    yield from _lint_files(folder)
    yield from _lint_locales(folder)
    environment = library.environment(library.sources.default_locale)
    for file, source in library.sources.files.items():
        if file.startswith(f"{name}/"):
            yield from _lint_template(_File(source, library.sources.texts[file]), environment)
    yield from _lint_samples(folder)
    yield from lint_rendered(library, folder)


def _not_loaded(root: Path, name: str, error: MailFolderError) -> Finding:
    """Return what kept the library from loading, at its line where that is known."""
    where, problem = error.where, error.problem
    line = 1
    if match := _AT_LINE.fullmatch(where):
        where, line = match[1], int(match[2])
    elif match := _TOML_LINE.search(problem):
        line = int(match[1])
    path = Path(where) if Path(where).is_absolute() else root / where
    if match is None and path.name == MAIL_TOML and (match := _TOML_KEY.match(problem)):
        line = _line_of_key(path, match[1])
    missing = "missing" in problem
    rule = "missing-file" if missing and path.name != MAIL_TOML else "mail-toml" if path.name == MAIL_TOML else "syntax"
    fix = f"outbox mail new shows a complete folder; compare it with {name}/" if missing else "correct it at this line"
    return Finding(path, line, rule, problem, fix)


def _line_of_key(path: Path, key: str) -> int:
    """Return where a `mail.toml` has *key*, else its first line."""
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    return next((number for number, text in enumerate(lines, 1) if re.match(rf"\s*{key}\s*=", text)), 1)


def _lint_files(folder: MailFolder) -> Iterator[Finding]:
    """Find files that nothing reads: a misspelt name would leave a mail without its German body."""
    for path in sorted(folder.path.rglob("*")):
        inner = path.relative_to(folder.path)
        if not path.is_file() or inner.parts[0] == SAMPLES or inner.as_posix() == MAIL_TOML:
            continue
        known = path.name in _TEMPLATES and len(inner.parts) <= 2  # noqa: PLR2004  # of the mail, or of a language
        if not known:
            problem = "is read by nothing"
            yield Finding(
                path, 1, "unknown-file", problem, f"name it one of {', '.join(sorted(_TEMPLATES))}, or remove it"
            )


def _lint_locales(folder: MailFolder) -> Iterator[Finding]:
    """Find languages that have only a part of the files: their mails would mix two languages."""
    needed = sorted(_TEMPLATES if folder.has_html else _TEMPLATES - {BODY_HTML})
    for locale in folder.locales:
        if not _LOCALE_FOLDER.fullmatch(locale):
            fix = "name it like de or de-at, in lower case with a hyphen"
            yield Finding(folder.path / locale, 1, "locale-name", f"{locale!r} is no language", fix)
        for name in needed:
            if not (folder.path / locale / name).is_file():
                fix = f"add it, or remove {locale}/"
                yield Finding(
                    folder.path / locale / name, 1, "partial-locale", "is missing: the mail would mix languages", fix
                )


def _lint_template(file: _File, environment: Environment) -> Iterator[Finding]:
    yield from _lint_names(file, environment)
    if file.path.suffix == ".html":
        yield from _lint_html(file)


def _lint_names(file: _File, environment: Environment) -> Iterator[Finding]:
    """Find names that nobody gives, also in branches that no sample takes, and switched-off escaping."""
    try:
        tree = environment.parse(file.text)
    except TemplateSyntaxError:  # pragma: no cover  # the library would not have loaded
        return
    given = _GIVEN | _SET_BY_JINJA | frozenset(environment.globals) | _assigned(tree)
    for node in tree.find_all(nodes.Name):
        if node.ctx == "load" and node.name not in given:
            fix = f"a template has {', '.join(sorted(_GIVEN))}; did you mean payload.{node.name}?"
            yield file.finding(node.lineno, "unknown-name", f"{node.name!r} is defined nowhere", fix)
    for filtered in tree.find_all(nodes.Filter):
        if filtered.name == "safe":
            fix = "leave it out: values come from outside, and could be markup"
            yield file.finding(filtered.lineno, "unescaped", "`safe` switches escaping off", fix)
    for scope in tree.find_all(nodes.ScopedEvalContextModifier):
        fix = "leave it out: HTML is escaped, text is not, and both are right"
        yield file.finding(scope.lineno, "unescaped", "`autoescape` is switched", fix)


def _assigned(tree: nodes.Template) -> frozenset[str]:
    """Return the names that the template makes itself: by set, for, macro arguments and imports."""
    stored = {node.name for node in tree.find_all(nodes.Name) if node.ctx in ("store", "param")}
    macros = {node.name for node in tree.find_all(nodes.Macro)}
    imported = {
        name if isinstance(name, str) else name[1] for node in tree.find_all(nodes.FromImport) for name in node.names
    }
    modules = {node.target for node in tree.find_all(nodes.Import)}
    return frozenset(stored | macros | imported | modules)


def _lint_html(file: _File) -> Iterator[Finding]:
    for line, match in file.lines(_REMOTE):
        fix = "mail clients load nothing of it: put styles into _base/layout.html, and link instead of embedding"
        yield file.finding(line, "remote-resource", f"{match[0].strip()!r} asks for something from elsewhere", fix)
    for line, match in file.lines(_UNCHECKED_LINK):
        if not re.search(r"\|\s*link\b", match["inner"]):
            fix = "write {{ … | link }}, which refuses what is not https"
            yield file.finding(line, "unchecked-link", "a link is made of a value that nobody checked", fix)
    for line, match in file.lines(_IMAGE):
        if not re.search(r"\balt\s*=", match["attributes"], re.IGNORECASE):
            fix = 'say what it shows with alt="…", or alt="" where it is decoration'
            yield file.finding(line, "image-alt", "an image without alt shows nothing where images are off", fix)


def _lint_samples(folder: MailFolder) -> Iterator[Finding]:
    there = {path.stem for path in folder.samples}
    for name in _NEEDED_SAMPLES:
        if name not in there:
            fix = "add it: a payload as hosts insert it; in `longest`, every value as long as it can get"
            yield Finding(folder.path / SAMPLES / f"{name}.json", 1, "sample", "is missing", fix)
    for path in folder.samples:
        try:
            read_sample(path)
        except MailFolderError as error:
            match = _AT_LINE.fullmatch(error.where)
            yield Finding(
                path, int(match[2]) if match else 1, "sample", error.problem, "write the payload as a JSON object"
            )
