"""How much is explored: hosts and what each does, relays, faults, and which rules are kept."""

from dataclasses import dataclass

from tests.model.rules import AS_IT_IS, Rules
from tests.model.scripts import LATE, LONG, ROLLED_BACK, Script

HOSTS: tuple[Script, ...] = (LONG, ROLLED_BACK, LATE)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is explored."""

    hosts: tuple[Script, ...] = HOSTS
    relays: int = 2
    faults: int = 1
    kinds: frozenset[str] = frozenset({"kill", "end session", "crash PostgreSQL", "time out", "EndTxn"})
    bootstrapped: bool = True
    rules: Rules = AS_IT_IS
    slow_markers: bool = False
    resolved_by_guess: bool = False  # what hangs is aborted in the end, instead of ended as it was decided
