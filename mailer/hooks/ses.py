"""Amazon SES tells by SNS: each message is signed with a certificate of Amazon's, and of one topic only.

Source: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html and
https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509 import load_pem_x509_certificate

from mailer.bounces import Bounce, bounced
from mailer.hooks.heard import (
    Heard,
    HookRefusedError,
    HookRequest,
    by_subtype,
    check_age,
    delivery_of,
    inner,
    json_object,
)

# The whole URL and not its host alone: on the same host is SNS's API, whose answers repeat what others have written. A
# certificate in one of those would be believed.
_HOST = r"https://sns\.[a-z0-9-]{3,20}\.amazonaws\.com(?:\.cn)?"
_CERTIFICATE = re.compile(rf"{_HOST}/SimpleNotificationService-[0-9A-Za-z]{{1,64}}\.pem")
_SUBSCRIBE = re.compile(rf"{_HOST}/\?Action=ConfirmSubscription&[0-9A-Za-z&=%:._-]{{1,1000}}")
# SNS repeats what was not heard as it was signed at first: for an hour, longer where the topic says so.
_OLDEST = timedelta(days=1)
_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
Fetch = Callable[[str], bytes]


def hear(request: HookRequest, *, topic: str, fetch: Fetch) -> Heard:
    """Return what *request* says; raise HookRefusedError unless SNS signed it for *topic*.

    A request to confirm our subscription is confirmed. *fetch* gets a URL of Amazon's.
    """
    envelope = request.json()
    if envelope.get("TopicArn") != topic:
        raise HookRefusedError("expected a message of our topic", status=403)
    kind = envelope.get("Type")
    _check(envelope, _NOTIFICATION if kind == "Notification" else _CONFIRMATION, fetch)
    check_age(_moment(envelope.get("Timestamp")), request, oldest=_OLDEST)
    if kind == "SubscriptionConfirmation":
        fetch(_amazons(envelope.get("SubscribeURL"), _SUBSCRIBE))
        return Heard()
    if kind != "Notification":
        return Heard()
    return _heard(json_object(str(envelope.get("Message", ""))))


def _heard(event: Mapping[str, Any]) -> Heard:
    delivery = _delivery(inner(event, "mail"))
    if delivery is None:
        return Heard()
    match event.get("eventType") or event.get("notificationType"):
        case "Bounce":
            return Heard((_bounce(inner(event, "bounce"), delivery),))
        case "Complaint":
            return Heard(complaints=(delivery,))
        case _:
            return Heard()


def _bounce(bounce: Mapping[str, Any], delivery: UUID) -> Bounce:
    recipients = bounce.get("bouncedRecipients")
    first = inner({"first": recipients[0]}, "first") if isinstance(recipients, list) and recipients else {}
    lasts = bounce.get("bounceType") == "Permanent"
    status = str(first.get("status", ""))
    code, enhanced = by_subtype(lasts=lasts, subtype=bounce.get("bounceSubType"))
    if re.fullmatch(r"[45]\.\d{1,3}\.\d{1,3}", status):
        enhanced = status
    text = f"{bounce.get('bounceSubType', '')}: {first.get('diagnosticCode', '')}"
    address = str(first.get("emailAddress", ""))
    return bounced(delivery, reporter="ses", enhanced=enhanced, code=code, text=text, recipient=address)


def _delivery(mail: Mapping[str, Any]) -> UUID | None:
    """Return our delivery: SES writes a Message-ID of its own, so the request had a tag."""
    tagged = inner(mail, "tags").get("delivery")
    return delivery_of(tagged[0]) if isinstance(tagged, list) and tagged else None


def _check(envelope: Mapping[str, Any], fields: tuple[str, ...], fetch: Fetch) -> None:
    signed = "".join(f"{name}\n{envelope[name]}\n" for name in fields if envelope.get(name) is not None).encode()
    algorithm = {"1": hashes.SHA1(), "2": hashes.SHA256()}.get(str(envelope.get("SignatureVersion")))  # noqa: S303 - SNS's own
    if algorithm is None:
        raise HookRefusedError("expected SignatureVersion 1 or 2", status=403)
    certificate = load_certificate(fetch(_amazons(envelope.get("SigningCertURL"), _CERTIFICATE)))
    try:
        signature = base64.b64decode(str(envelope.get("Signature", "")), validate=True)
        certificate.verify(signature, signed, padding.PKCS1v15(), algorithm)
    except (binascii.Error, InvalidSignature):
        raise HookRefusedError("its signature is not Amazon's", status=403) from None


def load_certificate(pem: bytes) -> rsa.RSAPublicKey:
    """Return the key of the certificate in *pem*; raise HookRefusedError when it holds none."""
    try:
        key = load_pem_x509_certificate(pem).public_key()
    except ValueError:
        raise HookRefusedError("expected a certificate at SigningCertURL", status=403) from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise HookRefusedError("expected an RSA certificate at SigningCertURL", status=403)
    return key


def _amazons(url: object, pattern: re.Pattern[str]) -> str:
    if not isinstance(url, str) or not pattern.fullmatch(url):
        raise HookRefusedError("expected a URL of SNS", status=403)
    return url


def _moment(text: object) -> datetime:
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise HookRefusedError("expected Timestamp to be an instant", status=403) from None
