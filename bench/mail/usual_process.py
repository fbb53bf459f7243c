"""`python -m bench.mail.usual_process COUNT`: enqueue as many mails, a task each, as a host does after its commit."""

from __future__ import annotations

import sys

from bench.mail.texts import PAYLOAD
from bench.mail.usual_app import app, send
from mailer.broker import QUEUE


def main() -> int:
    """Enqueue them."""
    with app.producer_pool.acquire(block=True) as producer:
        for number in range(int(sys.argv[1])):
            send.apply_async(({**PAYLOAD, "email": f"user-{number}@example.com"},), queue=QUEUE, producer=producer)
    sys.stdout.write("{}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
