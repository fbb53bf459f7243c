"""The statements and functions of the database make the moves of the table, whatever happens in whatever order."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailer.bounce_record import record_bounce
from mailer.bounces import bounced
from mailer.claims import Claim, Intent, Outcome, TryMade
from mailer.database import Database
from mailer.delivery import SETTLED, TRANSITIONS, Dead, InDoubt, Retry, Sent, Verdict
from mailer.store import Store
from tests.integration.mailer.conftest import Query

Owe = Callable[..., int]
MOVES = {(state.value, after.value) for state, moves in TRANSITIONS.items() for after in moves.values()}
CONTACTED = TryMade("smtp://a", "dot", None, None, "in_doubt", "said", 0.1)
VERDICTS: dict[str, Verdict] = {
    "accept": Sent(),
    "postpone": Retry(timedelta(0), "recipient_deferred"),
    "postpone unspent": Retry(timedelta(0), "unreachable", spent=False),
    "postpone pinned": Retry(timedelta(0), "unanswered", pin="smtp://a"),
    "refuse": Dead("message_refused", "said"),
    "refuse the recipient": Dead("recipient_refused", "said", suppress=True),
    "lose the reply": InDoubt("smtp://a"),
}
# A trigger notes each change of state, whoever makes it: also what one statement changes twice.
WATCH = """
create table outbox.seen (id bigint, was text, became text, pinned boolean, n bigint generated always as identity);
create function outbox.see() returns trigger language plpgsql security definer as $$
begin
  insert into outbox.seen (id, was, became, pinned)
  values (new.id, old.state, new.state, old.pinned_transport is not null);
  return new;
end $$;
create trigger see after update on outbox.delivery for each row when (old.state is distinct from new.state)
  execute function outbox.see()
"""


@dataclass
class World:
    """A database, a worker with what it holds, and everybody else who may change a delivery."""

    query: Query
    store: Store
    mailer: Database
    owe: Owe
    held: list[Claim] = field(default_factory=list)
    intended: list[Claim] = field(default_factory=list)

    def act(self, action: str, which: int = 0) -> None:
        """Do one thing that can happen to a delivery; an operator's command that is refused is no failure."""
        if action not in OPERATORS:
            self._act(action, which)
            return
        try:
            self.query(OPERATORS[action], self._any(which)["id"])
        except psycopg.DatabaseError as error:
            if not str(error.sqlstate).startswith("OB"):
                raise

    def _act(self, action: str, which: int) -> None:
        match action:
            case "claim":
                self.held += self.store.claim(limit=1 + which % 3)[0]
            case "intend" | "fail to render" | "release" if self.held:
                claim = self.held.pop(which % len(self.held))
                self._of_claimed(action, claim)
            case "lose the worker":
                self.held, self.intended = [], []
                self.query(
                    "update outbox.delivery set claimed_until = now() - interval '1 s' where claim_token is not null"
                )
            case "sweep":
                self.sweep()
            case "time is over":
                self.query(
                    "update outbox.delivery set expires_at = now() where state = 'queued' and id %% 3 <> %s", which % 3
                )
            case "bounce":
                self._bounce(which)
            case "unsubscribe" | "suppress":
                self._hold(action, which)
            case verdict if verdict in VERDICTS and self.intended:
                claim = self.intended.pop(which % len(self.intended))
                self.store.record([Outcome(claim, VERDICTS[verdict], (CONTACTED,))], [], [])
            case _:
                pass

    def _of_claimed(self, action: str, claim: Claim) -> None:
        match action:
            case "intend":
                stood = self.store.record_and_intend([], [], [], [Intent(claim, b"bytes", "v1", "smtp://a")])[1]
                self.intended += [claim] if claim.id in stood else []
            case "release":
                self.store.release([claim], pause=timedelta(0))
            case _:
                self.store.record([Outcome(claim, Dead("unsendable", "said"))], [], [])

    def sweep(self) -> None:
        self.mailer.rows("end_claims", {"limit": 100})
        self.mailer.rows("end_sendings", {"limit": 100})
        self.mailer.rows("resend", {"limit": 100, "pause_seconds": 0.0})

    def _any(self, which: int) -> dict[str, Any]:
        rows = self.query("select id, message_uuid, recipient_key from outbox.delivery order by id")
        return rows[which % len(rows)]

    def _bounce(self, which: int) -> None:
        hard = which % 2 == 0
        code, enhanced = (550, "5.1.1") if hard else (450, "4.2.2")
        record_bounce(
            self.mailer,
            bounced(self._any(which)["message_uuid"], reporter="x", enhanced=enhanced, code=code, text="said"),
        )

    def _hold(self, action: str, which: int) -> None:
        key = self._any(which)["recipient_key"]
        if action == "unsubscribe":
            self.mailer.rows("unsubscribe", {"recipient_key": key, "reason": "unsubscribed"})
        else:
            self.query("select outbox.suppress(%s, 'asked')", key)


OPERATORS = {
    "redrive": "select outbox.redrive_delivery(%s, 'r')",
    "confirm": "select outbox.settle_delivery(%s, 'sent', 'r')",
    "cancel": "select outbox.settle_delivery(%s, 'cancelled', 'r')",
    "redrive its letter": """
      select outbox.redrive(id, 'r') from outbox.dead_letter where delivery_id = %s and resolved_at is null""",
    "discard its letter": """
      select outbox.discard(id, 'r') from outbox.dead_letter where delivery_id = %s and resolved_at is null""",
    "erase": "select outbox.erase_recipient(recipient_key, '{}', 'r') from outbox.delivery where id = %s",
}
OTHERS = ("sweep", "lose the worker", "time is over", "bounce", "unsubscribe", "suppress", *OPERATORS)
# A worker acts more often than all others together, or nothing would get far.
ACTIONS = st.sampled_from(
    [*(("claim", "intend", "intend") * 4), "release", "fail to render", *VERDICTS, *VERDICTS, *OTHERS]
)


