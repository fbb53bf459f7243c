"""The bench `peers`, and what the benches `peer_latency` and `peer_faults` share with it: the contestants.

Comes in: nothing; jars and packages are fetched into the cache folder, each by its locked hash. Goes out: the
contestants as processes that a bench starts, feeds, measures, kills and stops, and their outboxes.
"""

from bench.peers.throughput import BENCH

__all__ = ["BENCH"]
