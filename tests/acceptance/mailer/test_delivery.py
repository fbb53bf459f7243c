import httpx

from devstack.sink import Sink
from tests.acceptance.mailer.pipeline import Pipeline
from tests.support.waiting import wait_until


def test_an_event_arrives_as_a_mail(running: Pipeline, sink: Sink, recipient: str) -> None:
    event_id = running.publish(email=recipient, name="Ada", new_role="ADMIN")

    [mail] = sink.wait(1, recipient=recipient)

    delivery = running.delivery(event_id, "sent")
    assert mail.sender == "no-reply@example.com"
    assert mail.header("Message-ID") == f"<{delivery['message_uuid']}@example.com>"
    assert running.attempts(event_id) == [("done", "accepted", 250)]
    assert delivery["content"] is None


def test_a_mail_that_is_refused_twice_for_now_goes_through_at_the_third_attempt(
    running: Pipeline, sink: Sink, recipient: str
) -> None:
    sink.script(recipient, ["451 4.7.1 come back later", "451 4.7.1 come back later", "ok"])

    event_id = running.publish(email=recipient, new_role="ADMIN")

    assert running.delivery(event_id, "sent")["attempt"] == 3
    assert running.attempts(event_id) == [
        ("rcpt", "transient", 451),
        ("rcpt", "transient", 451),
        ("done", "accepted", 250),
    ]
    assert len(sink.messages(recipient=recipient)) == 1


def test_an_address_that_bounces_is_a_dead_letter_and_gets_no_second_mail(
    running: Pipeline, sink: Sink, recipient: str
) -> None:
    sink.script(recipient, ["550 5.1.1 no such user"])
    event_id = running.publish(email=recipient, new_role="ADMIN")
    running.delivery(event_id, "dead")

    later = running.publish(email=recipient, new_role="USER")

    running.delivery(later, "suppressed")
    [letter] = running.dead_letters(event_id)
    assert (letter["stage"], letter["reason"], letter["attempts"]) == ("deliver", "recipient_refused", 1)
    assert recipient not in letter["detail"]


def test_a_bounce_that_is_redriven_arrives_and_lifts_the_suppression(
    running: Pipeline, sink: Sink, recipient: str
) -> None:
    sink.script(recipient, ["550 5.1.1 no such user", "ok"])
    event_id = running.publish(email=recipient, new_role="ADMIN")
    running.delivery(event_id, "dead")
    [letter] = running.dead_letters(event_id)

    running.query("select outbox.redrive(%s, 'the mailbox exists now')", letter["id"])

    assert running.delivery(event_id, "sent")["cycle"] == 2
    later = running.publish(email=recipient, new_role="USER")
    running.delivery(later, "sent")


def test_a_policy_refusal_is_a_dead_letter_and_suppresses_nobody(running: Pipeline, sink: Sink, recipient: str) -> None:
    sink.script(recipient, ["554 5.7.1 message rejected: bad reputation", "ok"])
    event_id = running.publish(email=recipient, new_role="ADMIN")
    running.delivery(event_id, "dead")

    later = running.publish(email=recipient, new_role="USER")

    running.delivery(later, "sent")
    assert [letter["reason"] for letter in running.dead_letters(event_id)] == ["policy_refused"]


def test_a_reply_lost_after_the_dot_is_in_doubt_and_waits_for_an_operator(
    running: Pipeline, sink: Sink, recipient: str
) -> None:
    sink.script(recipient, ["keep drop", "ok"], phase="dot")

    event_id = running.publish(email=recipient, new_role="ADMIN")  # role_upgrade: in_doubt = hold

    delivery = running.delivery(event_id, "in_doubt")
    assert running.attempts(event_id) == [("dot", "in_doubt", None)]
    assert delivery["pinned_transport"] is not None
    assert [letter["reason"] for letter in running.dead_letters(event_id)] == ["in_doubt"]
    assert len(sink.messages(recipient=recipient)) == 1


def test_a_reply_lost_after_the_dot_is_sent_once_more_where_the_mail_says_so(
    running: Pipeline, sink: Sink, recipient: str
) -> None:
    sink.script(recipient, ["keep drop", "keep drop", "ok"], phase="dot")

    event_id = running.publish(  # account_verification: in_doubt = resend
        "user.registered", email=recipient, name="Ada", verification_url="https://example.com/verify/1"
    )

    wait_until(
        lambda: running.dead_letters(event_id), timeout_seconds=20, what="the second doubt to be for an operator"
    )
    running.delivery(event_id, "in_doubt")
    first, second = sink.messages(recipient=recipient)
    assert first.header("Message-ID") == second.header("Message-ID")
    assert first.source == second.source
    assert running.attempts(event_id) == [("dot", "in_doubt", None), ("dot", "in_doubt", None)]


