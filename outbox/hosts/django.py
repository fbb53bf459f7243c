"""Insert through Django: a connection, or the alias of one, inside `transaction.atomic()`."""

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.connection import ConnectionProxy

from outbox.insert import STATEMENT, Parameters, note_remedy, unsupported


def accepts(host: object) -> bool:
    """Return whether this is a connection, `django.db.connection`, which stands for one, or an alias."""
    return isinstance(host, BaseDatabaseWrapper | ConnectionProxy | str)


def is_async(host: BaseDatabaseWrapper | str) -> bool:
    """Return False: Django's connections are synchronous, in its async views too."""
    del host
    return False


def in_transaction(host: BaseDatabaseWrapper | str) -> bool:
    """Return whether an atomic block is open, or the project has turned autocommit off."""
    connection = _connection(host)
    return connection.in_atomic_block or not connection.get_autocommit()


def insert(host: BaseDatabaseWrapper | str, parameters: Parameters) -> None:
    """Insert the events."""
    connection = _connection(host)
    if connection.vendor != "postgresql":
        raise unsupported(f"a connection to {connection.vendor}")
    try:
        with connection.cursor() as cursor:
            cursor.execute(STATEMENT, parameters)
    except DatabaseError as error:
        note_remedy(error)
        raise


async def insert_async(host: BaseDatabaseWrapper | str, parameters: Parameters) -> None:
    """Never called: `is_async` is False."""
    raise NotImplementedError


def _connection(host: BaseDatabaseWrapper | str) -> BaseDatabaseWrapper:
    """Return the connection that the alias names in this thread."""
    return connections[host] if isinstance(host, str) else host
