"""Webhooks as providers document them: who is believed, and what is heard."""

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from mailer.hooks import Heard, HookRefusedError, HookRequest, postmark, resend, ses

OURS = UUID("5b1d8cc0-1111-4222-8333-444455556666")
ADDRESS = "ada@example.com"
NOW = datetime(2026, 5, 17, 12, 0, tzinfo=UTC)


def facts(heard: Heard) -> tuple[list[tuple[UUID, bool]], tuple[UUID, ...]]:
    return [(one.message_uuid, one.undeliverable) for one in heard.bounces], heard.complaints


# ------------------------------------------------------------------------------------------------------ Resend

KEY = base64.b64encode(b"of nobody at all").decode()


def signed(event: object, *, key: str = KEY, seconds: str = f"{NOW.timestamp():.0f}") -> HookRequest:
    body = json.dumps(event).encode()
    mac = hmac.digest(base64.b64decode(key), f"msg_1.{seconds}.".encode() + body, "sha256")
    signatures = f"v1,{base64.b64encode(b'old').decode()} v1,{base64.b64encode(mac).decode()}"
    return HookRequest({"svix-id": "msg_1", "svix-timestamp": seconds, "svix-signature": signatures}, body, NOW)


def of_resend(kind: str, **data: object) -> object:
    return {"type": kind, "data": {"to": [ADDRESS], "tags": {"delivery": str(OURS)}, **data}}


PERMANENT = {"type": "Permanent", "subType": "General", "message": f"no such user: {ADDRESS}"}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (of_resend("email.bounced", bounce=PERMANENT), ([(OURS, True)], ())),
        (of_resend("email.bounced", bounce={**PERMANENT, "type": "Transient"}), ([(OURS, False)], ())),
        (of_resend("email.bounced", bounce={**PERMANENT, "subType": "ContentRejected"}), ([(OURS, False)], ())),
        (of_resend("email.complained"), ([], (OURS,))),
        (of_resend("email.delivered"), ([], ())),
        ({"type": "email.bounced", "data": {"tags": {"delivery": "other"}}}, ([], ())),
        ({"type": "email.bounced", "data": []}, ([], ())),
    ],
)
def test_resends_hooks(event: object, expected: object) -> None:
    heard = resend.hear(signed(event), secret=f"whsec_{KEY}")

    assert facts(heard) == expected
    assert all("@" not in one.reply.text for one in heard.bounces)


def test_what_resend_did_not_sign_is_refused() -> None:
    good = signed(of_resend("email.complained"))
    tampered = replace(good, body=good.body.replace(b"complained", b"bounced"))
    later = replace(good, headers={**good.headers, "svix-timestamp": str(int(good.headers["svix-timestamp"]) + 60)})
    other_id = replace(good, headers={**good.headers, "svix-id": "msg_2"})
    other_version = replace(
        good, headers={**good.headers, "svix-signature": good.headers["svix-signature"].replace("v1,", "v1a,")}
    )
    other = signed(of_resend("email.complained"), key=base64.b64encode(b"another").decode())

    for request in (tampered, later, other_id, other_version, other, replace(good, headers={})):
        with pytest.raises(HookRefusedError) as refused:
            resend.hear(request, secret=f"whsec_{KEY}")
        assert refused.value.status == 401


@pytest.mark.parametrize(("after", "heard"), [(-301, False), (-299, True), (0, True), (299, True), (301, False)])
def test_what_resend_signed_counts_for_five_minutes(after: int, heard: bool) -> None:  # noqa: FBT001 - a table
    request = replace(signed(of_resend("email.complained")), at=NOW + timedelta(seconds=after))

    if heard:
        assert resend.hear(request, secret=KEY).complaints == (OURS,)
    else:
        with pytest.raises(HookRefusedError, match="signed in the last 5 minutes"):
            resend.hear(request, secret=KEY)


@pytest.mark.parametrize("seconds", ["", "soon", "1e9", "99999999999999999999", "-99999999999999"])
def test_a_time_that_is_none_is_refused(seconds: str) -> None:
    with pytest.raises(HookRefusedError):
        resend.hear(signed(of_resend("email.complained"), seconds=seconds), secret=KEY)


# ---------------------------------------------------------------------------------------------------- Postmark


