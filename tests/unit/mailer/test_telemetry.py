import re
from pathlib import Path

import mailer
from mailer.telemetry import EVENTS

FOLDER = Path(mailer.__file__).parent


def test_every_event_that_is_told_is_listed_and_every_listed_one_is_told() -> None:
    told = {
        name
        for path in FOLDER.glob("*.py")
        if path.name != "telemetry.py"
        for name in re.findall(r'"(mailer\.[a-z]+\.[a-z_]+)"', path.read_text(encoding="utf-8"))
    }

    assert told - set(EVENTS) == {"mailer.kafka.silent"}
    assert set(EVENTS) <= told
