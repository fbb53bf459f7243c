from datetime import timedelta

from mailer.routing import PROBE_PATIENCE, Breaker, Route, Wait, most, route

MINUTE = timedelta(minutes=1)
OPEN = Breaker("open", MINUTE)
DUE = Breaker("open", timedelta(0))
PROBED = Breaker("half_open", MINUTE)


class Probes:
    def __init__(self, *, granted: bool = True) -> None:
        self.granted = granted
        self.asked: list[str] = []

    def __call__(self, name: str) -> bool:
        self.asked.append(name)
        return self.granted


def test_healthy_transports_are_tried_in_order_and_none_is_probed() -> None:
    probes = Probes()

    assert route(("a", "b"), breakers={}, probe=probes) == Route(("a", "b"))
    assert probes.asked == []


def test_an_open_transport_is_passed_over_until_its_pause_is_over() -> None:
    assert route(("a", "b"), breakers={"a": OPEN}, probe=Probes()) == Route(("b",))


def test_an_open_transport_whose_pause_is_over_is_probed_first() -> None:
    assert route(("a", "b"), breakers={"a": DUE}, probe=Probes()) == Route(("a", "b"), probing="a")


def test_a_transport_that_somebody_else_probes_is_passed_over() -> None:
    assert route(("a", "b"), breakers={"a": DUE}, probe=Probes(granted=False)) == Route(("b",))


def test_a_fallback_is_not_probed_while_the_preferred_transport_works() -> None:
    probes = Probes()

    assert route(("a", "b"), breakers={"b": DUE}, probe=probes) == Route(("a",))
    assert probes.asked == []


def test_mail_waits_for_the_first_pause_to_end_when_every_breaker_is_open() -> None:
    breakers = {"a": OPEN, "b": Breaker("open", 2 * MINUTE)}

    assert route(("a", "b"), breakers=breakers, probe=Probes()) == Wait(MINUTE)


def test_mail_waits_briefly_while_somebody_else_probes() -> None:
    assert route(("a",), breakers={"a": PROBED}, probe=Probes()) == Wait(PROBE_PATIENCE)


def test_a_pinned_message_goes_through_its_transport_only() -> None:
    assert route(("a", "b"), breakers={}, probe=Probes(), pinned="b") == Route(("b",))
    assert route(("a", "b"), breakers={"b": OPEN}, probe=Probes(), pinned="b") == Wait(MINUTE)


def test_a_pinned_message_may_probe_its_transport() -> None:
    assert route(("a", "b"), breakers={"b": DUE}, probe=Probes(), pinned="b") == Route(("b",), probing="b")


def test_a_message_pinned_to_a_transport_that_is_gone_goes_through_any() -> None:
    assert route(("a", "b"), breakers={}, probe=Probes(), pinned="gone") == Route(("a", "b"))


def test_as_much_is_claimed_as_transports_could_take() -> None:
    def claimed(**breakers: Breaker) -> int:
        return most(("a", "b"), breakers=breakers, limit=50)

    assert claimed() == claimed(a=OPEN) == claimed(a=OPEN, b=Breaker("closed", timedelta(0))) == 50
    assert claimed(a=OPEN, b=DUE) == claimed(a=PROBED, b=Breaker("half_open", timedelta(0))) == 1
    assert claimed(a=OPEN, b=PROBED) == 0
