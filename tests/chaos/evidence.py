"""The folder of a run: what was planned and what happened, kept when the run failed and gone when it did not."""

import dataclasses
import faulthandler
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import psycopg

from tests.chaos.plan import Plan
from tests.chaos.world import World
from tests.support.checker import Seen

# Seconds beyond the storm after which a run that is still there writes down where its threads are, and ends.
_HANGS_AFTER = 900.0
_TABLES = {
    "event": "select tx, id, event_id, aggregate_type, aggregate_id, topic, headers, created_at"
    " from outbox.event order by id",
    "batch": "select * from outbox.batch order by shard, seq",
    "shard": "select * from outbox.shard",
    "dead_letter": "select id, reason, event_id, event_row_id, shard, parks, behind, created_at, resolved_at,"
    " resolution, redriven_event_id, redrive_pending from outbox.dead_letter order by id",
    "prepared": "select * from pg_prepared_xacts",
    "activity": "select * from pg_stat_activity where datname = current_database()",
}


class Evidence:
    """Writes into one folder."""

    def __init__(self, plan: Plan, *, folder: Path | None = None) -> None:
        """Begin with the plan, and with what is written should the run hang."""
        self.folder = folder or Path(tempfile.mkdtemp(prefix=f"outbox-chaos-{plan.seed}-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write_json("plan.json", plan.as_json())
        self._hang = (self.folder / "hang.txt").open("w", encoding="utf-8")

    def watch(self, seconds: float) -> None:
        """End this process, with where its threads are in `hang.txt`, if it is still busy long after the storm."""
        faulthandler.dump_traceback_later(seconds + _HANGS_AFTER, exit=True, file=self._hang)

    def watch_no_more(self) -> None:
        """Let the process live."""
        faulthandler.cancel_dump_traceback_later()
        self._hang.close()

    def write_json(self, name: str, facts: Mapping[str, object]) -> None:
        """Write *facts* into file *name*."""
        (self.folder / name).write_text(json.dumps(facts, indent=1, default=str) + "\n", encoding="utf-8")

    def write_lines(self, name: str, lines: list[str]) -> None:
        """Write *lines* into file *name*."""
        (self.folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")

    def where_threads_are(self) -> None:
        """Write down where the threads of this process are."""
        with (self.folder / "threads.txt").open("a", encoding="utf-8") as file:
            faulthandler.dump_traceback(file)

    def keep_servers(self, world: World) -> None:
        """Copy the servers' logs, and what PostgreSQL holds, if it still answers."""
        for log in (world.postgres.log, world.broker.log):
            if log.exists():
                shutil.copy(log, self.folder / log.name)
        for table, query in _TABLES.items():
            try:
                with (
                    world.connect() as connection,
                    connection.cursor().copy(f"copy ({query}) to stdout csv header") as copy,
                ):
                    (self.folder / f"{table}.csv").write_bytes(b"".join(bytes(block) for block in copy))
            except psycopg.Error as error:
                (self.folder / f"{table}.csv").write_text(f"not read: {error}\n", encoding="utf-8")

    def keep_records(self, seen: Seen) -> None:
        """Write down what consumers see."""
        self.write_lines("records.jsonl", [json.dumps(dataclasses.asdict(record)) for record in seen.published])
        self.write_lines("progress.jsonl", [json.dumps(record) for record in seen.progress])

    def discard(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
