"""Removes containers when their owner dies: `python -m devstack.keeper CONTAINER…`, run under a guard.

The guard sends SIGTERM when the owner is gone; only then do we act. A keeper whose owner closed things itself is
killed.
"""

import signal
import sys

import docker
from docker.errors import NotFound


def main() -> None:
    """Wait for SIGTERM, then remove the containers named on the command line."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.sigwait({signal.SIGTERM})
    client = docker.from_env()
    for container in sys.argv[1:]:
        try:
            client.containers.get(container).remove(force=True, v=True)
        except NotFound:
            continue


if __name__ == "__main__":
    main()