def of_postmark(record: str, kind: str, login: str = "hook:pass") -> HookRequest:
    event = {"RecordType": record, "Type": kind, "Email": ADDRESS, "Details": f"smtp;550 {ADDRESS}"}
    body = json.dumps({**event, "Metadata": {"delivery": str(OURS)}}).encode()
    return HookRequest({"authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}, body, NOW)


@pytest.mark.parametrize(
    ("record", "kind", "expected"),
    [
        ("Bounce", "HardBounce", ([(OURS, True)], ())),
        ("Bounce", "BadEmailAddress", ([(OURS, True)], ())),
        ("Bounce", "SoftBounce", ([(OURS, False)], ())),
        ("Bounce", "Blocked", ([(OURS, False)], ())),
        ("Bounce", "AutoResponder", ([], ())),
        ("SpamComplaint", "SpamComplaint", ([], (OURS,))),
        ("Delivery", "", ([], ())),
    ],
)
def test_postmarks_hooks(record: str, kind: str, expected: object) -> None:
    heard = postmark.hear(of_postmark(record, kind), login="hook:pass")

    assert facts(heard) == expected
    assert all("@" not in one.reply.text for one in heard.bounces)


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer x"}, {"authorization": "Basic aG9vazp4"}])
def test_who_does_not_sign_in_as_postmark_is_refused(headers: Mapping[str, str]) -> None:
    with pytest.raises(HookRefusedError, match="expected the hook's URL"):
        postmark.hear(HookRequest(headers, b"{}", NOW), login="hook:pass")


# ------------------------------------------------------------------------------------------------ SES, by SNS

TOPIC = "arn:aws:sns:eu-central-1:123456789012:bounces"
CERTIFICATE = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem"


@pytest.fixture(scope="module")
def amazon() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(key: rsa.RSAPrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
    since = datetime(2026, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, since, since + timedelta(days=3650))
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def from_sns(key: rsa.RSAPrivateKey, message: object, *, version: str = "2", **changes: object) -> HookRequest:
    envelope: dict[str, object] = {
        "Type": "Notification",
        "MessageId": "m1",
        "TopicArn": TOPIC,
        "Message": json.dumps(message),
        "Timestamp": "2026-05-17T12:00:00.000Z",
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE,
        **changes,
    }
    names = ("Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
    text = "".join(f"{name}\n{envelope[name]}\n" for name in names if envelope.get(name) is not None)
    algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()  # noqa: S303 - what SNS calls version 1
    envelope["Signature"] = base64.b64encode(key.sign(text.encode(), padding.PKCS1v15(), algorithm)).decode()
    return HookRequest({}, json.dumps(envelope).encode(), NOW)


def of_ses(kind: str, lasts: str = "Permanent", sub: str = "General") -> object:
    recipient = {"emailAddress": ADDRESS, "status": "5.1.1", "diagnosticCode": f"smtp; 550 5.1.1 <{ADDRESS}> unknown"}
    bounce = {
        "bounceType": lasts,
        "bounceSubType": sub,
        "bouncedRecipients": [recipient] if lasts == "Permanent" else [],
    }
    return {"eventType": kind, "mail": {"tags": {"delivery": [str(OURS)]}}, "bounce": bounce}


def hear(key: rsa.RSAPrivateKey, request: HookRequest, asked: list[str] | None = None) -> Heard:
    def fetch(url: str) -> bytes:
        (asked if asked is not None else []).append(url)
        return certificate(key)

    return ses.hear(request, topic=TOPIC, fetch=fetch)


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (of_ses("Bounce"), ([(OURS, True)], ())),
        (of_ses("Bounce", "Transient", "MailboxFull"), ([(OURS, False)], ())),
        (of_ses("Complaint"), ([], (OURS,))),
        (of_ses("Delivery"), ([], ())),
        ({"eventType": "Bounce", "mail": {"tags": {}}}, ([], ())),
    ],
)
def test_ses_notifications(amazon: rsa.RSAPrivateKey, version: str, message: object, expected: object) -> None:
    heard = hear(amazon, from_sns(amazon, message, version=version))

    assert facts(heard) == expected
    assert all("@" not in one.reply.text for one in heard.bounces)


def test_a_subscription_is_confirmed_where_amazon_says(amazon: rsa.RSAPrivateKey) -> None:
    query = f"Action=ConfirmSubscription&TopicArn={TOPIC}&Token=t"
    url, asked = f"https://sns.eu-central-1.amazonaws.com/?{query}", list[str]()
    request = from_sns(amazon, "", Type="SubscriptionConfirmation", SubscribeURL=url, Token="t")  # noqa: S106 - no secret

    hear(amazon, request, asked)

    assert asked == [CERTIFICATE, url]


AMAZON = "https://sns.eu-central-1.amazonaws.com"


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/?Action=ConfirmSubscription&Token=t",
        "file:///etc/passwd",
        f"{AMAZON}@evil.example.com/?Action=ConfirmSubscription&Token=t",
        f"https://evil.example.com/{AMAZON}/?Action=ConfirmSubscription&Token=t",
        f"{AMAZON}:8443/?Action=ConfirmSubscription&Token=t",
        f"{AMAZON}/?Action=Publish&TopicArn={TOPIC}&Message=x",
        f"{AMAZON}/?Action=ConfirmSubscription&Token=t#x",
        f"{AMAZON}/?Action=ConfirmSubscription&Token=t\n",
        "https://[",
        "",
        7,
        None,
    ],
)
def test_a_confirmation_asks_for_nothing_but_its_own_url(amazon: rsa.RSAPrivateKey, url: object) -> None:
    asked = list[str]()
    request = from_sns(amazon, "", Type="SubscriptionConfirmation", SubscribeURL=url, Token="t")  # noqa: S106 - no secret

    with pytest.raises(HookRefusedError):
        hear(amazon, request, asked)

    assert asked == [CERTIFICATE]


