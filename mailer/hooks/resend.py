"""Resend's webhooks, signed as Svix does: HMAC-SHA256 over id, timestamp and body.

Source: https://resend.com/docs/dashboard/webhooks/verify-webhooks-requests and …/webhooks/emails/bounced.
"""

import base64
import binascii
import hmac
from datetime import UTC, datetime, timedelta

from mailer.bounces import bounced
from mailer.hooks.heard import Heard, HookRefusedError, HookRequest, by_subtype, check_age, delivery_of, inner

_PREFIX = "whsec_"
# Svix's own, and each of its retries is signed anew.
_OLDEST = timedelta(minutes=5)


def hear(request: HookRequest, *, secret: str) -> Heard:
    """Return what *request* says; raise HookRefusedError unless it is signed with *secret* (`whsec_…`)."""
    _check(request, secret)
    event = request.json()
    data = inner(event, "data")
    delivery = delivery_of(inner(data, "tags").get("delivery"))
    if delivery is None:
        return Heard()
    match event.get("type"):
        case "email.bounced":
            bounce = inner(data, "bounce")
            lasts = bounce.get("type") == "Permanent"
            code, enhanced = by_subtype(lasts=lasts, subtype=bounce.get("subType"))
            text = f"{bounce.get('subType', '')}: {bounce.get('message', '')}"
            return Heard((bounced(delivery, reporter="resend", enhanced=enhanced, code=code, text=text),))
        case "email.complained":
            return Heard(complaints=(delivery,))
        case _:
            return Heard()


def _check(request: HookRequest, secret: str) -> None:
    names = ("svix-id", "svix-timestamp", "svix-signature")
    given = [request.headers.get(name, "") for name in names]
    if not all(given):
        raise HookRefusedError(f"expected the headers {', '.join(names)}", status=401)
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise HookRefusedError("OUTBOX_MAIL_HOOK_RESEND_SECRET is not whsec_ and base64", status=500) from None
    signed = f"{given[0]}.{given[1]}.".encode() + request.body
    expected = base64.b64encode(hmac.digest(key, signed, "sha256")).decode("ascii")
    # Several while a secret is being changed, each with its version in front.
    signatures = [one.partition(",")[2] for one in given[2].split() if one.startswith("v1,")]
    if not any(hmac.compare_digest(one.encode(), expected.encode()) for one in signatures):
        raise HookRefusedError("its signature is not Resend's", status=401)
    check_age(_moment(given[1]), request, oldest=_OLDEST)


def _moment(seconds: str) -> datetime:
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        raise HookRefusedError("expected svix-timestamp to be seconds", status=401) from None
