"""Whether the database has the schema that this code needs, as every long-running process asks before it works.

Revisions are numbers of four digits and one follows another, so that they compare as text. A newer schema is fine:
a migration never breaks the code before it.
"""

from dataclasses import dataclass

import psycopg
from psycopg.rows import scalar_row

from outbox.statements import load
from runtime.errors import ProcessError

REQUIRED_REVISION = "0007"  # a test compares it with the newest migration


@dataclass(eq=False)
class SchemaTooOldError(ProcessError):
    """The database lacks migrations that this code needs."""

    required: str
    found: str | None

    def __post_init__(self) -> None:
        self.add_note("run `outbox migrate up` on this database (`outbox migrate status` says what it lacks)")

    def __str__(self) -> str:
        return f"expected schema outbox at revision {self.required} or newer, got {self.found or 'no such schema'}"


@dataclass(eq=False)
class SchemaForbiddenError(ProcessError):
    """The role that we connect as may not even read which migrations there are."""

    role: str

    def __post_init__(self) -> None:
        self.add_note("`outbox migrate grants` prints the roles; make this one a member of the role of its process")

    def __str__(self) -> str:
        return f"expected role {self.role!r} to have the rights of its process on schema outbox, got none"


def require_schema(connection: psycopg.Connection) -> str:
    """Return the revision of the database behind *connection*; raise when this code needs a newer one."""
    try:
        with connection.transaction(), connection.cursor(row_factory=scalar_row) as cursor:
            found: str | None = cursor.execute(load("runtime", "schema_revision")).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        found = None
    except psycopg.errors.InsufficientPrivilege as error:
        raise SchemaForbiddenError(connection.info.user) from error
    if found is None or found < REQUIRED_REVISION:
        raise SchemaTooOldError(REQUIRED_REVISION, found)
    return found
