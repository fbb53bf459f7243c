"""The command `outbox`: find the part that is called, run it, and say in one sentence what went wrong.

Errors go to stderr as `error: …` and `fix: …`; a traceback only with OUTBOX_LOG_LEVEL=debug, for it names our lines and
not the operator's mistake. Exit codes are `runtime.exits`.
"""

import os
import sys
from collections.abc import Mapping, Sequence

from runtime.exits import leave


def main() -> None:
    """Run the command line of this process, and exit."""
    leave(run(sys.argv[1:], os.environ))


def run(arguments: Sequence[str], env: Mapping[str, str]) -> int:
    """Return the exit code of *arguments*; every command finds *env* as the object of its context."""
    try:
        from console.command import invoke  # noqa: PLC0415 - the base distribution has the script and not its library
    except ModuleNotFoundError as missing:
        sys.stderr.write(
            f"error: the `outbox` command needs {missing.name!r}\nfix: pip install 'pg-outbox-relay[all]'\n"
        )
        return 2
    return invoke(list(arguments), env)


if __name__ == "__main__":
    main()
