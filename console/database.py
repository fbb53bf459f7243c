"""One connection for a command: statements by name, rows as mappings, and refusals in the operator's words."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Self

import psycopg
from psycopg import errors
from psycopg.rows import dict_row

from console.errors import ForbiddenError, NotMigratedError, RefusedError
from outbox import statements
from runtime.connecting import connect, database_unavailable
from runtime.dsn import SecretDsn

APPLICATION = "outbox console"
# A question must never become the load that it asks about.
STATEMENT_TIMEOUT = "30s"
Row = Mapping[str, Any]


class Database:
    """The outbox as a command sees it; each statement is its own transaction unless `transaction` says otherwise."""

    def __init__(self, connection: "psycopg.Connection[Any]", dsn: SecretDsn) -> None:
        """Take over *connection*, which commits by itself."""
        self.connection = connection
        self.dsn = dsn

    @classmethod
    @contextlib.contextmanager
    def open(cls, dsn: SecretDsn) -> Iterator[Self]:
        """Yield a connected database, or raise what says why there is none."""
        connection = connect(dsn, application_name=APPLICATION, autocommit=True)
        with contextlib.closing(connection):
            database = cls(connection, dsn)
            database.one("set_statement_timeout", limit=STATEMENT_TIMEOUT)
            yield database

    def rows(self, name: str, **parameters: object) -> list[Row]:
        """Return the rows of the statement *name*."""
        with self._worded(), self.connection.cursor(row_factory=dict_row) as cursor:
            return list(cursor.execute(statements.load("console", name), parameters).fetchall())

    def query(self, statement: tuple[str, dict[str, object]]) -> list[Row]:
        """Return the rows of a statement that SQLAlchemy built."""
        text, parameters = statement
        with self._worded(), self.connection.cursor(row_factory=dict_row) as cursor:
            return list(cursor.execute(text, parameters).fetchall())

    def row(self, name: str, **parameters: object) -> Row | None:
        """Return the first row of the statement *name*, if there is one."""
        return next(iter(self.rows(name, **parameters)), None)

    def one(self, name: str, **parameters: object) -> Row:
        """Return the row of a statement that always has one."""
        return self.rows(name, **parameters)[0]

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what is called within one transaction."""
        with self._worded(), self.connection.transaction():
            yield

    @contextlib.contextmanager
    def _worded(self) -> Iterator[None]:
        with worded(self.dsn, user=self.connection.info.user):
            yield


@contextlib.contextmanager
def worded(dsn: SecretDsn, *, user: str) -> Iterator[None]:
    """Turn what the database refuses into the operator's words."""
    try:
        yield
    except (errors.UndefinedTable, errors.UndefinedFunction, errors.InvalidSchemaName, errors.UndefinedColumn) as error:
        missing = NotMigratedError(str(dsn.address()), f"the schema of this release ({_said(error)})")
        missing.add_note("run `outbox migrate up`")
        raise missing from None
    except errors.InsufficientPrivilege as error:
        forbidden = ForbiddenError(user, _said(error))
        forbidden.add_note("connect as a member of outbox_operator (`outbox migrate grants` prints who may do what)")
        raise forbidden from None
    except errors.QueryCanceled as error:
        slow = RefusedError(f"the database gave up: {_said(error)}")
        slow.add_note("ask for less, or look with `outbox status` at what holds things up")
        raise slow from None
    except psycopg.OperationalError as error:
        raise database_unavailable(dsn, error) from None
    except psycopg.Error as error:
        if not _is_ours(error):
            raise
        refused = RefusedError(_said(error))
        if error.diag.message_hint:
            refused.add_note(error.diag.message_hint)
        raise refused from None


def _is_ours(error: psycopg.Error) -> bool:
    """Return whether a function of the outbox raised it: class OB, or an argument that it names."""
    return (error.sqlstate or "").startswith("OB") or error.sqlstate == errors.InvalidParameterValue.sqlstate


def _said(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).partition("\n")[0]
