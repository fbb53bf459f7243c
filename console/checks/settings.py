"""Whether the settings of relay and mailer are whole; one that is not configured here runs elsewhere."""

from collections.abc import Iterator

from console.finding import Finding, Surroundings, failed, good, skipped
from runtime.errors import SettingsError
from runtime.settings import ProcessSettings


def check(around: Surroundings) -> Iterator[Finding]:
    """Load both models, keep them for later checks, and yield a line each."""
    from relay.settings import RelaySettings  # noqa: PLC0415 - the doctor alone needs all of them

    yield from _loaded(around, "relay", RelaySettings)
    try:
        from mailer.settings import MailerSettings  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        yield skipped("settings.mailer", f"{missing.name} is not installed here (extra `mailer`)")
        return
    yield from _loaded(around, "mailer", MailerSettings)


def _loaded(around: Surroundings, name: str, model: type[ProcessSettings]) -> Iterator[Finding]:
    check_name = f"settings.{name}"
    try:
        setattr(around, name, model.load(around.env))
    except SettingsError as error:
        if all(" is required" in problem for problem in error.problems):
            missing = ", ".join(problem.partition(" ")[0] for problem in error.problems)
            yield skipped(check_name, f"not configured here: {missing} not set")
        else:
            yield failed(
                check_name,
                expected="known settings with valid values",
                actual="; ".join(error.problems),
                fix="correct them in the environment or in outbox.toml",
            )
    else:
        yield good(check_name, "whole")
