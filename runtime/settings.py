"""Settings: the environment over `outbox.toml` over defaults, one frozen model a process.

Whole or not at all: every wrong value and every unknown key is reported at once, with what it should be. A misspelt
key is refused, because the default that would be used in its place is what nobody finds in an incident.
"""

import difflib
import importlib
import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from runtime.dsn import SecretDsn
from runtime.errors import SettingsError
from runtime.kafka_options import refusals
from runtime.secrets import Options, SecretUrl

__all__ = ["DatabaseSettings", "KafkaOptions", "ProcessSettings", "SecretDsn", "SecretUrl", "field_name", "variable"]

PREFIX: Final = "OUTBOX_"
CONFIG: Final = "outbox.toml"

# Where the settings models of our processes are: their union is what may be set. By name, for `runtime` imports
# neither; a part that is not installed is known by the beginning of its keys.
KNOWN_MODELS: Final = (
    ("relay.settings", "RelaySettings", ("relay_", "topic_", "topics_")),
    ("mailer.settings", "MailerSettings", ("mail_", "mailer_", "celery_")),
    ("console.settings", "ConsoleSettings", ("console_",)),
)
# Read before there is a model: where the file is, how devstack provides servers, what the tests want.
KNOWN_ELSEWHERE: Final = ("config", "provider")
KNOWN_PREFIXES: Final = ("test_", "dev_", "demo_")


def _stringified(value: object) -> object:
    """Return options with numbers and booleans as librdkafka writes them: TOML has types, librdkafka has strings."""
    if not isinstance(value, Mapping):
        return value
    return {str(name): _scalar(one) for name, one in value.items()}


def _scalar(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _allowed(value: dict[str, str]) -> dict[str, str]:
    if refused := refusals(value):
        raise ValueError("; ".join(refused))
    return Options(value)


def _lowered(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


KafkaOptions = Annotated[
    dict[str, str],
    BeforeValidator(_stringified),
    AfterValidator(_allowed),
    PlainSerializer(lambda options: dict(Options(options).masked())),
]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lowered)]


class DatabaseSettings(BaseSettings):
    """What every command is told: where PostgreSQL is, and how to log."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    database_url: SecretDsn = Field(description="PostgreSQL, as `postgresql://user:password@host:5432/database`.")
    log_format: Literal["console", "json"] = Field(
        "console", description="`console` for people, `json` for programs: one object a line, on stderr."
    )
    log_level: LogLevel = Field("info", description="`debug`, `info`, `warning` or `error`; `debug` shows tracebacks.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the form is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the constructor's arguments as the only source: `load` reads the others, from where it is told."""
        return (init_settings,)

    @classmethod
    def load(cls, env: Mapping[str, str], config: Path | None = None) -> Self:
        """Return the settings in *env* over those in *config*, or raise one error that names every wrong key.

        Without *config* it is the file that `OUTBOX_CONFIG` names, or `outbox.toml` in the working directory if there.
        """
        path, values = _from_file(env, config)
        sources = {name: f"{name} in {path}" for name in values}
        problems = [*_unknown_in_file(cls, values, path), *_unknown_in_env(cls, env)]
        values = {name: value for name, value in values.items() if name in cls.model_fields}
        for name, field in cls.model_fields.items():
            if (text := env.get(variable(name))) is not None:
                values[name], sources[name] = _parsed(text, field.annotation), variable(name)
        try:
            settings = cls(**values)
        except ValidationError as error:
            problems += [_worded(cls, problem, values, sources) for problem in error.errors(include_url=False)]
        else:
            if not problems:
                return settings
        raise SettingsError(tuple(problems)) from None


class ProcessSettings(DatabaseSettings):
    """What every long-running process is told: also where Kafka is, and where to serve its metrics."""

    kafka_bootstrap: str = Field(min_length=1, description="Kafka's brokers, as `host:port,host:port`.")
    kafka_options: KafkaOptions = Field(
        default_factory=dict,
        description="Options for librdkafka (TLS, SASL, …), as a JSON object or a table in `outbox.toml`; "
        "those that the guarantee rests on are refused.",
    )
    metrics_host: str = Field("127.0.0.1", description="Address of `/metrics`, `/livez` and `/readyz`.")
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port of `/metrics`, `/livez` and `/readyz`; 0 takes a free one and logs it, none serves nothing.",
    )


def variable(field: str) -> str:
    """Return the environment variable of a field."""
    return PREFIX + field.upper()


