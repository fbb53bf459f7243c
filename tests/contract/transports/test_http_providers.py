"""Resend, Postmark and SES: the documented request, the documented answers, and answers that never come."""

import base64
import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import quote

import pytest

from devstack.processes import free_port
from mailer.classify import judge_reply
from mailer.compose import compose
from mailer.errors import TransportDsnError
from mailer.meanings import Kind
from mailer.rendering import Rendered
from mailer.reply import OutgoingMessage, Phase, Reply
from mailer.transports import open_transport
from tests.support.http_provider import Answering, Hangup, ProviderServer, Request, Say, Silence

AT = datetime(2026, 5, 17, 12, 0, tzinfo=UTC)
RECIPIENT = "ada@example.com"
ID = "<5b1d8cc0-1111-4222-8333-444455556666@example.org>"
RESEND_OK = Say(200, {"id": "49a3999c"})
POSTMARK_OK = Say(200, {"ErrorCode": 0, "Message": "OK", "MessageID": "b7bc2f4a"})
SES_OK = Say(200, {"MessageId": "0100-ses"})
OK = {"resend": RESEND_OK, "postmark": POSTMARK_OK, "ses": SES_OK}
SECRET = "s3cr3t/+Key"  # noqa: S105 - of nobody
TOKEN = "t0ken"  # noqa: S105 - of nobody


def dsn(scheme: str, endpoint: str) -> str:
    login = {"resend": TOKEN, "postmark": TOKEN, "ses": f"AKIDEXAMPLE:{quote(SECRET, safe='')}"}[scheme]
    region = "region=eu-central-1&" if scheme == "ses" else ""
    return f"{scheme}://{login}@default?{region}endpoint={endpoint}&timeout_seconds=0.5&connect_timeout_seconds=2"


def message(*, at: datetime = AT) -> OutgoingMessage:
    rendered = Rendered(subject="Größe geändert", text="Hallo\nWelt\n", html="<p>Hallo Wörld</p>")
    content = compose(
        rendered,
        message_id=ID,
        sender='"Acme, Inc." <no-reply@example.org>',
        recipient=RECIPIENT,
        date=AT,
        extra_headers={"List-Unsubscribe": "<https://example.org/u/abc>", "Reply-To": "help@example.org"},
    )
    return OutgoingMessage("no-reply@example.org", RECIPIENT, content, ID, at=at)


def sent(scheme: str, *answers: Answering, what: OutgoingMessage | None = None) -> tuple[Reply, list[Request]]:
    with ProviderServer(*answers) as server:
        transport = open_transport(dsn(scheme, server.endpoint))
        try:
            return transport.send(what or message()), server.requests
        finally:
            transport.close()


# ------------------------------------------------------------------------------------------------- the request


def test_resend_is_asked_as_its_documentation_says() -> None:
    reply, (request,) = sent("resend", RESEND_OK)

    assert reply.accepted, reply
    assert (request.method, request.path) == ("POST", "/emails")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["idempotency-key"] == ID.strip("<>")
    assert request.json == {
        "from": '"Acme, Inc." <no-reply@example.org>',
        "to": [RECIPIENT],
        "subject": "Größe geändert",
        "text": "Hallo\nWelt\n",
        "html": "<p>Hallo Wörld</p>",
        "reply_to": "help@example.org",
        "tags": [{"name": "delivery", "value": "5b1d8cc0-1111-4222-8333-444455556666"}],
        "headers": {
            "Message-ID": ID,
            "Auto-Submitted": "auto-generated",
            "List-Unsubscribe": "<https://example.org/u/abc>",
        },
    }


def test_postmark_is_asked_as_its_documentation_says() -> None:
    reply, (request,) = sent("postmark", POSTMARK_OK)

    assert reply.accepted, reply
    assert (request.method, request.path) == ("POST", "/email")
    assert request.headers["x-postmark-server-token"] == TOKEN
    assert request.headers["accept"] == "application/json"
    body = request.json
    assert {"Name": "Message-ID", "Value": ID} in body.pop("Headers")
    assert body == {
        "From": '"Acme, Inc." <no-reply@example.org>',
        "To": RECIPIENT,
        "Subject": "Größe geändert",
        "TextBody": "Hallo\nWelt\n",
        "HtmlBody": "<p>Hallo Wörld</p>",
        "ReplyTo": "help@example.org",
        "MessageStream": "outbound",
        "Metadata": {"delivery": "5b1d8cc0-1111-4222-8333-444455556666"},
        "TrackOpens": False,
        "TrackLinks": "None",
    }


