"""What happens in the demo, step by step, and the proof of each step."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from devstack.sink.client import SinkClient
from examples.demo.processes import DemoError, Processes

if TYPE_CHECKING:
    from devstack import Stack

MAIL_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who signs up in the demo."""

    name: str
    email: str


ADA = Person("Ada Lovelace", "ada@example.com")
GRACE = Person("Grace Hopper", "grace@example.com")
ALAN = Person("Alan Turing", "alan@example.com")
BOUNCE = Person("Nobody Atall", "nobody@example.com")


class Story:
    """The steps, told while they happen."""

    def __init__(self, servers: Stack, processes: Processes) -> None:
        """Prepare the sink: one address is busy twice, one does not exist."""
        self._servers = servers
        self._processes = processes
        self._sink = SinkClient(servers.inbox_url)
        # A connection a request: the application closes the one on which a request failed, at its own time.
        headers = {"Connection": "close"}
        self._http = httpx.Client(base_url=processes.application_url, timeout=10, headers=headers, trust_env=False)
        self._started = time.monotonic()
        self._ids: dict[str, str] = {}

    def tell(self) -> None:
        """Run every step; raise a `DemoError` at the first that does not come true."""
        self._sign_ups()
        self._changes()
        self._rolled_back()
        self._greylisted()
        self._bounced()
        self._poisoned()
        self._redriven()
        self._settled()

    def _sign_ups(self) -> None:
        self._say("Ada and Grace sign up: one transaction each, the user and the event together.")
        for person in (ADA, GRACE):
            self._sign_up(person)
        for person in (ADA, GRACE):
            self._expect_mail(person, 1, "asked to verify the address")

    def _changes(self) -> None:
        self._say("Ada becomes ADMIN and a professional; Grace's account is locked.")
        self._post(f"/users/{self._ids[ADA.email]}/role", new_role="ADMIN")
        self._post(f"/users/{self._ids[ADA.email]}/professional")
        self._post(f"/users/{self._ids[GRACE.email]}/lock", reason="five wrong passwords")
        self._expect_mail(ADA, 3, "told of the new role and status")
        self._expect_mail(GRACE, 2, "told that the account is locked")
        self._post(f"/users/{self._ids[GRACE.email]}/unlock")
        self._post(f"/users/{self._ids[GRACE.email]}/password-reset")
        self._expect_mail(GRACE, 4, "unlocked, with a link to reset the password")

    def _rolled_back(self) -> None:
        self._say("A request inserts an event and then fails: its transaction rolls back.")
        before = self._count("select count(*) from outbox.event")
        answer = self._http.post("/users", json={"name": "Eve", "email": "eve@example.com", "fail_after_insert": True})
        if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
            raise DemoError(f"expected the failing request to answer 5xx, got {answer.status_code}")
        if self._count("select count(*) from outbox.event") != before:
            raise DemoError("expected no event of a rolled-back request, got one")
        self._note("no user, no event, no mail")

    def _greylisted(self) -> None:
        self._say("Alan's server answers 451 twice: try again later.")
        self._sink.script(ALAN.email, ["451 4.3.0 try again later", "451 4.3.0 try again later", "ok"])
        self._sign_up(ALAN)
        self._expect_mail(ALAN, 1, "reached at the third attempt")
        attempts = self._count(
            "select count(*) from outbox.attempt join outbox.delivery d on d.id = delivery_id where d.recipient = %s",
            ALAN.email,
        )
        self._note(f"outbox.attempt holds {attempts} attempts")

    def _bounced(self) -> None:
        self._say("Somebody mistypes the address: the server answers 550 5.1.1.")
        self._sink.script(BOUNCE.email, ["550 5.1.1 no such user"])
        self._sign_up(BOUNCE)
        self._dead_letter("deliver")

    def _poisoned(self) -> None:
        self._say("An event names a topic that Kafka refuses: it is set aside, and nothing behind it waits.")
        self._processes.query(
            "insert into outbox.event (aggregate_type, aggregate_id, type, payload, topic)"
            " values ('user', 'poison', 'user.registered', '{}', 'not a topic!') returning event_id"
        )
        self._dead_letter("publish")

    def _redriven(self) -> None:
        self._say("The mailbox of the mistyped address is set up; the dead letter is redriven.")
        self._sink.script(BOUNCE.email, ["ok"])
        ((dead_id,),) = self._processes.query(
            "select id from outbox.dead_letter where stage = 'deliver' and resolved_at is null"
        )
        self._processes.outbox("dead", "redrive", str(dead_id), "--reason", "mailbox was created", "--yes")
        self._expect_mail(BOUNCE, 1, "reached after the redrive")

    def _settled(self) -> None:
        self._processes.wait(self._nothing_open, seconds=MAIL_SECONDS, what="every delivery to be sent")
        status = json.loads(self._processes.outbox("status", "--json"))
        if status["backlog"] != 0:
            raise DemoError(f"expected the backlog to be 0, got {status['backlog']}")
        ((events,),) = self._processes.query("select count(*) from outbox.event")
        ((sent,),) = self._processes.query("select count(*) from outbox.delivery where state = 'sent'")
        mails = len(self._sink.messages())
        if mails != sent:
            raise DemoError(f"expected as many mails in the sink as deliveries sent ({sent}), got {mails}")
        self._say(
            f"{events} events, {sent} deliveries sent, {mails} mails in the sink, 2 dead letters, 1 of them redriven."
        )

    def where_to_look(self) -> None:
        """Print the addresses and the command lines of this run."""
        database = self._servers.database_url
        print(
            f"""
Where to look
  inbox         {self._servers.inbox_url}
  application   {self._processes.application_url}/docs
  metrics       http://127.0.0.1:{self._processes.metrics_port}/metrics
  on call       OUTBOX_DATABASE_URL='{database}' .venv/bin/outbox status
  dead letters  psql '{database}' -c 'select id, stage, reason, detail from outbox.dead_letter'
  an event      psql '{database}' -c "select outbox.emit('user.locked', 'user', '42',
                  '{{\\"email\\": \\"you@example.com\\", \\"reason\\": \\"a look\\"}}')\"""",  # noqa: S608  printed for a person, never executed
            flush=True,
        )

    # ------------------------------------------------------------------------------------------------ small glue
    def _sign_up(self, person: Person) -> None:
        user = self._post("/users", name=person.name, email=person.email)
        self._ids[person.email] = str(user["id"])

    def _post(self, path: str, **fields: str) -> dict[str, object]:
        answer = self._http.post(path, json=fields)
        if answer.is_error:
            raise DemoError(f"POST {path} answered {answer.status_code}: {answer.text}")
        body: dict[str, object] = answer.json()
        return body

    def _expect_mail(self, person: Person, count: int, what: str) -> None:
        def arrived() -> bool:
            return len(self._sink.messages(recipient=person.email)) >= count

        self._processes.wait(arrived, seconds=MAIL_SECONDS, what=f"{count} mails to {person.email}")
        self._note(f"{person.name} was {what}")

    def _dead_letter(self, stage: str) -> None:
        def found() -> tuple[object, ...] | None:
            rows = self._processes.query(
                "select id, reason, detail from outbox.dead_letter where stage = %s and resolved_at is null", stage
            )
            return rows[0] if rows else None

        dead_id, reason, detail = self._processes.wait(
            found, seconds=MAIL_SECONDS, what=f"a dead letter of stage {stage}"
        )
        self._note(f"dead letter {dead_id}: {stage}, {reason}: {detail}")

    def _nothing_open(self) -> bool:
        return self._count("select count(*) from outbox.delivery where state <> 'sent'") == 0

    def _count(self, statement: str, *parameters: object) -> int:
        ((count,),) = self._processes.query(statement, *parameters)
        return int(str(count))

    def _say(self, text: str) -> None:
        print(f"\n[{time.monotonic() - self._started:5.1f} s] {text}", flush=True)

    def _note(self, text: str) -> None:
        print(f"          · {text}", flush=True)
