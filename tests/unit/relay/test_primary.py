"""A failover is waited for by a service, and not for ever by a drain; what waiting does not help is said at once."""

from typing import TYPE_CHECKING, cast

import pytest

from relay.errors import SourceUnavailableError, StoppedError
from relay.primary import TRIES, first_session

if TYPE_CHECKING:
    from relay.leases import Session

FAILOVER = SourceUnavailableError("session is read-only", failover=True)
AWAY = SourceUnavailableError("nothing listens there")
FOUND = cast("Session", object())


class Servers:
    """Fail with *error* so many *times*, and then answer; a stop comes after *patience* waits, which take no time."""

    def __init__(self, error: SourceUnavailableError, *, times: int = 1_000, patience: int = 100) -> None:
        self.told: list[int] = []
        self.waited: list[float] = []
        self._error = error
        self._times = times
        self._patience = patience

    def is_set(self) -> bool:
        return len(self.waited) > self._patience

    def wait(self, seconds: float) -> bool:
        self.waited.append(seconds)
        return self.is_set()

    def connect(self) -> "Session":
        self._times -= 1
        if self._times >= 0:
            raise self._error
        return FOUND

    def first(self, *, patient: bool) -> "Session":
        return first_session(
            self.connect, stop=self, patient=patient, tell=lambda failures, _reason: self.told.append(failures)
        )


def test_a_service_waits_for_a_promotion_as_long_as_it_takes() -> None:
    servers = Servers(FAILOVER, times=60)

    assert servers.first(patient=True) is FOUND

    assert servers.told == list(range(1, 61))
    assert max(servers.waited) == 1.0


@pytest.mark.parametrize(("error", "patient"), [(FAILOVER, False), (AWAY, False), (AWAY, True)])
def test_everything_else_is_waited_for_some_seconds(error: SourceUnavailableError, *, patient: bool) -> None:
    servers = Servers(error)

    with pytest.raises(SourceUnavailableError):
        servers.first(patient=patient)

    assert len(servers.waited) == TRIES - 1
    assert 5 < sum(servers.waited) < 10


def test_what_waiting_does_not_help_is_said_at_once() -> None:
    servers = Servers(SourceUnavailableError("the password was not accepted", lasting=True))

    with pytest.raises(SourceUnavailableError):
        servers.first(patient=True)

    assert servers.waited == []


def test_a_stop_ends_the_wait() -> None:
    servers = Servers(FAILOVER, patience=3)

    with pytest.raises(StoppedError):
        servers.first(patient=True)

    assert len(servers.waited) == 4
