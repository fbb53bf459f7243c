"""How much is explored: hosts and what each does, relays, faults, and which rules are kept."""

from dataclasses import dataclass

from tests.model.rules import AS_IT_IS, Rules

Script = tuple[str, ...]

# A host's transaction: "xid" takes a transaction id without a trace in the log, "insert K" an event of key K.
LONG: Script = ("insert a", "insert b", "commit")
ROLLED_BACK: Script = ("insert c", "rollback")
LATE: Script = ("insert b", "commit async")
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
