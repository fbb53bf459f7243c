"""The folders of a template library, read once: which mails there are, in which languages, and the text of each file.

    role_upgrade/  mail.toml  subject.txt  body.txt  body.html  de/subject.txt …  samples/typical.json …
    _base/         brand.toml  layout.html  layout.txt  de/layout.html …

A file is looked up in the language's folder first, then beside it: a template that extends `_base/layout.html` gets
the German one in a German mail. `_base` files that a library of one's own lacks are taken from the shipped one.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from jinja2 import BaseLoader, Environment, TemplateNotFound

from mailer.errors import MailFolderError
from mailer.mail import Mail, is_mail_name, mail_from_toml

SUBJECT, BODY_TEXT, BODY_HTML = "subject.txt", "body.txt", "body.html"
MAIL_TOML = "mail.toml"
SAMPLES = "samples"
_BASE = "_base"
_SUFFIXES = frozenset((".txt", ".html"))


@dataclass(frozen=True, slots=True)
class MailFolder:
    """One mail's folder: what it says of itself, its languages, and its samples (payloads to try it with)."""

    mail: Mail
    path: Path
    has_html: bool
    locales: tuple[str, ...]
    samples: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that a library is made of. *files* has each template's path by its name in the library."""

    path: Path
    folders: Mapping[str, MailFolder]
    files: Mapping[str, Path]
    texts: Mapping[str, str]
    brand: Mapping[str, object]

    @property
    def default_locale(self) -> str:
        """Return the language of the files that are in no language's folder."""
        return str(self.brand.get("locale", "en"))


class LocalizedLoader(BaseLoader):
    """Loads a template from the folder of one language where it is there, else from beside it."""

    def __init__(self, sources: Sources, locale: str) -> None:
        """Look in *locale* first, then in its parent (`de` of `de-at`), then beside them."""
        self._sources = sources
        self._chain = (*_ancestry(locale), "")

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, None]:
        """Return the text of *template* and the path of the file that it came from."""
        del environment
        folder, _, file = template.partition("/")
        for locale in self._chain:
            name = f"{folder}/{locale}/{file}" if locale else template
            if name in self._sources.texts:
                return self._sources.texts[name], str(self._sources.files[name]), None
        raise TemplateNotFound(template)


def mail_names(path: Path) -> tuple[str, ...]:
    """Return the folders of *path* that are meant as mails."""
    return tuple(sorted(entry.name for entry in path.iterdir() if entry.is_dir() and entry.name[0] not in "._"))


def read_sources(path: Path, *, shipped: Path, only: str | None = None) -> Sources:
    """Return the library in *path*, or the mail *only* of it; raise MailFolderError naming the first wrong file."""
    if not path.is_dir():
        error = MailFolderError(str(path), "expected a directory of mail folders, found none")
        error.add_note(
            "set mail_templates (OUTBOX_MAIL_TEMPLATES) to one, or leave it out for the mails that are shipped"
        )
        raise error
    files = {**dict(_templates(shipped / _BASE, shipped)), **dict(_templates(path, path))}
    texts = {name: _text(file) for name, file in files.items()}
    base = _digest(sorted((name, text) for name, text in texts.items() if name.startswith(f"{_BASE}/")))
    names = mail_names(path) if only is None else (only,)
    folders = {name: _folder(path / name, texts=texts, base=base) for name in names}
    own = path / _BASE / "brand.toml"
    return Sources(path, folders, files, texts, _toml(own if own.is_file() else shipped / _BASE / "brand.toml"))


def normal_locale(locale: str) -> str:
    """Return *locale* as folders are named: `de-at` of `de_AT`."""
    return locale.replace("_", "-").lower()


def best_locale(wanted: str | None, offered: tuple[str, ...]) -> str | None:
    """Return the first of *offered* that *wanted* or one of its parents names, or nothing."""
    return next((locale for locale in _ancestry(wanted or "") if locale in offered), None)


def read_sample(path: Path) -> dict[str, object]:
    """Return the payload that a sample holds."""
    try:
        payload = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise MailFolderError(f"{path}:{error.lineno}", f"expected JSON: {error.msg}") from None
    if not isinstance(payload, dict):
        raise MailFolderError(str(path), "expected a JSON object, the payload of an event")
    return payload


def _ancestry(locale: str) -> Iterator[str]:
    """Yield `de-at`, then `de`."""
    locale = normal_locale(locale)
    while locale:
        yield locale
        locale = locale.rpartition("-")[0]


def _templates(folder: Path, root: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(root).as_posix()
        if file.suffix in _SUFFIXES and file.is_file() and f"/{SAMPLES}/" not in name:
            yield name, file


def _folder(path: Path, *, texts: Mapping[str, str], base: str) -> MailFolder:
    name = path.name
    if not is_mail_name(name):
        raise MailFolderError(str(path), "expected a folder name of lower-case letters, digits and _, 63 at most")
    if not (path / MAIL_TOML).is_file():
        raise MailFolderError(str(path / MAIL_TOML), "is missing; it says which event the mail answers")
    own = sorted((file, text) for file, text in texts.items() if file.startswith(f"{name}/"))
    for needed in (SUBJECT, BODY_TEXT):
        if f"{name}/{needed}" not in texts:
            raise MailFolderError(str(path / needed), "is missing; every mail has a subject and a text body")
    toml = _text(path / MAIL_TOML)
    return MailFolder(
        mail=mail_from_toml(name, _toml(path / MAIL_TOML), version=_digest([(MAIL_TOML, toml), *own, ("", base)])),
        path=path,
        has_html=f"{name}/{BODY_HTML}" in texts,
        locales=tuple(sorted({file.split("/")[1] for file, _ in own if file.count("/") == 2})),  # noqa: PLR2004
        samples=tuple(sorted((path / SAMPLES).glob("*.json"), key=_sample_order)),
    )


def _sample_order(path: Path) -> tuple[int, str]:
    """Return where a sample stands: what a reader usually gets comes first."""
    return ("typical", "longest", path.stem).index(path.stem), path.stem


def _digest(files: list[tuple[str, str]]) -> str:
    """Return a short name for what *files* say, so that a delivery tells which version of its mail it carried."""
    return sha256(json.dumps(files).encode()).hexdigest()[:12]


def _toml(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise MailFolderError(str(path), f"expected TOML: {error}") from None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise MailFolderError(str(path), "expected text in UTF-8") from None
    except OSError as error:
        raise MailFolderError(str(path), f"cannot be read: {error.strerror}") from error