@pytest.fixture
def world(query: Query, store: Store, connect: Callable[[], Database], owe: Owe) -> World:
    query(WATCH)
    return World(query, store, connect(), owe)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(ACTIONS, st.integers(0, 5)), min_size=20, max_size=60))
def test_whatever_happens_makes_moves_of_the_table_and_loses_nothing(
    world: World, happens: list[tuple[str, int]]
) -> None:
    begin(world, owed=6)

    for action, which in happens:
        world.act(action, which)
        assert wrong(world.query) == []

    # Everything well again: what nobody but an operator can move is settled, or lies before one.
    world.act("lose the worker", 0)
    for _ in range(12):
        world.sweep()
        for claim in world.store.claim(limit=50)[0]:
            intend = [Intent(claim, b"bytes", "v1", "smtp://a")]
            world.store.record_and_intend([], [], [], intend)
            world.store.record([Outcome(claim, Sent(), (CONTACTED,))], [], [])
    assert wrong(world.query) == []
    [unsettled] = world.query(
        "select count(*) from outbox.delivery where state <> all (%s) and state <> 'in_doubt'",
        [state.value for state in SETTLED],
    )
    assert unsettled == {"count": 0}
    assert world.query("select count(*) from outbox.delivery") == [{"count": 6}]
    assert moves(world.query) <= MOVES


def begin(world: World, *, owed: int) -> None:
    """Owe so many deliveries, each of another kind, and nothing else."""
    world.held, world.intended = [], []
    world.query(
        "truncate outbox.delivery, outbox.attempt, outbox.dead_letter, outbox.suppression, outbox.seen"
        " restart identity cascade"
    )
    for n in range(owed):
        world.owe(in_doubt_policy="hold" if n % 2 else "resend", suppressible=n % 3 == 0)


WRONG = """
select 'its columns are those of another state' as why, id from outbox.delivery
where (state in ('queued', 'claimed', 'sending', 'in_doubt')) <> (finished_at is null)
   or (state in ('claimed', 'sending')) <> (claimed_until is not null)
union all
select 'it may still be sent, and there is nothing to be sent', id from outbox.delivery
where state in ('queued', 'claimed', 'sending', 'in_doubt') and (recipient is null or payload is null)
union all
select 'it gave up, and no dead letter says so', id from outbox.delivery d
where d.state in ('dead', 'expired')
  and not exists (select from outbox.dead_letter l where l.delivery_id = d.id and l.cycle = d.cycle)
union all
select 'it is in doubt, and nobody will decide', id from outbox.delivery d
where d.state = 'in_doubt' and (d.in_doubt_policy = 'hold' or d.resent) and not exists (
  select from outbox.dead_letter l where l.delivery_id = d.id and l.cycle = d.cycle and l.resolved_at is null)
union all
select 'it was perhaps accepted, and given up as if it were not', id from outbox.seen
where pinned and was = 'queued' and became in ('dead', 'expired')
union all
select 'it was sent again by itself more than once a cycle', s.id from outbox.seen s join outbox.delivery d using (id)
where (s.was, s.became) = ('in_doubt', 'queued') group by s.id, d.cycle having count(*) > d.cycle * 2 - 1
"""


def wrong(query: Query) -> list[str]:
    return [row["why"] for row in query(WRONG)]


def moves(query: Query) -> set[tuple[str, str]]:
    return {(row["was"], row["became"]) for row in query("select distinct was, became from outbox.seen")}


SENDING = ("claim", "intend")
STORIES = (
    (*SENDING, "accept", "bounce", "redrive"),
    (*SENDING, "postpone", *SENDING, "refuse", "redrive"),
    (*SENDING, "postpone", "time is over", "claim", "redrive"),
    (*SENDING, "lose the reply", "redrive"),
    (*SENDING, "lose the reply", "confirm"),
    (*SENDING, "lose the reply", "cancel"),
    (*SENDING, "postpone pinned", "time is over", "claim"),
    ("claim", "release"),
    ("claim", "fail to render"),
    ("time is over", "claim", "redrive"),
    ("suppress", "claim", "redrive"),
    ("cancel",),
)


def test_every_move_of_the_table_is_made_by_something(world: World) -> None:
    made = set[tuple[str, str]]()
    for story in STORIES:
        begin(world, owed=1)
        for action in story:
            world.act(action)
        made |= moves(world.query)
        assert wrong(world.query) == []

    assert made == MOVES


def test_what_was_perhaps_accepted_is_in_doubt_once_more_when_its_time_is_over(world: World) -> None:
    begin(world, owed=1)
    for action in (*SENDING, "lose the worker", "sweep", "time is over", "claim", "sweep"):
        world.act(action)

    [delivery] = world.query("select state, resent, content from outbox.delivery")
    [letter] = world.query("select reason, detail from outbox.dead_letter")
    assert delivery == {"state": "in_doubt", "resent": True, "content": b"bytes"}
    assert letter["reason"] == "in_doubt"
    assert "smtp://a" in letter["detail"]