def field_name(key: str) -> str:
    """Return the field of an environment variable."""
    return key.removeprefix(PREFIX).lower()


def _from_file(env: Mapping[str, str], config: Path | None) -> tuple[Path, dict[str, Any]]:
    named = config or (Path(env[variable("config")]) if env.get(variable("config")) else None)
    path = named or Path(CONFIG)
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if named is None:
            return path, {}
        raise SettingsError(
            (f"expected OUTBOX_CONFIG to name a file, got {str(path)!r}, which does not exist",)
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise SettingsError((f"cannot read settings from {path}: {reason}",)) from None


def _unknown_in_file(cls: type[BaseSettings], values: Mapping[str, Any], path: Path) -> Iterator[str]:
    known = _known(cls)
    for name in values:
        if not _is_known(name, known):
            yield f"unknown setting {name!r} in {path}{_did_you_mean(name, known)}"


def _unknown_in_env(cls: type[BaseSettings], env: Mapping[str, str]) -> Iterator[str]:
    known = _known(cls)
    for key in sorted(env):
        if key.startswith(PREFIX) and (key != key.upper() or not _is_known(field_name(key), known)):
            yield f"unknown setting {key}{_did_you_mean(field_name(key), known, shown=variable)}"


_PLAINER: Final = {
    "int_parsing": "a whole number",
    "float_parsing": "a number",
    "bool_parsing": "true or false",
    "dict_type": "a JSON object",
    "list_type": "a JSON array",
    "string_too_short": "something, not an empty string",
}


def _known(cls: type[BaseSettings]) -> frozenset[str]:
    """Return every field that any of our processes has: all of them may read one environment and one file."""
    names = {*cls.model_fields, *ProcessSettings.model_fields, *KNOWN_ELSEWHERE}
    for module, model, _ in KNOWN_MODELS:
        if loaded := _model(module, model):
            names.update(loaded.model_fields)
    return frozenset(names)


def _is_known(name: str, known: frozenset[str]) -> bool:
    if name in known or name.startswith(KNOWN_PREFIXES):
        return True
    absent = (beginnings for module, model, beginnings in KNOWN_MODELS if _model(module, model) is None)
    return any(name.startswith(beginning) for beginnings in absent for beginning in beginnings)


def _model(module: str, model: str) -> type[BaseSettings] | None:
    try:
        found: type[BaseSettings] = getattr(importlib.import_module(module), model)
    except ModuleNotFoundError:
        return None
    return found


def _did_you_mean(name: str, known: frozenset[str], *, shown: Callable[[str], str] = str) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f": did you mean {shown(close[0])}?" if close else ""


def _parsed(text: str, annotation: object) -> object:
    """Return *text* as the environment means it: JSON where the field holds more than one value."""
    if not _holds_many(annotation):
        return None if text == "" and type(None) in get_args(annotation) else text
    try:
        return json.loads(text)
    except ValueError:
        return text  # validation then says what was expected


def _holds_many(annotation: object) -> bool:
    if get_origin(annotation) is Annotated:
        return _holds_many(get_args(annotation)[0])
    return (get_origin(annotation) or annotation) in {dict, list, tuple, set, frozenset}


def _worded(
    cls: type[BaseSettings], problem: ErrorDetails, given: Mapping[str, object], sources: Mapping[str, str]
) -> str:
    """Return the sentence for one thing that validation found."""
    name = str(problem["loc"][0]) if problem["loc"] else ""
    field = cls.model_fields.get(name)
    where = sources.get(name, variable(name)) + "".join(f"[{part!r}]" for part in problem["loc"][1:])
    if problem["type"] == "missing":
        return f"{where} is required: {field.description if field else ''}".rstrip(": .")
    if problem["type"] == "value_error":  # ours: it names the value itself, where it may be shown
        return f"{where}: {problem['msg'].removeprefix('Value error, ')}"
    said = problem["msg"].removeprefix("Input should be ").removeprefix("Input should have ")
    said = _PLAINER.get(problem["type"], said[:1].lower() + said[1:])
    value = given.get(name)
    # Within options any value may be secret, and an address always is.
    shown = field is not None and len(problem["loc"]) == 1 and not _is_secret(field.annotation)
    return f"{where}: expected {said}" + (f", got {value!r}" if shown and isinstance(value, str | int | float) else "")


def _is_secret(annotation: object) -> bool:
    kinds = (annotation, *get_args(annotation))
    return _holds_many(annotation) or any(
        isinstance(kind, type) and issubclass(kind, SecretUrl | SecretStr) for kind in kinds
    )
