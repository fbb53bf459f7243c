"""What can go wrong between table and topic; every error pickles, and none carries a payload or a secret."""

from dataclasses import dataclass

from outbox.errors import OutboxError
from runtime.exits import ExitCode

# Where an operator looks when a shard has stopped, and where it is written what can be done.
INSPECT = "outbox relay position"
RESOLVE = 'docs/operations.md, "A shard is halted"'
# What a halted shard needs, by the words of the reason; everything else needs another position.
_MOVED = (
    "outbox relay resync --all --from topics --reason … with --same-install if this database takes the place of the "
    "former, --new-install if that one goes on"
)
_CURES = (
    ("another cluster", _MOVED),
    ("a copy within its cluster", _MOVED),
    ("standby", "give OUTBOX_DATABASE_URL the address of the primary"),
    ("to have cache 1", "alter table outbox.event alter id set cache 1"),
    ("cleanup.policy", "set cleanup.policy=compact on the topic; then, if positions are gone, {resync}"),
    ("partitions for", "give the topic a partition for each shard; then, if positions are gone, {resync}"),
    ("outbox.meta changed", "start the relay again"),
    ("hides the position", "outbox relay hanging"),
)
RESOLVE_HANGING = 'docs/operations.md, "A transaction hangs"'


def grant(kind: str, name: str, *operations: str) -> str:
    """Return the command that gives the relay's login *operations* on a topic or a transactional id."""
    wanted = " ".join(f"--operation {operation}" for operation in operations)
    return f"grant it: kafka-acls --add --allow-principal User:<the relay's> --{kind} {name} {wanted}"


def cure(shard: int, reason: str) -> str:
    """Return the command, or else the change, that resolves why *shard* stopped; -1 is every shard."""
    resync = f"outbox relay resync {shard if shard >= 0 else '--all'} --from topics --reason …"
    return next((text for words, text in _CURES if words in reason), "{resync}").format(resync=resync)


class RelayError(OutboxError):
    """Base of everything that the relay raises by itself."""

    exit_code = ExitCode.FAILED


@dataclass(eq=False)
class SourceUnavailableError(RelayError):
    """PostgreSQL cannot be reached, or refuses us; *lasting* when waiting will not help.

    *standby*: the one host of the address takes no writes. *failover*: of its several hosts, none takes writes yet.
    """

    problem: str
    lasting: bool = False
    standby: bool = False
    failover: bool = False

    def __str__(self) -> str:
        """Return what the server or the driver said."""
        return f"cannot use PostgreSQL: {self.problem}"


@dataclass(eq=False)
class NotMigratedError(RelayError):
    """The database has no outbox, or an older one than this relay needs."""

    missing: str

    def __str__(self) -> str:
        """Return what is missing."""
        return f"expected the database to have {self.missing}, and it does not"


@dataclass(eq=False)
class ServerUnfitError(RelayError):
    """A server, or the way to it, cannot carry the guarantee; nothing was published."""

    thing: str
    expected: str
    got: str

    def __str__(self) -> str:
        """Return which thing, what was expected and what it is."""
        return f"expected {self.thing} to be {self.expected}, got {self.got}"


@dataclass(eq=False)
class LeaseLostError(RelayError):
    """Another relay holds the shard, or PostgreSQL went away: nothing more may be published in this term."""

    shard: int
    epoch: int
    reason: str

    def __str__(self) -> str:
        """Return which term ended, and why."""
        return f"the lease on shard {self.shard} (epoch {self.epoch}) is lost: {self.reason}"


@dataclass(eq=False)
class LeaseHeldError(RelayError):
    """The shard is at work: what an operator wants to do to it has to wait until it is not."""

    shard: int
    holder: str

    def __str__(self) -> str:
        """Return who holds the lease."""
        return f"expected nobody to hold the lease on shard {self.shard}, got {self.holder}: stop that relay first"


@dataclass(eq=False)
class BarrierNotDurableError(RelayError):
    """The barrier row may not survive a failover, so its window may not be committed in Kafka."""

    shard: int
    seq: int
    warning: str

    def __str__(self) -> str:
        """Return which barrier, and what PostgreSQL warned of."""
        return f"expected the barrier {self.shard}/{self.seq} to be durable, got the warning {self.warning!r}"


@dataclass(eq=False)
class UncleanError(RelayError):
    """Something about a Kafka transaction is not certain: its producer may start no further one."""

    reason: str

    def __str__(self) -> str:
        """Return what was seen."""
        return f"the transaction did not end cleanly: {self.reason}"


@dataclass(eq=False)
class SinkUnavailableError(RelayError):
    """Kafka cannot be reached, or did not answer in time."""

    problem: str

    def __str__(self) -> str:
        """Return what was tried, and what came back."""
        return f"cannot use Kafka: {self.problem}"


@dataclass(eq=False)
class RecordRefusedError(RelayError):
    """One record cannot be published as it is; *code* is Kafka's, or a local one."""

    code: int
    detail: str

    def __str__(self) -> str:
        """Return the code, and what was said."""
        return f"record refused with code {self.code}: {self.detail}"


@dataclass(eq=False)
class HaltedError(RelayError):
    """The position does not fit the database: publishing on would lose or double events."""

    shard: int
    reason: str

    exit_code = ExitCode.GUARANTEE

    def __str__(self) -> str:
        """Return which shard stopped, and why."""
        return f"shard {self.shard} stopped to keep the guarantee: {self.reason}"

    @property
    def noted(self) -> str:
        """Return the reason as it is noted in the database, with what an operator does about it."""
        return f"{self.reason}; look: {INSPECT}, resolve: {cure(self.shard, self.reason)}, see {RESOLVE}"


@dataclass(eq=False)
class PositionHiddenError(HaltedError):
    """The position cannot be read: a transaction that nobody has ended lies before it."""


@dataclass(eq=False)
class BlockedError(RelayError):
    """An event that cannot be published stands first, and the policy of its topic is `block`."""

    shard: int
    event_id: str
    topic: str
    reason: str

    def __str__(self) -> str:
        """Return which event blocks the shard, and why."""
        return f"shard {self.shard} is blocked by event {self.event_id} for topic {self.topic!r}: {self.reason}"


@dataclass(eq=False)
class StoppedError(RelayError):
    """We were asked to stop while something was under way; it is left to the next relay, as after a crash."""

    def __str__(self) -> str:
        """Return that it was on request."""
        return "stopped on request while waiting"


@dataclass(eq=False)
class InvalidOptionError(RelayError, ValueError):
    """A setting cannot be used; exit code 2."""

    name: str
    problem: str

    exit_code = ExitCode.USAGE

    def __str__(self) -> str:
        """Return which setting, and what is wrong with it."""
        return f"setting {self.name!r}: {self.problem}"
