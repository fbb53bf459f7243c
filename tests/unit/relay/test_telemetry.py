import re
from pathlib import Path

import relay
from relay.telemetry import EVENTS, Telemetry

NAME = re.compile(r"relay\.[a-z_]+\.[a-z_]+")


def test_every_event_that_is_emitted_is_listed_and_every_one_listed_is_emitted() -> None:
    folder = Path(relay.__file__).parent
    emitted = set()
    for module in folder.rglob("*.py"):
        if module.name != "telemetry.py":
            emitted |= set(re.findall(r'"(relay\.[a-z_]+\.[a-z_]+)"', module.read_text(encoding="utf-8")))

    assert emitted - set(EVENTS) <= {"relay.endpoint.started"}
    assert set(EVENTS) <= emitted


def test_names_are_package_noun_and_verb() -> None:
    assert all(NAME.fullmatch(name) for name in EVENTS)


def test_an_event_of_a_shard_reaches_every_observer_with_its_facts() -> None:
    seen: list[tuple[str, object]] = []
    telemetry = Telemetry(
        lambda event, facts: seen.append((event, dict(facts))), lambda event, _: seen.append((event, None))
    )

    telemetry.of_shard(2)("relay.page.read", count=3)

    assert seen == [("relay.page.read", {"shard": 2, "count": 3}), ("relay.page.read", None)]
