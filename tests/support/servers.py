"""Databases for tests: each a fresh copy of a template that was migrated once a session."""

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from devstack.providers import Postgres

_numbers = itertools.count(1)


def address(dsn: str, database: str) -> str:
    """Return *dsn* with another database; its options (`?sslmode=…`) stay."""
    return urlsplit(dsn)._replace(path=f"/{database}").geturl()


class Databases:
    """Makes and drops databases on one server. Their names are ours alone, also on a server that others use."""

    def __init__(self, server: Postgres, *, migrate: Callable[[str], None]) -> None:
        """Make databases on *server*; the template is migrated by *migrate* when the first copy is wanted."""
        self._server = server
        self._migrate = migrate
        self._prefix = f"outbox_test_{os.getpid()}_{os.urandom(3).hex()}"
        self._template: str | None = None
        self._outlived: list[str] = []

    @contextmanager
    def empty(self) -> Iterator[str]:
        """Give the address of a new, empty database, and drop it after the test."""
        self._prepare()
        name = f"{self._prefix}_{next(_numbers)}"
        self._execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        try:
            yield address(self._server.dsn, name)
        finally:
            self._outlived.append(name)

    @contextmanager
    def migrated(self) -> Iterator[str]:
        """Give the address of a new database with our schema, and drop it after the test."""
        self._prepare()
        template, name = self._migrated_template(), f"{self._prefix}_{next(_numbers)}"
        names = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
        self._execute(sql.SQL("create database {name} template {template}").format(**names))
        # An installation of its own: positions and transactional ids on the shared broker are named after it.
        with psycopg.connect(address(self._server.dsn, name), autocommit=True) as connection:
            connection.execute(
                "update outbox.meta set install_id = gen_random_uuid(),"
                " database_oid = (select oid from pg_database where datname = current_database())"
            )
        try:
            yield address(self._server.dsn, name)
        finally:
            self._outlived.append(name)

    def close(self) -> None:
        """Drop what is left."""
        self._prepare()
        if self._template is not None:
            self._drop(self._template)

    def _prepare(self) -> None:
        """Start the server if a test left it stopped, and drop the databases of tests that are over.

        Dropped at once, a database whose last session is just ending would cost 100 ms of waiting for it.
        """
        self._server.start()
        while self._outlived:
            self._drop(self._outlived.pop())

    def _migrated_template(self) -> str:
        if self._template is None:
            name = f"{self._prefix}_template"
            self._execute(sql.SQL("create database {}").format(sql.Identifier(name)))
            self._migrate(address(self._server.dsn, name))
            self._template = name
        return self._template

    def _drop(self, name: str) -> None:
        self._execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._server.dsn, autocommit=True) as connection:
            connection.execute(statement)


def unreachable(environment: Mapping[str, str]) -> dict[str, str]:
    """Return *environment* without our settings, so that a test decides every one of them."""
    return {name: value for name, value in environment.items() if not name.startswith("OUTBOX_")}
