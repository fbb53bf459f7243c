"""The first connection: a server that is starting is waited for, and so is the end of a failover.

An address with one host that leads to a standby is wrong. One with several says which servers may be the primary: while
those that answer are standbys, one of them is about to be promoted. `run` waits for that as it would later on; a drain
gives up after some seconds, for cron starts the next.
"""

from collections.abc import Callable

from relay.errors import SourceUnavailableError, StoppedError
from relay.leases import Session
from relay.machine import retry_pause
from relay.patience import Stop

# How often a connection is tried before we give up: some seconds, for servers that start together with us.
TRIES = 7
# Seconds between two looks for a primary: a promotion is noticed as soon as by a relay that was there before.
_LOOK = 1.0


def first_session(
    connect: Callable[[], Session], *, stop: Stop, patient: bool, tell: Callable[[int, str], None]
) -> Session:
    """Return a session on the primary; *tell* of each failure. *patient*: wait for a promotion without end."""
    tries = 1
    while True:
        try:
            return connect()
        except SourceUnavailableError as error:
            waits = patient and error.failover
            if error.lasting or (tries >= TRIES and not waits):
                raise
            tell(tries, str(error))
        if stop.wait(min(retry_pause(tries), _LOOK) if waits else retry_pause(tries)):
            raise StoppedError
        tries += 1