@pytest.mark.parametrize(
    "url",
    [
        # The same host answers for SNS's API, in words of others.
        f"{AMAZON}/?Action=GetTopicAttributes&TopicArn={TOPIC}&x=.pem",
        f"{AMAZON}/SimpleNotificationService-1.pem?x=.pem",
        f"{AMAZON}/../x/SimpleNotificationService-1.pem",
        f"{AMAZON}//SimpleNotificationService-1.pem",
        f"{AMAZON}@evil.example.com/SimpleNotificationService-1.pem",
        f"{AMAZON}\\@evil.example.com/SimpleNotificationService-1.pem",
        "https://snsXeu-central-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.eu-central-1.amazonaws.com.evil.org/SimpleNotificationService-1.pem",
        "https://sns.eu-central-1.amazonaws.com\n.evil.org/SimpleNotificationService-1.pem",
        "https://[",
        {"a": 1},
    ],
)
def test_a_certificate_is_asked_for_where_amazon_has_them_and_nowhere_else(
    amazon: rsa.RSAPrivateKey, url: object
) -> None:
    asked = list[str]()

    with pytest.raises(HookRefusedError, match="expected a URL of SNS"):
        hear(amazon, from_sns(amazon, of_ses("Complaint"), SigningCertURL=url), asked)

    assert asked == []


@pytest.mark.parametrize("stamp", ["2026-05-16T11:59:59.000Z", "2026-05-17T12:05:01.000Z", "soon", None, 5])
def test_an_old_notification_is_not_heard_again(amazon: rsa.RSAPrivateKey, stamp: object) -> None:
    with pytest.raises(HookRefusedError):
        hear(amazon, from_sns(amazon, of_ses("Complaint"), Timestamp=stamp))


Change = Callable[[rsa.RSAPrivateKey], HookRequest]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda key: from_sns(key, {}, TopicArn="arn:aws:sns:eu-central-1:1:other"), "message of our topic"),
        (lambda key: from_sns(key, {}, SigningCertURL="https://evil.example.com/x.pem"), "URL of SNS"),
        (lambda key: from_sns(key, {}, SigningCertURL="http://sns.eu-central-1.amazonaws.com/x.pem"), "URL of SNS"),
        (lambda key: from_sns(key, {}, SigningCertURL="https://sns.x.amazonaws.com.evil.org/x.pem"), "URL of SNS"),
        (lambda key: from_sns(key, {}, SignatureVersion="9"), "SignatureVersion"),
        (lambda _: from_sns(rsa.generate_private_key(public_exponent=65537, key_size=2048), {}), "not Amazon's"),
    ],
)
def test_what_amazon_did_not_sign_for_our_topic_is_refused(amazon: rsa.RSAPrivateKey, change: Change, why: str) -> None:
    with pytest.raises(HookRefusedError, match=why):
        hear(amazon, change(amazon))


# ---------------------------------------------------------------------------------------------------- anything

NAMES = ["type", "data", "tags", "delivery", "bounce", "RecordType", "Metadata", "mail", "eventType"]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner),
    max_leaves=20,
)  # fmt: skip


@given(ANYTHING)
def test_no_json_whatever_raises_anything_but_a_refusal(amazon: rsa.RSAPrivateKey, content: object) -> None:
    login = {"authorization": f"Basic {base64.b64encode(b'a:b').decode()}"}
    with suppress(HookRefusedError):
        resend.hear(signed(content), secret=KEY)
    with suppress(HookRefusedError):
        postmark.hear(HookRequest(login, json.dumps(content).encode(), NOW), login="a:b")
    with suppress(HookRefusedError):
        hear(amazon, from_sns(amazon, content))


def test_half_of_a_surrogate_pair_is_a_refusal_also_before_a_signature_is_looked_at(amazon: rsa.RSAPrivateKey) -> None:
    with pytest.raises(HookRefusedError, match="expected JSON"):
        hear(amazon, HookRequest({}, json.dumps({"TopicArn": TOPIC, "Message": "\ud800"}).encode(), NOW))


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b"[" * 100_000, b'{"a":1', b"9" * 10_000, b"null"])
def test_a_body_that_is_no_object_is_a_refusal(amazon: rsa.RSAPrivateKey, body: bytes) -> None:
    with pytest.raises(HookRefusedError, match="expected"):
        hear(amazon, HookRequest({}, body, NOW))
