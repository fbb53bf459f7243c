"""Write `docs/reference/` from the code: settings from their models, commands from typer, metrics from registries.

`python -m console.reference` writes the pages; with `--check` it compares, says which is old, and exits with 1. A page
written by hand says after a while what was true once.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from console import command as root
from console.parts import OWN
from console.settings import ConsoleSettings
from runtime.secrets import SecretUrl
from runtime.settings import DatabaseSettings, ProcessSettings, variable

FOLDER: Final = Path(__file__).parents[1] / "docs" / "reference"
_SETTINGS_INTRO: Final = """\
Each setting is an environment variable, or the same name in lower case and without `OUTBOX_` in `outbox.toml` (in the
working directory, or where `OUTBOX_CONFIG` says). The environment wins over the file, the file over the default.
Unknown settings are refused, every wrong one is reported at once, and no print shows a secret.

```toml
# outbox.toml
kafka_bootstrap = "kafka-1:9092,kafka-2:9092"
relay_poison_policy = "block"

[kafka_options]
"security.protocol" = "SASL_SSL"
```
"""
_COMMANDS_INTRO: Final = """\
Exit codes: 0 done · 1 failed, for the reason printed · 2 wrong usage or setting · 3 stopped to keep the guarantee
· 4 could not be judged (`outbox verify`).
Errors are `error: …` and `fix: …` on stderr; `OUTBOX_LOG_LEVEL=debug` adds the traceback. The shell learns every
command and option from `outbox --install-completion`.
"""
_METRICS_INTRO: Final = """\
`/metrics`, `/livez` and `/readyz` are served where `OUTBOX_METRICS_PORT` says. On the wire counters end in `_total`.
"""
WRITTEN: Final = "<!-- Written by `python -m console.reference`; do not edit. -->\n"


def configuration() -> str:
    """Return the page of every setting."""
    from mailer.settings import MailerSettings  # noqa: PLC0415 - this page alone needs every model
    from relay.settings import RelaySettings  # noqa: PLC0415

    parts = [
        "# Configuration\n",
        WRITTEN,
        _SETTINGS_INTRO,
    ]
    groups: tuple[tuple[str, type[DatabaseSettings], type[DatabaseSettings] | None], ...] = (
        ("Every process", ProcessSettings, None),
        ("Relay", RelaySettings, ProcessSettings),
        ("Mailer", MailerSettings, ProcessSettings),
        ("Operator's commands and console", ConsoleSettings, ProcessSettings),
    )
    for title, model, base in groups:
        inherited = base.model_fields if base else {}
        own = {name: field for name, field in model.model_fields.items() if name not in inherited}
        parts += [
            f"## {title}\n",
            _table(("setting", "type", "default", "what it does"), map(_setting, own, own.values())),
        ]
    return "\n".join([*parts, _refused(), _elsewhere()])


def commands() -> str:
    """Return the page of every command."""
    whole: Any = typer.main.get_command(root.build(None, complete=True))
    lines = [
        "# Commands\n",
        WRITTEN,
        _COMMANDS_INTRO,
    ]
    for part in OWN:
        lines.extend(_command(whole.commands[part.name], f"outbox {part.name}"))
    return "\n".join(lines)


def metrics() -> str:
    """Return the page of every metric and every log event."""
    from prometheus_client import CollectorRegistry  # noqa: PLC0415 - this page alone needs them

    from mailer import telemetry as mailer  # noqa: PLC0415
    from relay import telemetry as relay  # noqa: PLC0415
    from relay.metrics import Metrics  # noqa: PLC0415

    mail = CollectorRegistry()
    mailer.ConsumerMetrics(mail)
    mailer.SweeperMetrics(mail)
    levels = dict(relay.EVENTS)
    return "\n".join(
        [
            "# Metrics and log events\n",
            WRITTEN,
            _METRICS_INTRO,
            "## Relay\n",
            _table(("metric", "type", "labels", "what it is"), _metrics(Metrics().registry)),
            "## Consumer and sweeper\n",
            _table(("metric", "type", "labels", "what it is"), _metrics(mail)),
            "## Log events of the relay\n",
            _table(("event", "level"), ((f"`{name}`", level) for name, level in levels.items())),
            "## Log events of the mailer\n",
            "".join(f"- `{name}`\n" for name in mailer.EVENTS),
        ]
    )


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "configuration.md": configuration,
    "cli.md": commands,
    "metrics.md": metrics,
}


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them; return the exit code."""
    old = [name for name, page in PAGES.items() if _read(name) != page()]
    if "--check" in arguments:
        for name in old:
            sys.stderr.write(
                f"error: docs/reference/{name} is not what the code says\nfix: python -m console.reference\n"
            )
        return 1 if old else 0
    for name in old:
        (FOLDER / name).write_text(PAGES[name](), encoding="utf-8")
        sys.stdout.write(f"wrote docs/reference/{name}\n")
    return 0


