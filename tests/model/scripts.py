"""What a host does in its transaction, a word at a time.

"xid" takes a transaction id without a trace in the log, "insert K" an event of key K; "prepare" ends the first phase.
"""

from tests.model.postgres_model import Postgres

Script = tuple[str, ...]

LONG: Script = ("insert a", "insert b", "commit")
ROLLED_BACK: Script = ("insert c", "rollback")
LATE: Script = ("insert b", "commit async")


def perform(op: str, pg: Postgres, *, xid: int, name: str) -> str:
    """Do *op* in transaction *xid*, and return it in words; *name* is that of an event it inserts."""
    match op.split():
        case ["insert", key]:
            return f"inserts id {pg.insert(xid, key, name)} of key {key} in transaction {xid}"
        case ["commit", "prepared"]:
            pg.commit_prepared(xid)
            return f"commits the prepared {xid}"
        case ["commit", *how]:
            pg.commit(xid, durable=how != ["async"])
            return f"commits {xid}" + (", not waiting for the disk" if how else "")
        case ["prepare"]:
            pg.prepare(xid)
            return f"prepares {xid}"
        case ["rollback"]:
            pg.rollback(xid)
            return f"rolls {xid} back"
        case ["xid"]:
            return f"takes transaction id {xid}"
        case _:
            raise ValueError(op)
