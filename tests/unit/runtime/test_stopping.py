import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from runtime.stopping import StopSignal


@pytest.fixture
def stop() -> Iterator[StopSignal]:
    former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    made = StopSignal()
    yield made
    made.close()
    for number, handler in former.items():
        signal.signal(number, handler)


def test_a_wait_ends_when_its_time_is_over(stop: StopSignal) -> None:
    assert stop.wait(0.01) is False
    assert stop.wait(0) is False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_wait_at_once(stop: StopSignal, number: signal.Signals) -> None:
    stop.install()
    began = time.monotonic()
    threading.Timer(0.05, os.kill, (os.getpid(), number)).start()

    assert stop.wait(30) is True

    assert time.monotonic() - began < 5
    assert stop.is_set()


def test_every_waiter_is_woken(stop: StopSignal) -> None:
    woken: list[bool] = []
    waiters = [threading.Thread(target=lambda: woken.append(stop.wait(30))) for _ in range(3)]
    for waiter in waiters:
        waiter.start()

    stop.set()
    stop.set()

    for waiter in waiters:
        waiter.join(5)
    assert woken == [True, True, True]


def test_a_second_interrupt_does_not_wait(stop: StopSignal) -> None:
    stop.install()
    os.kill(os.getpid(), signal.SIGINT)
    assert stop.wait(5)

    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
