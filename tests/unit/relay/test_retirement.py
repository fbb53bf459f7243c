"""What is retired is kept for its time, then let go; a process that holds it leaves without clearing up."""

import subprocess
import sys
import weakref

import pytest

from relay.retirement import retire
from tests.support.waiting import wait_until


class Kept:
    """Something whose end can be seen."""


def test_what_is_retired_is_let_go_after_its_time() -> None:
    kept = Kept()
    end = weakref.ref(kept)
    retire(kept, seconds=0.2)

    del kept

    assert end() is not None
    wait_until(lambda: end() is None, timeout_seconds=10, what="it to be let go")


PROGRAM = """
import atexit, sys
from relay.retirement import retire
from runtime.exits import leave

class Kept:
    def __del__(self):
        print("destroyed")

atexit.register(print, "cleared up")
if "retire" in sys.argv:
    retire(Kept(), seconds=60)
print("written", end="")
print("said", end="", file=sys.stderr)
{leaving}
"""


@pytest.mark.parametrize(
    ("leaving", "arguments", "out"),
    [
        ("leave(3)", [], "writtencleared up\n"),
        ("leave(3)", ["retire"], "written"),
        ("sys.exit(3)", ["retire"], "writtencleared up\n"),
    ],
    ids=["nothing retired", "something retired", "something retired, by the interpreter's own way"],
)
def test_a_process_that_leaves_destroys_nothing_that_is_retired(leaving: str, arguments: list[str], out: str) -> None:
    program = PROGRAM.format(leaving=leaving)

    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60, check=False
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (3, out, "said")
