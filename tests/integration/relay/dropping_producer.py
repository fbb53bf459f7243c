"""`python -m tests.integration.relay.dropping_producer BOOTSTRAP TOPIC leave|exit`: drops a producer in mid-request.

It ends as a relay does that lost its lease within a page and is asked to stop in the same instant.
"""

import sys
import uuid

from outbox.envelope import Record
from relay.sink import KafkaSink
from relay.telemetry import Telemetry
from runtime.exits import leave


def main() -> None:
    bootstrap, topic, way = sys.argv[1:]
    sink = KafkaSink(
        options={"bootstrap.servers": bootstrap},
        transactional_id=f"dropped-{uuid.uuid4()}",
        progress_topic=topic,
        partition=0,
        largest=1_000_000,
        batch=1_000_000,
        telemetry=Telemetry(),
    )
    assert sink.initialise(30)
    sys.stdout.write("initialised\n")
    sys.stdout.flush()
    sys.stdin.readline()  # until the answers to what comes now get lost
    sink.begin()
    sink.produce(Record(topic, b"key", b"value", ()))
    sys.stdin.readline()  # until one of them is
    sink.close()
    if way == "leave":
        leave(0)
    sys.exit(0)


if __name__ == "__main__":
    main()
