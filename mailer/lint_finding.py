"""One thing that is wrong with a mail, and how to put it right."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# What each rule finds. The documentation lists them, and a test has a mail for each that trips it.
RULES: Final[Mapping[str, str]] = {
    "library": "a folder without mails, or one that cannot be read",
    "mail-toml": "a key that is missing, unknown or wrong: also `suppressible` in the lane `security`",
    "syntax": "a template that does not compile",
    "missing-file": "a mail without `subject.txt` or `body.txt`",
    "unknown-file": "a file that nothing reads, such as `body.htm`",
    "locale-name": "a folder that is no language",
    "partial-locale": "a language that has only a part of the files",
    "sample": "a sample that is missing, or is no JSON object",
    "recipient": "a sample that makes no delivery: no address, or a wrong one",
    "unknown-name": "a name that nobody gives, also in a branch that no sample takes",
    "undefined": "a variable that a sample lacks; `name` and `locale` may always be left out",
    "render": "a value that cannot be rendered",
    "unescaped": "`safe`, or `autoescape` that is switched",
    "header": "a subject that a value can break into two lines",
    "subject-length": "a subject of more than 120 characters",
    "text-empty": "a text body with nothing in it",
    "text-lacks-link": "a link of the HTML body that the text body lacks",
    "link-not-https": "a link that is not an absolute `https://`",
    "unchecked-link": "a link made of a value without `link`",
    "remote-resource": "scripts, frames, forms, stylesheets and images in CSS, which mail clients do not load",
    "image-alt": "an image without `alt`",
    "html-size": "HTML of more than 100,000 bytes, which Gmail clips",
    "html-frame": "HTML without language, title or viewport",
}


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Where, which rule, what, and the fix."""

    path: Path
    line: int
    rule: str
    problem: str
    fix: str

    def __post_init__(self) -> None:
        """Refuse a rule that nobody could look up."""
        if self.rule not in RULES:
            raise ValueError(f"expected a rule of {', '.join(RULES)}, got {self.rule!r}")

    def __str__(self) -> str:
        """Return the finding as editors and people read it."""
        return f"{self.path}:{self.line}: {self.rule}: {self.problem}\n    fix: {self.fix}"
