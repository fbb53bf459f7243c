"""What is dropped while its requests may still be unanswered, and is kept until they cannot be.

librdkafka 2.16.1 ends the whole process (`Assertion rk->rk_eos.txn_req_cnt > 0`) when a producer is destroyed while its
AddPartitionsToTxn is under way: a lease that was lost within a page did that, and so did an exit in that instant.
"""

import threading
from typing import Any

from runtime.exits import skip_cleanup


def retire(thing: Any, *, seconds: float) -> None:  # noqa: ANN401  # whatever must not be destroyed yet
    """Keep *thing* for *seconds*, then let go of it, in a thread of its own: that may take a while.

    A process that ends before never destroys it: neither its interpreter, which lets the frames of daemon threads be,
    nor the C library, whose clearing up would meet the client's threads at work (see `runtime.exits`).
    """
    skip_cleanup()
    keeper = threading.Timer(seconds, _let_go, args=[thing])
    keeper.name, keeper.daemon = "retirement", True
    keeper.start()


def _let_go(_thing: object) -> None:
    """Do nothing: the thread that ends here held the last reference."""
