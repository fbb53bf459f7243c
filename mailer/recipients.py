"""What is left of an address once it is redacted: a keyed hash, so that suppression and idempotence outlive it."""

import hmac
import unicodedata

from pydantic import SecretStr


def recipient_key(address: str, *, secret: bytes) -> bytes:
    """Return the hash of *address*; upper and lower case are one, for no mailbox that anybody uses tells them apart."""
    normal = unicodedata.normalize("NFC", address.strip()).casefold()
    return hmac.digest(secret, normal.encode(), "sha256")


def hashing_secret(secret: SecretStr | None, install_id: object) -> bytes:
    """Return what keys the hashes: OUTBOX_MAIL_RECIPIENT_SECRET, or else what tells this installation from others."""
    if secret is not None:
        return secret.get_secret_value().encode()
    return f"outbox/{install_id}".encode()