def test_a_drop_before_the_dot_is_simply_tried_again(running: Pipeline, sink: Sink, recipient: str) -> None:
    sink.script(recipient, ["drop", "ok"], phase="data")

    event_id = running.publish(email=recipient, new_role="ADMIN")

    running.delivery(event_id, "sent")
    assert len(sink.messages(recipient=recipient)) == 1


def test_a_record_that_is_read_again_makes_no_second_mail(running: Pipeline, sink: Sink, recipient: str) -> None:
    event_id = running.publish(email=recipient, new_role="ADMIN")
    running.delivery(event_id, "sent")

    running.publish(event_id=event_id, email=recipient, new_role="ADMIN")
    afterwards = running.publish(email=f"x{recipient}", new_role="ADMIN")

    running.delivery(afterwards, "sent")
    assert len(sink.messages(recipient=recipient)) == 1


def test_an_event_that_no_mail_answers_is_skipped(running: Pipeline, recipient: str) -> None:
    unknown = running.publish("user.dreamt", email=recipient)
    afterwards = running.publish(email=recipient, new_role="ADMIN")

    running.delivery(afterwards, "sent")

    assert running.query("select 1 from outbox.delivery where event_id = %s", unknown) == []
    assert running.dead_letters(unknown) == []


def test_an_event_without_an_address_is_a_dead_letter_at_once_and_blocks_nobody(
    running: Pipeline, recipient: str
) -> None:
    poison = running.publish(new_role="ADMIN")
    afterwards = running.publish(email=recipient, new_role="ADMIN")

    running.delivery(afterwards, "sent")

    [letter] = running.dead_letters(poison)
    assert (letter["stage"], letter["reason"], letter["mail"]) == ("consume", "no_recipient", "role_upgrade")
    assert letter["record_value"] == b'{"new_role": "ADMIN"}'


def test_a_redriven_record_that_fails_again_is_a_new_dead_letter(running: Pipeline) -> None:
    poison = running.publish(new_role="ADMIN")
    [first] = wait_until(lambda: running.dead_letters(poison), timeout_seconds=20, what="a dead letter")

    running.query("select outbox.redrive(%s, 'perhaps it works now')", first["id"])

    def failed_again() -> bool:
        return len(running.dead_letters(poison)) == 2

    wait_until(failed_again, timeout_seconds=20, what="a second dead letter")
    first, second = running.dead_letters(poison)
    assert (first["resolution"], first["redrive_pending"]) == ("redriven", False)
    assert (second["resolution"], second["attempts"]) == (None, 2)


def test_a_record_that_is_no_event_is_kept_as_it_was_read(running: Pipeline) -> None:
    event_id = "11111111-2222-4333-8444-555555555555"

    running.publish_raw(b"{not json \x00\xff", {"id": event_id.encode(), "ce_type": b"user.registered", "odd": b"\x00"})

    [letter] = wait_until(lambda: running.dead_letters(event_id), timeout_seconds=20, what="a dead letter")
    assert (letter["stage"], letter["reason"]) == ("consume", "malformed")
    assert letter["record_value"] == b"{not json \x00\xff"
    assert ["odd", {"base64": "AA=="}] in letter["record_headers"]


def test_an_event_with_a_character_that_postgresql_cannot_hold_blocks_nobody(running: Pipeline, recipient: str) -> None:
    event_id = running.publish("user.role_upgraded", aggregate_id="a\x00b", email=recipient, new_role="ADMIN")
    afterwards = running.publish(email=f"x{recipient}", new_role="ADMIN")

    running.delivery(afterwards, "sent")

    [letter] = running.dead_letters(event_id)
    assert (letter["stage"], letter["reason"]) == ("consume", "unstorable")


def test_metrics_and_readiness_are_served(running: Pipeline, recipient: str) -> None:
    running.delivery(running.publish(email=recipient, new_role="ADMIN"), "sent")

    consumer, sweeper = running.endpoint("consumer"), running.endpoint("sweeper")

    assert httpx.get(f"{consumer}/readyz").text == "1 partitions assigned\n"
    assert 'outbox_mailer_deliveries_planned_total{mail="role_upgrade"}' in httpx.get(f"{consumer}/metrics").text
    assert httpx.get(f"{sweeper}/readyz").text == "sweeping\n"
    assert "outbox_mailer_sweeper_elected 1.0" in httpx.get(f"{sweeper}/metrics").text
    assert httpx.get(f"{sweeper}/livez").is_success