def _read(name: str) -> str | None:
    path = FOLDER / name
    return path.read_text(encoding="utf-8") if path.exists() else None


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]] | Any) -> str:  # noqa: ANN401 - any iterable of rows
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return (
        "\n".join([*lines, *(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)])
        + "\n"
    )


def _setting(name: str, field: FieldInfo) -> tuple[str, ...]:
    return f"`{variable(name)}`", _type(field.annotation), _default(field), (field.description or "").strip()


def _type(annotation: Any) -> str:  # noqa: ANN401 - what an annotation may be
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in {Union, UnionType}:
        return " or ".join(_type(one) for one in arguments if one is not type(None))
    if origin is dict or annotation is dict:
        return "object"
    if isinstance(annotation, type) and issubclass(annotation, SecretUrl):
        return "address, secret"
    names = {
        "str": "text",
        "int": "whole number",
        "float": "number",
        "bool": "true or false",
        "Path": "path",
        "SecretStr": "secret",
    }
    return names.get(getattr(annotation, "__name__", ""), "text")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value is PydanticUndefined:
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _refused() -> str:
    from runtime.kafka_options import REFUSED  # noqa: PLC0415 - as above

    rows = ((f"`{name}`", reason) for name, reason in sorted(REFUSED.items()))
    return "## Options of librdkafka that are refused\n\n" + _table(("option", "because"), rows)


def _elsewhere() -> str:
    return "## Read elsewhere\n\n" + _table(
        ("setting", "what it does"),
        (
            ("`OUTBOX_CONFIG`", "Where `outbox.toml` is."),
            ("`OUTBOX_PROVIDER`", "Demo and tests: `embedded`, `container` or `given` servers."),
        ),
    )


def _command(command: Any, path: str, depth: int = 2) -> Iterator[str]:  # noqa: ANN401 - typer's own class is private
    yield f"{'#' * depth} `{path}`\n"
    help_text = "\n".join(line.strip() for line in (command.help or "").strip().splitlines())
    if help_text:
        yield help_text + "\n"
    commands = getattr(command, "commands", None)
    if commands is not None:
        for name, one in commands.items():
            yield from _command(one, f"{path} {name}", depth + 1)
        return
    rows = [_parameter(one) for one in command.params if one.name != "help"]
    if rows:
        yield _table(("argument or option", "default", "what it does"), rows)


def _parameter(parameter: Any) -> tuple[str, ...]:  # noqa: ANN401 - as above
    if parameter.param_type_name == "argument":
        name = f"`{parameter.metavar or parameter.name.upper()}`"
    else:
        name = ", ".join(f"`{option}`" for option in [*parameter.opts, *parameter.secondary_opts])
    unset = parameter.default in {None, False} or callable(parameter.default)
    default = "required" if parameter.required else "" if unset else f"`{parameter.default}`"
    return name, default, (parameter.help or "").strip()


def _metrics(registry: Any) -> Iterator[tuple[str, ...]]:  # noqa: ANN401 - its collectors are private to the library
    for collector in registry._collector_to_names:  # noqa: SLF001 - nothing public tells labels of a metric without samples
        yield f"`{collector._name}`", collector._type, ", ".join(collector._labelnames), collector._documentation  # noqa: SLF001


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
