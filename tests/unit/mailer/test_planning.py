import json
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailer.errors import MalformedEventError
from mailer.mail import Mail
from mailer.planning import Plan, ReadRecord, headers_from_json, headers_to_json, plan, unstorable
from outbox.decoding import ReceivedEvent

EVENT_ID = "0b7d7c1e-6f1f-4d0e-9c1a-2f9a6f1d2c3b"
HEADERS = (
    ("id", EVENT_ID.encode()),
    ("ce_specversion", b"1.0"),
    ("ce_type", b"user.locked"),
    ("ce_source", b"/outbox/x/user"),
    ("traceparent", b"00-1-1-01"),
)


def a_mail(name: str, event: str = "user.locked") -> Mail:
    address, hour = "{{ payload.email }}", timedelta(hours=1)
    return Mail(name, event, address, "security", 10, hour, "hold", None, suppressible=False, version="v1")


class Library:
    def __init__(self, *mails: Mail) -> None:
        self._mails = mails

    def mails_for(self, event_type: str) -> tuple[Mail, ...]:
        return tuple(mail for mail in self._mails if mail.event == event_type)

    def recipient_and_locale(self, mail: Mail, event: ReceivedEvent) -> tuple[str, str]:
        if mail.name == "recursive":
            raise RecursionError
        if not isinstance(event.payload, dict):
            raise MalformedEventError(mail.name, "payload_not_an_object", "as the real library says")
        if "email" not in event.payload:
            raise MalformedEventError(mail.name, "no_recipient", "there is nobody")
        return event.payload["email"], "en"


def record(value: bytes | None = b'{"email": "ada@example.com"}', **more: object) -> ReadRecord:
    facts = {"topic": "t", "partition": 0, "offset": 7, "key": b"42", "headers": HEADERS, **more}
    return ReadRecord(value=value, **facts)  # type: ignore[arg-type] # the tests name what differs


def planned(one: ReadRecord, *mails: Mail) -> Plan:
    return plan(one, mails=Library(*mails), key_of=lambda address: address.encode())


def test_an_event_owes_a_delivery_of_each_mail_that_answers_it() -> None:
    made = planned(record(), a_mail("account_locked"), a_mail("tell_support"), a_mail("other", "user.unlocked"))

    assert [(one.mail.name, one.recipient, one.locale) for one in made.owed] == [
        ("account_locked", "ada@example.com", "en"),
        ("tell_support", "ada@example.com", "en"),
    ]
    assert made.malformed == ()


def test_an_event_that_no_mail_answers_owes_nothing() -> None:
    made = planned(record(), a_mail("other", "user.unlocked"))

    assert (made.owed, made.malformed) == ((), ())


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (b"{not json", HEADERS),
        (None, HEADERS),
        (b"{}", ()),
        (b"\xff", HEADERS),
        (b"{}", (("id", b"no uuid"), *HEADERS)),
    ],
)
def test_a_record_that_is_no_event_is_malformed(value: bytes | None, headers: tuple[tuple[str, bytes], ...]) -> None:
    made = planned(record(value, headers=headers), a_mail("account_locked"))

    assert [(one.reason, one.mail) for one in made.malformed] == [("malformed", None)]


def test_one_mails_fault_does_not_hold_up_another() -> None:
    made = planned(record(), a_mail("recursive"), a_mail("account_locked"))

    assert [one.mail.name for one in made.owed] == ["account_locked"]
    assert [(one.reason, one.mail) for one in made.malformed] == [("too_deep", "recursive")]


def test_a_record_kept_for_one_mail_is_planned_again_for_that_mail_alone() -> None:
    made = planned(record(mail="tell_support"), a_mail("account_locked"), a_mail("tell_support"))

    assert [one.mail.name for one in made.owed] == ["tell_support"]


def test_what_the_database_cannot_hold_owes_nothing_and_says_so() -> None:
    made = unstorable(planned(record(), a_mail("account_locked")), "a NUL")

    assert made.owed == ()
    assert [(one.reason, one.detail, one.event_id) for one in made.malformed] == [("unstorable", "a NUL", EVENT_ID)]


def test_reasons_quote_no_payload() -> None:
    made = planned(record(b'{"email": "ada@example.com", oops'), a_mail("account_locked"))

    assert "ada" not in repr(made)


@given(
    st.lists(
        st.tuples(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])), st.none() | st.binary())
    )
)
def test_headers_survive_being_kept(headers: list[tuple[str, bytes | None]]) -> None:
    assert headers_from_json(headers_to_json(tuple(headers))) == tuple(headers)


def test_what_postgresql_cannot_hold_of_a_header_is_replaced() -> None:
    stored = json.dumps(headers_to_json((("a\ud800\x00b", b"\x00"),)))

    assert json.loads(stored) == [["a\ufffd\ufffdb", {"base64": "AA=="}]]


@given(st.none() | st.binary(), st.none() | st.binary(), st.lists(st.tuples(st.text(), st.none() | st.binary())))
@example(b"0", b"\x00", [])
def test_no_record_raises(value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes | None]]) -> None:
    made = planned(record(value, key=key, headers=(*headers, *HEADERS)), a_mail("account_locked"))

    assert len(made.owed) + len(made.malformed) == 1
