import pickle
import traceback
from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from runtime.errors import SettingsError
from runtime.exits import ExitCode
from runtime.settings import ProcessSettings

DSN = "postgresql://host:s3cret@db.example:5433/shop"
ENOUGH = {"OUTBOX_DATABASE_URL": DSN, "OUTBOX_KAFKA_BOOTSTRAP": "kafka:9092"}


class Settings(ProcessSettings):
    page_rows: int = Field(100, ge=1, description="Rows.")
    policies: dict[str, str] = Field(default_factory=dict, description="By topic.")


def problems_of(env: dict[str, str], config: Path | None = None) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as refused:
        Settings.load(env, config)
    return refused.value.problems


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_environment_is_read_over_the_file_over_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "outbox.toml").write_text('page_rows = 7\nlog_level = "debug"\nmetrics_port = 1\n', encoding="utf-8")

    settings = Settings.load(ENOUGH | {"OUTBOX_METRICS_PORT": "9100"})

    assert (settings.page_rows, settings.log_level, settings.metrics_port) == (7, "debug", 9100)
    assert settings.log_format == "console"


def test_the_file_can_be_named(tmp_path: Path) -> None:
    named = tmp_path / "elsewhere.toml"
    named.write_text("page_rows = 9\n", encoding="utf-8")

    assert Settings.load(ENOUGH | {"OUTBOX_CONFIG": str(named)}).page_rows == 9


def test_a_named_file_that_is_missing_is_an_error() -> None:
    assert problems_of(ENOUGH | {"OUTBOX_CONFIG": "nowhere.toml"}) == (
        "expected OUTBOX_CONFIG to name a file, got 'nowhere.toml', which does not exist",
    )


def test_a_file_that_is_no_toml_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "outbox.toml").write_text("page_rows == 7", encoding="utf-8")

    assert problems_of(ENOUGH)[0].startswith("cannot read settings from outbox.toml: Invalid value")


def test_every_wrong_setting_is_reported_at_once() -> None:
    env = {
        "OUTBOX_DATABASE_URL": "mysql://host:s3cret@db/shop",
        "OUTBOX_METRICS_PORT": "many",
        "OUTBOX_PAGE_ROWS": "0",
        "OUTBOX_LOG_LEVL": "info",
    }

    assert problems_of(env) == (
        "unknown setting OUTBOX_LOG_LEVL: did you mean OUTBOX_LOG_LEVEL?",
        "OUTBOX_DATABASE_URL: expected postgresql://user:password@host:5432/database, got mysql://",
        "OUTBOX_KAFKA_BOOTSTRAP is required: Kafka's brokers, as `host:port,host:port`",
        "OUTBOX_METRICS_PORT: expected a whole number, got 'many'",
        "OUTBOX_PAGE_ROWS: expected greater than or equal to 1, got '0'",
    )


def test_an_unknown_key_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outbox.toml").write_text("page_row = 7\n", encoding="utf-8")

    assert problems_of(ENOUGH) == ("unknown setting 'page_row' in outbox.toml: did you mean page_rows?",)


def test_settings_of_the_other_processes_are_known() -> None:
    env = ENOUGH | {"OUTBOX_RELAY_PAGE_ROWS": "10", "OUTBOX_MAIL_DSN": "null:"}

    assert Settings.load(env).page_rows == 100


def test_a_misspelt_setting_of_another_process_is_refused() -> None:
    assert problems_of(ENOUGH | {"OUTBOX_RELAY_PAGE_ROW": "1"}) == (
        "unknown setting OUTBOX_RELAY_PAGE_ROW: did you mean OUTBOX_RELAY_PAGE_ROWS?",
    )


@pytest.mark.parametrize("key", ["OUTBOX_PROVIDER", "OUTBOX_TEST_CRASH_AT"])
def test_keys_that_are_read_elsewhere_are_known(key: str) -> None:
    assert Settings.load(ENOUGH | {key: "x"}).page_rows == 100


def test_a_key_that_only_begins_like_a_known_one_is_refused() -> None:
    assert problems_of(ENOUGH | {"OUTBOX_PROVIDERS": "x"})[0].startswith("unknown setting OUTBOX_PROVIDERS")


def test_a_lower_case_key_is_not_taken_for_another() -> None:
    assert problems_of(ENOUGH | {"OUTBOX_log_level": "debug"})[0].startswith("unknown setting OUTBOX_log_level")


def test_settings_cannot_be_changed() -> None:
    settings = Settings.load(ENOUGH)

    with pytest.raises(ValidationError, match="frozen"):
        settings.page_rows = 3


def test_options_are_json_in_the_environment() -> None:
    settings = Settings.load(ENOUGH | {"OUTBOX_KAFKA_OPTIONS": '{"linger.ms": 5, "socket.keepalive.enable": true}'})

    assert settings.kafka_options == {"linger.ms": "5", "socket.keepalive.enable": "true"}


def test_options_are_a_table_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "outbox.toml").write_text('[kafka_options]\n"linger.ms" = 5\n', encoding="utf-8")

    assert Settings.load(ENOUGH).kafka_options == {"linger.ms": "5"}


def test_options_that_are_no_json_are_not_repeated() -> None:
    assert problems_of(ENOUGH | {"OUTBOX_KAFKA_OPTIONS": "sasl.password=hush"}) == (
        "OUTBOX_KAFKA_OPTIONS: expected a JSON object",
    )


@pytest.mark.parametrize(
    "option",
    [
        "enable.idempotence",
        "transactional.id",
        "isolation.level",
        "acks",
        "transaction.timeout.ms",
        "partitioner",
        "debug",
    ],
)
def test_an_option_that_the_guarantee_rests_on_is_refused_with_the_reason(option: str) -> None:
    (problem,) = problems_of(ENOUGH | {"OUTBOX_KAFKA_OPTIONS": f'{{"{option}": "x"}}'})

    assert problem.startswith(f"OUTBOX_KAFKA_OPTIONS: '{option}' cannot be set: ")
    assert len(problem.partition("cannot be set: ")[2]) > 20


def test_no_print_of_the_settings_shows_a_secret() -> None:
    settings = Settings.load(ENOUGH | {"OUTBOX_KAFKA_OPTIONS": '{"sasl.password": "s3cret", "ssl.key.pem": "s3cret"}'})

    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()} {settings.database_url!r}"

    assert "s3cret" not in shown
    assert "postgresql://host:***@db.example:5433/shop" in shown
    assert settings.database_url.get_secret_value() == DSN
    assert settings.kafka_options["sasl.password"] == "s3cret"


@pytest.mark.parametrize(
    "dsn",
    ["postgresql://u:s3c@ret@h/db", "postgresql://u:s3c/ret@h/db", "postgresql://u:s3c%ret@h/db", "mysql://u:s3cret@h"],
)
def test_no_error_or_traceback_shows_a_password(dsn: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.load(ENOUGH | {"OUTBOX_DATABASE_URL": dsn})

    text = "".join(traceback.format_exception(refused.value))
    assert "s3c" not in text
    assert "ret@" not in text


def test_the_error_means_wrong_usage_and_survives_pickling() -> None:
    error = SettingsError(("one", "two"))

    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert str(again) == "2 settings are wrong\n  one\n  two"
    assert again.exit_code is ExitCode.USAGE
