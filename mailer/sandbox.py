"""The sandbox that templates run in, and how one failed: in place and kind, never in a value of the event.

A template can change nothing, an undefined name is an error and never an empty string, and an HTML template escapes.
"""

import re
import traceback
from collections.abc import Mapping

from jinja2 import StrictUndefined, Template, TemplateRuntimeError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mailer import template_filters
from mailer.errors import RenderError
from mailer.mail_folders import LocalizedLoader, Sources

_QUOTED_NAME = re.compile(r"'([A-Za-z_][A-Za-z0-9_]*)'")


class Environment(ImmutableSandboxedEnvironment):
    """The sandbox that templates run in."""

    def getattr(self, obj: object, attribute: str) -> object:
        """Return a mapping's value, never its method: a payload may well have a key named `items` or `values`."""
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        value: object = super().getattr(obj, attribute)
        return value

    def join_path(self, template: str, parent: str) -> str:
        """Return *template*; a text file in an HTML one is refused, for what its macros return would go unescaped."""
        if parent.endswith(".html") and not template.endswith(".html"):
            raise TemplateRuntimeError("an HTML template may use HTML templates only")
        return template


def sandbox(sources: Sources, locale: str) -> Environment:
    """Return what the templates of *locale* are compiled with."""
    environment = Environment(
        loader=LocalizedLoader(sources, locale),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {**template_filters.FILTERS, "moment": template_filters.moment_in(locale)}
    return environment


def run(template: Template, context: Mapping[str, object], *, names: Mapping[str, str]) -> str:
    """Return what *template* makes of *context*; raise RenderError, with its place by *names*."""
    try:
        text = template.render(context)
        # JSON may hold half of a surrogate pair, which no message and no database can.
        text.encode()
    except Exception as error:  # noqa: BLE001  # a template may fail in any way that Python has
        raise _explained(template, error, names) from None
    return text


def _explained(template: Template, error: Exception, names: Mapping[str, str]) -> RenderError:
    """Return *error* with its place in the template, without what it quotes: that may be a value of the event."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in names]
    name, line = (names[frames[-1].filename], frames[-1].lineno) if frames else (template.name or "", None)
    match error:
        case UndefinedError():
            quoted = _QUOTED_NAME.findall(str(error.message))
            variable = quoted[-1] if quoted else None
            return RenderError(name, line, variable or "?", f"{variable or 'a name'!r} is undefined")
        case UnicodeEncodeError():
            return RenderError(name, line, None, "a value has half of a surrogate pair")
        case template_filters.ValueRefusedError():
            return RenderError(name, line, None, f"a value was refused: {error}")
        case _:
            return RenderError(name, line, None, f"{type(error).__name__} while it was rendered")
