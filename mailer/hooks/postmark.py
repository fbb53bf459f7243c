"""Postmark's webhooks. It signs none; it signs in, with the user and the password of the hook's URL (HTTP basic).

Source: https://postmarkapp.com/developer/webhooks/bounce-webhook, …/spam-complaint-webhook, and …/api/bounce-api for
the types.
"""

import base64
import hmac

from mailer.bounces import bounced
from mailer.hooks.heard import Heard, HookRefusedError, HookRequest, delivery_of, inner

# Type -> what a mail server would have said. Types that are no failure (an auto-responder, a subscription) are missing.
_TYPES = {
    "HardBounce": (550, "5.1.1"),
    "BadEmailAddress": (550, "5.1.3"),
    "ManuallyDeactivated": (550, "5.2.1"),
    "SoftBounce": (450, "4.2.0"),
    "DnsError": (450, "4.4.3"),
    "MailFrontier": (550, "5.7.1"),
    "SpamNotification": (550, "5.7.1"),
    "Blocked": (550, "5.7.1"),
    "DMARCPolicy": (550, "5.7.1"),
    "Undeliverable": (550, "5.0.0"),
    "Unknown": (550, "5.0.0"),
    "SMTPApiError": (550, "5.6.0"),
    "InboundError": (550, "5.6.0"),
}


def hear(request: HookRequest, *, login: str) -> Heard:
    """Return what *request* says; raise HookRefusedError unless it signs in as *login* (`user:password`)."""
    expected = base64.b64encode(login.encode()).decode("ascii")
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic" or not hmac.compare_digest(given.strip().encode(), expected.encode()):
        raise HookRefusedError("expected the hook's URL to have our user and password", status=401)
    event = request.json()
    delivery = delivery_of(inner(event, "Metadata").get("delivery"))
    if delivery is None:
        return Heard()
    record, kind = event.get("RecordType"), str(event.get("Type", ""))
    if record == "SpamComplaint" or (record == "Bounce" and kind == "SpamComplaint"):
        return Heard(complaints=(delivery,))
    if record != "Bounce" or kind not in _TYPES:
        return Heard()
    code, enhanced = _TYPES[kind]
    text = f"{kind}: {event.get('Details') or event.get('Description') or ''}"
    recipient = str(event.get("Email", ""))
    bounce = bounced(delivery, reporter="postmark", enhanced=enhanced, code=code, text=text, recipient=recipient)
    return Heard((bounce,))
