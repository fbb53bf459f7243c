"""The sessions that a relay process has in PostgreSQL, ended as an operator or a failing network would."""

import psycopg


def end_sessions(dsn: str, process: int) -> int:
    """End every session of the relay with the process id *process*, and return how many there were."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        ended = connection.execute(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
            " where datname = current_database() and application_name like %s",
            (f"outbox relay % pid {process}",),
        ).fetchall()
    return len(ended)
