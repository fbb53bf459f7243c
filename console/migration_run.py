"""Bring a database to the schema of this release, say how far it is, or take the schema away again.

Two runs at once are safe: an advisory lock lets one migrate, and the other finds nothing left to do. No statement waits
long for a lock, since whoever comes behind a waiting `alter table` waits with it: it gives way and tries again.
"""

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import psycopg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from psycopg import errors
from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from console.migration_errors import LockedOutError, MayNotMigrateError, ServerUnfitError, UnknownRevisionError
from console.migration_files import folder, run_on, statement
from runtime.connecting import connect

Result = TypeVar("Result")

LOCK_SPACE = 0x6F75746D  # "outm": the advisory lock (space, 1) is held while migrating
OLDEST_SERVER = 140000
VERSION_SCHEMA = "outbox"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a statement waits for a lock, and how often: a minute, in which a host's transaction should end."""

    lock_timeout: str = "5s"
    tries: int = 12


@dataclass(frozen=True, slots=True)
class SchemaState:
    """How far a database is: *current* is None before the first migration; *ahead* means newer than this release."""

    current: str | None
    head: str
    pending: tuple[str, ...]
    ahead: bool


def upgrade(dsn: str, *, to: str = "head", patience: Patience = Patience()) -> tuple[str, ...]:
    """Bring the database at *dsn* to revision *to*; return the revisions that it lacked."""
    with connected(dsn, to_change=patience) as connection:
        before = state_of(connection)
        if to == "head" and before.ahead:
            return ()  # a newer release has migrated already: our code runs on its schema
        _patiently(lambda: command.upgrade(_config(connection), to), patience)
        after = state_of(connection)
    return tuple(revision for revision in before.pending if revision not in after.pending)


def downgrade(dsn: str, *, to: str = "base", patience: Patience = Patience()) -> None:
    """Take the database at *dsn* back to revision *to*, with whatever is in it; with `base` the schema goes too."""
    with connected(dsn, to_change=patience) as connection:
        _patiently(lambda: command.downgrade(_config(connection), to), patience)
        if to == "base":
            run_on(connection, statement("schema_down.sql"))
            connection.commit()


def state(dsn: str) -> SchemaState:
    """Return how far the database at *dsn* is."""
    with connected(dsn) as connection:
        return state_of(connection)


def pending(dsn: str) -> tuple[str, ...]:
    """Return the revisions of this release that the database at *dsn* lacks, oldest first."""
    return state(dsn).pending


def offline_sql(*, start: str = "base", to: str = "head", transactions: bool = True) -> str:
    """Return the SQL that leads from *start* to *to*, without a look at any database.

    Without *transactions* there is no `begin` and `commit`: Flyway, Django and a host's Alembic bring their own.
    """
    output = io.StringIO()
    config = _config()
    config.attributes |= {"output": output, "transactions": transactions, "from_empty": start == "base"}
    with _worded():
        command.upgrade(config, to if start == "base" else f"{start}:{to}", sql=True)
    return output.getvalue()


def state_of(connection: Connection) -> SchemaState:
    """Return how far the database behind *connection* is, and end the transaction that found out."""
    context = MigrationContext.configure(connection, opts={"version_table_schema": VERSION_SCHEMA})
    script = ScriptDirectory.from_config(_config())
    current, newest = context.get_current_revision(), script.get_current_head() or "base"
    connection.rollback()
    if current is not None and current not in {revision.revision for revision in script.walk_revisions()}:
        return SchemaState(current=current, head=newest, pending=(), ahead=True)
    missing = [revision.revision for revision in script.iterate_revisions(newest, current or "base")]
    return SchemaState(current=current, head=newest, pending=tuple(reversed(missing)), ahead=False)


