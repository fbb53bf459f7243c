"""The `.sql` files of the packages, and how PostgreSQL would run each: with values of the types that it infers."""

import re
from pathlib import Path

import psycopg

PACKAGES = ("outbox", "runtime", "relay", "mailer", "console")
FILES = sorted(path for package in PACKAGES for path in Path(package).glob("sql/*.sql"))

_PARAMETER = re.compile(r"%\((\w+)\)s")
_VALUES = {
    "bigint": "1", "integer": "1", "smallint": "1", "double precision": "1", "real": "1",
    "numeric": "1", "oid": "1",
    "boolean": "true", "text": "'1'", "character varying": "'1'", "json": "'{}'", "jsonb": "'{}'", "bytea": "'x'",
    "interval": "'1 s'",
    "uuid": "'00000000-0000-0000-0000-000000000001'", "xid8": "'700'", "pg_snapshot": "'700:900:700'",
    "timestamp with time zone": "now()", "regclass": "'outbox.event'",
}  # fmt: skip
# Where the value of a type would ask for nothing: a window between two snapshots, a page of some size.
_NAMED = {"a": "'490:500:490'", "b": "'1200:1200:'", "rows": "10", "bytes": "100000", "lo": "1600", "last": "1600"}
# Where PostgreSQL would infer text, and the driver says integer.
_TYPES = {"failures": "integer", "threshold": "integer"}
# Statements whose index works inside a function: its plan is looked at by running it, with auto_explain loaded.
_CALLS = re.compile(r"outbox\.(backlog|release_due)\(")


def parts(path: Path) -> tuple[str, str]:
    """Return the header comment of a file as one line, and its statement without comments."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line.strip().removeprefix("--").strip() for line in lines if line.lstrip().startswith("--")]
    code = [line for line in lines if not line.lstrip().startswith("--")]
    return " ".join(comments), "\n".join(code).strip().removesuffix(";")


def explained(connection: psycopg.Connection, statement: str) -> str:
    """Return the plan of *statement* with values of the types that PostgreSQL infers for its parameters."""
    names = list(dict.fromkeys(_PARAMETER.findall(statement)))
    numbered = _PARAMETER.sub(lambda match: f"${names.index(match[1]) + 1}", statement).replace("%%", "%")
    with connection.transaction(force_rollback=True):
        declared = f"({', '.join(_TYPES.get(name, 'unknown') for name in names)})" if names else ""
        connection.execute(f"prepare probe {declared} as {numbered}")
        try:
            types = connection.execute(
                "select parameter_types::text[] from pg_prepared_statements where name = 'probe'"
            )
            (found,) = types.fetchone() or ([],)
            given = ", ".join(_value(name, type_) for name, type_ in zip(names, found, strict=True))
            call = f"execute probe ({given})" if found else "execute probe"
            if _CALLS.search(statement):
                return _plans_inside(connection, call)
            return "\n".join(line for (line,) in connection.execute(f"explain (costs off) {call}"))
        finally:
            if connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS:
                connection.execute("deallocate probe")


def _value(name: str, type_: str) -> str:
    element = type_.removesuffix("[]")
    literal = _NAMED.get(name, _VALUES[element])
    return f"array[{literal}]::{type_}" if type_ != element else f"{literal}::{type_}"


def _plans_inside(connection: psycopg.Connection, call: str) -> str:
    """Return the plans of what the functions that *call* calls have run, as auto_explain tells them."""
    heard: list[str] = []

    def hear(notice: psycopg.errors.Diagnostic) -> None:
        heard.append(notice.message_primary or "")

    connection.add_notice_handler(hear)
    try:
        for setting, value in {"log_min_duration": "0", "log_nested_statements": "on", "log_level": "notice"}.items():
            connection.execute("select set_config('auto_explain.' || %s, %s, true)", [setting, value])
        connection.execute(call)
    finally:
        connection.remove_notice_handler(hear)
    return "\n".join(heard)
