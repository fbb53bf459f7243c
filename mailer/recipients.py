"""What is left of an address once it is redacted: a keyed hash, so that suppression and idempotence outlive it."""

import hmac
import unicodedata

from mailer.settings import MailerSettings


def recipient_key(address: str, *, secret: bytes) -> bytes:
    """Return the hash of *address*; upper and lower case are one, for no mailbox that anybody uses tells them apart."""
    normal = unicodedata.normalize("NFC", address.strip()).casefold()
    return hmac.digest(secret, normal.encode(), "sha256")


def hashing_secret(settings: MailerSettings, install_id: object) -> bytes:
    """Return what keys the hashes: the setting, or else what tells this installation from others."""
    if settings.mail_recipient_secret is not None:
        return settings.mail_recipient_secret.get_secret_value().encode()
    return f"outbox/{install_id}".encode()
