"""What people see who click on "unsubscribe": a question, and what came of it, in English or German.

No page says whose link it is, loads anything, or runs anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_PAGE: Final = """<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{title}</title><style>
:root {{ color-scheme: light dark; --accent: #2f5bd7;
  --back: #eef0f4; --card: #fcfcfd; --text: #1d2430; --dim: #586173; }}
@media (prefers-color-scheme: dark) {{ :root {{ --back: #14171d; --card: #1f242d; --text: #e7eaf0; --dim: #a3acbd; }} }}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--back); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }}
main {{ box-sizing: border-box; width: min(30rem, 100% - 2rem); padding: 2rem 2.25rem; background: var(--card);
  border-top: 4px solid var(--accent); border-radius: 10px; }}
h1 {{ margin: 0 0 .75rem; font-size: 1.4rem; line-height: 1.3; }}
p {{ margin: 0 0 1rem; }} p:last-child {{ margin: 0; }}
.dim {{ color: var(--dim); font-size: .9rem; }}
button {{ font: inherit; font-weight: 600; padding: .7rem 1.5rem; border: 0; border-radius: 8px; cursor: pointer;
  color: #fcfcfd; background: var(--accent); }}
button:focus-visible {{ outline: 3px solid var(--text); outline-offset: 2px; }}
</style></head><body><main><h1>{title}</h1>{body}</main></body></html>
"""


@dataclass(frozen=True, slots=True)
class _Words:
    ask: str
    ask_text: str
    button: str
    done: str
    done_text: str
    kept: str
    unknown: str
    unknown_text: str


_WORDS: Final[Mapping[str, _Words]] = {
    "en": _Words(
        "Unsubscribe?",
        "You will get no more messages of this kind.",
        "Unsubscribe",
        "You are unsubscribed",
        "You will get no more messages of this kind.",
        "Messages that keep your account safe still come.",
        "This link does not work",
        "It may have been cut off. Use the one in the newest message.",
    ),
    "de": _Words(
        "Abmelden?",
        "Sie erhalten dann keine Nachrichten dieser Art mehr.",
        "Abmelden",
        "Sie sind abgemeldet",
        "Sie erhalten keine Nachrichten dieser Art mehr.",
        "Nachrichten, die Ihr Konto schützen, kommen weiterhin.",
        "Dieser Link funktioniert nicht",
        "Vielleicht wurde er abgeschnitten. Nehmen Sie den aus der neuesten Nachricht.",
    ),
}
_DEFAULT: Final = "en"


def language(accepted: str) -> str:
    """Return the language of ours that comes first in *accepted*, an Accept-Language; browsers list the best first."""
    for wanted in accepted.split(","):
        name = wanted.partition(";")[0].strip().lower().partition("-")[0]
        if name in _WORDS:
            return name
    return _DEFAULT


def ask(tongue: str) -> str:
    """Return the page that asks for a click: whatever follows links by itself must not unsubscribe anybody."""
    words = _WORDS[tongue]
    form = f'<form method="post"><button>{words.button}</button></form>'
    return _page(tongue, words.ask, f"<p>{words.ask_text}</p><p class=dim>{words.kept}</p>{form}")


def done(tongue: str) -> str:
    """Return the page that says that it was done."""
    words = _WORDS[tongue]
    return _page(tongue, words.done, f"<p>{words.done_text}</p><p class=dim>{words.kept}</p>")


def unknown(tongue: str) -> str:
    """Return the page for a link that we did not sign."""
    words = _WORDS[tongue]
    return _page(tongue, words.unknown, f"<p>{words.unknown_text}</p>")


def _page(tongue: str, title: str, body: str) -> str:
    return _PAGE.format(language=tongue, title=title, body=body)