@contextmanager
def connected(dsn: str, *, to_change: Patience | None = None) -> Iterator[Connection]:
    """Yield a connection of SQLAlchemy to *dsn*; *to_change* holds the lock of migrations until the end."""
    engine = create_engine("postgresql+psycopg://", creator=lambda: _open(dsn, to_change=to_change), poolclass=NullPool)
    with warnings.catch_warnings(), engine.connect() as connection, _worded():
        # 14 to 18 are tested; SQLAlchemy warns about servers that it does not know yet.
        warnings.filterwarnings("ignore", message="Unrecognized server version")
        yield connection


def _config(connection: Connection | None = None) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(folder()).replace("%", "%%"))
    return config


@contextmanager
def _worded() -> Iterator[None]:
    """Word what alembic says of a revision that it does not find, and PostgreSQL of a right that is lacking."""
    try:
        yield
    except CommandError as error:
        newest = ScriptDirectory.from_config(_config()).get_current_head() or "base"
        raise UnknownRevisionError(str(error).rpartition(" ")[2].strip("'"), newest) from error
    except DBAPIError as error:
        if isinstance(error.orig, errors.InsufficientPrivilege):
            raise _refused(error.orig) from error
        raise


def _open(dsn: str, *, to_change: Patience | None) -> psycopg.Connection:
    connection = connect(dsn, application_name="outbox migrate", autocommit=True)
    try:
        _require_server(connection)
        # Whatever a host has on its search path, our statements mean PostgreSQL's own functions.
        connection.execute("select set_config('search_path', 'pg_catalog', false)")
        if to_change is not None:
            _lock(connection, to_change)
        connection.autocommit = False
    except BaseException:
        connection.close()
        raise
    return connection


def _require_server(connection: psycopg.Connection) -> None:
    if connection.info.server_version < OLDEST_SERVER:
        raise ServerUnfitError("PostgreSQL 14 or newer", str(connection.info.server_version // 10000))


def _lock(connection: psycopg.Connection, patience: Patience) -> None:
    """Wait for the right to migrate; it ends with the connection."""
    if connection.execute("select pg_is_in_recovery()").fetchone() == (True,):
        error = ServerUnfitError("a server that can be written to", "a standby")
        error.add_note("name the primary in OUTBOX_DATABASE_URL, or add target_session_attrs=read-write")
        raise error
    connection.add_notice_handler(_tell)
    connection.execute("select set_config('lock_timeout', %s, false)", [patience.lock_timeout])
    _patiently(lambda: connection.execute("select pg_advisory_lock(%s, 1)", [LOCK_SPACE]), patience)


def _tell(notice: errors.Diagnostic) -> None:
    """Pass on what a migration warns about, as a role that is missing."""
    if notice.severity_nonlocalized == "WARNING":
        hint = f" ({notice.message_hint})" if notice.message_hint else ""
        logging.getLogger(__name__).warning("%s%s", notice.message_primary, hint)


def _patiently(step: Callable[[], Result], patience: Patience) -> Result:
    """Return what *step* returns, after as many tries as the locks of others make necessary."""
    for left in reversed(range(patience.tries)):
        try:
            return step()
        except (DBAPIError, psycopg.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            if not isinstance(cause, errors.LockNotAvailable | errors.DeadlockDetected):
                raise
            if not left:
                raise _locked_out(cause, patience) from error
            logging.getLogger(__name__).warning("a lock is held by someone else; trying %d times more", left)
    raise AssertionError("the last try returned or raised")


def _locked_out(cause: psycopg.Error, patience: Patience) -> LockedOutError:
    error = LockedOutError(patience.tries, patience.lock_timeout, cause.diag.message_primary or str(cause))
    error.add_note("look for what is open for long: select * from pg_stat_activity order by xact_start")
    return error


def _refused(cause: psycopg.Error) -> MayNotMigrateError:
    error = MayNotMigrateError(cause.diag.message_primary or str(cause))
    error.add_note("connect as the owner of the database, or have an administrator run `outbox migrate sql | psql`")
    return error
