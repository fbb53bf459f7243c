"""What PostgreSQL has to say in the end; and, meanwhile, a trigger that notes each move and a look at the permits."""

import threading
from collections import defaultdict
from collections.abc import Mapping
from typing import Self

import psycopg
from psycopg.rows import DictRow, dict_row

from tests.chaos.scripted.promises import Attempt, Delivery, Letter, Move

_PREPARE = """
create schema chaos;
create table chaos.move (
  id bigint generated always as identity, delivery bigint, former text, state text, former_cycle int, cycle int);
create function chaos.note() returns trigger language plpgsql security definer as $$
begin
  insert into chaos.move (delivery, former, state, former_cycle, cycle)
  values (new.id, old.state, new.state, old.cycle, new.cycle);
  return null;
end $$;
create trigger note after update on outbox.delivery for each row
  when (old.state <> new.state or old.cycle <> new.cycle) execute function chaos.note();
create function chaos.hurry() returns trigger language plpgsql security definer as $$
begin
  new.expires_at := now() + interval '6 seconds';
  return new;
end $$;
create trigger hurry before insert on outbox.delivery for each row
  when (new.mail = 'hurry') execute function chaos.hurry();
"""
_DELIVERIES = """
select id, event_id::text, recipient, message_uuid::text, state, cycle, attempt, in_doubt_policy, resent,
       claim_token is not null or claimed_by is not null or claimed_until is not null as leased
from outbox.delivery order by id
"""
_ATTEMPTS = """
select delivery_id, cycle, attempt, transport, phase, code, outcome, coalesce(detail, '') as detail,
       coalesce(worker, '') as worker
from outbox.attempt order by id
"""
_LETTERS = """
select stage, reason, coalesce(detail, '') as detail, event_id::text, delivery_id, cycle,
       resolved_at is not null as resolved
from outbox.dead_letter order by id
"""
_OPEN = """
select (select count(*) from outbox.delivery) as deliveries,
       (select count(*) from outbox.delivery where state in ('queued', 'claimed', 'sending')
          or (state = 'in_doubt' and in_doubt_policy = 'resend' and not resent)) as open,
       (select count(*) from outbox.permit) as permits
"""


class Reader:
    """Reads with the rights of the superuser at *dsn*; *domain* ends the Message-IDs."""

    def __init__(self, dsn: str, *, domain: str = "example.com") -> None:
        """Read from *dsn*."""
        self._dsn = dsn
        self._domain = domain

    def prepare(self) -> None:
        """Have each change of a delivery's state noted from now on, and the mail `hurry` expire within seconds."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute(_PREPARE)

    def query(self, statement: str) -> list[DictRow]:
        """Return the rows of *statement*."""
        with psycopg.connect(self._dsn, autocommit=True, row_factory=dict_row) as connection:
            return connection.execute(statement.encode()).fetchall()

    def deliveries(self) -> list[Delivery]:
        """Return every delivery."""
        return [
            Delivery(
                id=row["id"],
                event_id=row["event_id"],
                recipient=row["recipient"],
                message_id=f"<{row['message_uuid']}@{self._domain}>",
                state=row["state"],
                cycle=row["cycle"],
                attempt=row["attempt"],
                policy=row["in_doubt_policy"],
                resent=row["resent"],
                leased=row["leased"],
            )
            for row in self.query(_DELIVERIES)
        ]

    def attempts(self) -> list[Attempt]:
        """Return every attempt."""
        return [Attempt(row.pop("delivery_id"), **row) for row in self.query(_ATTEMPTS)]

    def letters(self) -> list[Letter]:
        """Return every dead letter."""
        return [Letter(delivery=row.pop("delivery_id"), **row) for row in self.query(_LETTERS)]

    def moves(self) -> list[Move]:
        """Return each move that the trigger saw."""
        rows = self.query("select delivery, former, state, cycle, former_cycle from chaos.move order by id")
        return [Move(**row) for row in rows]

    def is_settled(self, deliveries: int) -> bool:
        """Return whether there are so many, none is under way, and no permit is outstanding; else say what is."""
        [row] = self.query(_OPEN)
        assert row == {"deliveries": deliveries, "open": 0, "permits": 0}, f"{row}, expected {deliveries}"
        return True


class PermitWatch:
    """Looks at the permits outstanding every tenth of a second, and keeps the most of each lane."""

    def __init__(self, dsn: str) -> None:
        """Look at *dsn* from the beginning of the block on."""
        self._dsn = dsn
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="permits")
        self._most: dict[str, int] = defaultdict(int)

    def __enter__(self) -> Self:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def most(self) -> Mapping[str, int]:
        """Return the most permits that were seen, by lane."""
        return dict(self._most)

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._dsn, autocommit=True) as connection:
                    while not self._stop.wait(0.1):
                        for lane, count in connection.execute("select lane, count(*) from outbox.permit group by lane"):
                            self._most[lane] = max(self._most[lane], count)
            except psycopg.OperationalError:
                self._stop.wait(0.2)  # crashed, as is the point of the exercise
