"""Statements whose filters vary, put together by SQLAlchemy Core and run by the command's own connection."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import psycopg as dialect

from console.moments import Moment

Statement = tuple[str, dict[str, object]]


def compiled(statement: sa.Select[Any]) -> Statement:
    """Return text and parameters as psycopg takes them."""
    made = statement.compile(dialect=dialect.dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy types no dialect
    return str(made), dict(made.params)


def moment_column(moment: Moment) -> sa.ColumnElement[Any]:
    """Return *moment* as the database sees it: time ago is measured by its clock."""
    if isinstance(moment, timedelta):
        return sa.func.now() - sa.cast(sa.literal(moment, sa.Interval), sa.Interval)
    return sa.cast(sa.literal(moment, sa.DateTime(timezone=True)), sa.DateTime(timezone=True))