def test_ses_gets_the_message_as_it_was_composed_and_the_signature_is_right() -> None:
    reply, (request,) = sent("ses", SES_OK)

    assert reply.accepted, reply
    assert (request.method, request.path) == ("POST", "/v2/email/outbound-emails")
    body = request.json
    assert base64.b64decode(body["Content"]["Raw"]["Data"]) == message().content
    assert body["FromEmailAddress"] == "no-reply@example.org"
    assert body["EmailTags"] == [{"Name": "delivery", "Value": "5b1d8cc0-1111-4222-8333-444455556666"}]
    assert body["Destination"] == {"ToAddresses": [RECIPIENT]}
    scope, given = _signed(request)
    assert scope.endswith("/eu-central-1/ses/aws4_request")
    assert given == _signature(request, scope, SECRET)
    assert given != _signature(replace(request, body=request.body + b" "), scope, SECRET)


def _signed(request: Request) -> tuple[str, str]:
    kind, _, rest = request.headers["authorization"].partition(" ")
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    key, _, scope = parts["Credential"].partition("/")
    assert (kind, key) == ("AWS4-HMAC-SHA256", "AKIDEXAMPLE")
    return scope, parts["Signature"]


def _signature(request: Request, scope: str, secret: str) -> str:
    """Return Signature Version 4, worked out from AWS's description of it and not by botocore."""
    names = request.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    headers = "".join(f"{name}:{' '.join(request.headers[name].split())}\n" for name in names)
    digest = hashlib.sha256(request.body).hexdigest()
    canonical = "\n".join((request.method, request.path, "", headers, ";".join(names), digest))
    to_sign = "\n".join(
        ("AWS4-HMAC-SHA256", request.headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest())
    )
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, to_sign.encode(), "sha256").hexdigest()


# ------------------------------------------------------------------------------------------------- the answers


def resend_error(status: int, name: str) -> Say:
    return Say(status, {"statusCode": status, "name": name, "message": f"about {RECIPIENT}"})


def postmark_error(number: int, status: int = 422) -> Say:
    return Say(status, {"ErrorCode": number, "Message": f"about {RECIPIENT}"})


def ses_error(status: int, code: str, words: str = "no") -> Say:
    return Say(status, {"message": f"{words}: {RECIPIENT}"}, {"x-amzn-ErrorType": code})


@pytest.mark.parametrize(
    ("scheme", "answer", "reason"),
    [
        ("resend", resend_error(400, "validation_error"), "message_refused"),
        ("resend", resend_error(401, "missing_api_key"), "not_authorised"),
        ("resend", resend_error(403, "invalid_api_key"), "not_authorised"),
        ("resend", resend_error(403, "validation_error"), "not_authorised"),
        ("resend", resend_error(404, "not_found"), "transport_refused"),
        ("resend", resend_error(422, "missing_required_field"), "message_refused"),
        ("resend", resend_error(422, "invalid_from_address"), "sender_refused"),
        ("resend", resend_error(429, "rate_limit_exceeded"), "rate_limited"),
        ("resend", resend_error(429, "daily_quota_exceeded"), "rate_limited"),
        ("resend", resend_error(451, "security_error"), "policy_refused"),
        ("resend", resend_error(503, ""), "unavailable"),
        ("postmark", postmark_error(10, 401), "not_authorised"),
        ("postmark", postmark_error(300), "message_refused"),
        ("postmark", postmark_error(400), "sender_refused"),
        ("postmark", postmark_error(405), "not_authorised"),
        ("postmark", postmark_error(406), "recipient_refused"),
        ("postmark", postmark_error(412), "not_authorised"),
        ("postmark", postmark_error(1235), "transport_refused"),
        ("postmark", Say(413, "too large"), "message_refused"),
        ("postmark", Say(429, "slow down"), "rate_limited"),
        ("postmark", Say(503, "maintenance"), "unavailable"),
        ("ses", ses_error(400, "MessageRejected"), "message_refused"),
        ("ses", ses_error(400, "MessageRejected", "Email address is not verified"), "sender_refused"),
        ("ses", ses_error(400, "MailFromDomainNotVerifiedException"), "sender_refused"),
        ("ses", ses_error(400, "AccountSuspendedException"), "not_authorised"),
        ("ses", ses_error(400, "SendingPausedException"), "not_authorised"),
        ("ses", ses_error(400, "BadRequestException"), "message_refused"),
        ("ses", ses_error(404, "NotFoundException"), "transport_refused"),
        ("ses", ses_error(429, "TooManyRequestsException"), "rate_limited"),
        ("ses", ses_error(400, "LimitExceededException"), "rate_limited"),
        ("ses", ses_error(403, "InvalidSignatureException"), "not_authorised"),
        ("ses", ses_error(403, "AccessDeniedException"), "not_authorised"),
        ("ses", ses_error(503, "ServiceUnavailable"), "unavailable"),
    ],
)
def test_a_documented_error_means_what_its_kind_means(scheme: str, answer: Say, reason: str) -> None:
    reply, _ = sent(scheme, answer)

    assert judge_reply(reply).meaning.reason == reason, reply
    assert "@" not in reply.text, "an address in a reply's text"


