"""Run a bench by name: `python -m bench latency`."""

from __future__ import annotations

import argparse
import sys

from bench import latency, relay, seam

BENCHES = {"latency": latency.run, "relay": relay.run, "seam": seam.run}


def main() -> int:
    """Run the named benches, or all of them; return 0."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("names", nargs="*", choices=[*BENCHES, []], help="which; all when none is named")
    for name in parser.parse_args().names or BENCHES:
        BENCHES[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