@pytest.mark.parametrize("scheme", OK)
@pytest.mark.parametrize(
    "answer",
    [Hangup(), Hangup(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"), Silence(), Say(502, "gateway"), Say(504)],
    ids=["closed", "cut short", "silent", "502", "504"],
)
def test_an_answer_that_is_lost_leaves_the_message_in_doubt(scheme: str, answer: Answering) -> None:
    reply, requests = sent(scheme, answer)

    assert len(requests) == 1, "asked again by itself"
    assert (reply.phase, reply.accepted, reply.answered) == (Phase.DOT, False, False), reply
    # Resend's key takes the doubt away: the same transport may be asked again.
    expected = Kind.TRANSIENT if scheme == "resend" else Kind.IN_DOUBT
    assert judge_reply(reply).meaning.kind is expected
    assert judge_reply(reply).meaning.pins is (scheme == "resend")


@pytest.mark.parametrize("scheme", OK)
@pytest.mark.parametrize("body", ["", "<html>welcome to our hotel</html>", "[1]", {"hello": 1}])
def test_a_success_that_is_not_the_providers_is_no_acceptance(scheme: str, body: dict[str, int] | str) -> None:
    reply, _ = sent(scheme, Say(200, body))

    assert not reply.accepted, reply
    assert reply.phase is Phase.DOT, reply


@pytest.mark.parametrize("scheme", OK)
def test_a_redirect_is_not_followed(scheme: str) -> None:
    with ProviderServer(OK[scheme]) as elsewhere:
        location = {"Location": elsewhere.endpoint.replace("%3A", ":").replace("%2F", "/")}
        reply, _ = sent(scheme, Say(307, "", location))

        assert not reply.accepted, reply
        assert elsewhere.requests == []


@pytest.mark.parametrize("scheme", OK)
def test_a_server_that_is_away_has_not_taken_the_message(scheme: str) -> None:
    transport = open_transport(dsn(scheme, f"http%3A%2F%2F127.0.0.1%3A{free_port()}"))

    reply = transport.send(message())
    transport.close()

    assert (reply.phase, reply.answered) == (Phase.CONNECT, False), reply


# ----------------------------------------------------------------------------------------------- Resend's key


def test_a_key_that_is_too_old_does_not_take_the_doubt_away() -> None:
    reply, _ = sent("resend", Hangup(), what=message(at=AT + timedelta(hours=23)))

    assert judge_reply(reply).meaning.kind is Kind.IN_DOUBT


def test_what_may_have_been_accepted_is_not_sent_under_a_key_that_is_too_old() -> None:
    late = replace(message(at=AT + timedelta(hours=24)), again=True)

    reply, requests = sent("resend", RESEND_OK, what=late)

    assert requests == []
    assert judge_reply(reply).meaning.kind is Kind.IN_DOUBT


def test_a_key_in_use_is_asked_again_and_one_with_other_bytes_is_not() -> None:
    in_use, _ = sent("resend", resend_error(409, "concurrent_idempotent_requests"))
    other, _ = sent("resend", resend_error(409, "invalid_idempotent_request"))

    assert judge_reply(in_use).meaning.pins
    assert judge_reply(other).meaning.kind is Kind.IN_DOUBT


# ------------------------------------------------------------------------------------------------- bad settings


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("resend://default", "expected an API key"),
        ("postmark://default", "expected a server token"),
        ("ses://default", "expected region to be an AWS region"),
        ("ses://KEY@default?region=eu-central-1", "expected an access key and its secret"),
        ("resend://k@default?endpoint=http://mail.example.com", "expected endpoint to be https"),
        ("postmark://k@default?trace=1", "unknown option 'trace'"),
    ],
)
def test_a_dsn_that_cannot_work_is_refused_with_the_reason(text: str, what: str) -> None:
    with pytest.raises(TransportDsnError, match=what):
        open_transport(text)


def test_a_message_with_a_part_that_has_no_field_is_refused_and_not_shortened() -> None:
    head = f'From: a@example.org\r\nDate: {format_datetime(AT)}\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    parts = "--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b\r\nContent-Type: application/pdf\r\n\r\nx\r\n--b--\r\n"
    what = OutgoingMessage("a@example.org", RECIPIENT, (head + parts).encode(), ID)

    reply, requests = sent("postmark", POSTMARK_OK, what=what)

    assert requests == []
    assert judge_reply(reply).meaning.reason == "message_refused"
