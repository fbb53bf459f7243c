"""A host in one file, on Django: the view function of a shop that locks an account.

Its own settings and model are at the top; in a project they are where they always are.
"""

from __future__ import annotations

from django.conf import settings

if not settings.configured:
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.postgresql"}}, USE_TZ=True, LOGGING_CONFIG=None
    )

from typing import TYPE_CHECKING

import django
from django.db import connection, models, transaction

import outbox
from outbox import Event

if TYPE_CHECKING:
    from uuid import UUID

django.setup()


class Customer(models.Model):
    """The shop's own table, which examples/plain.sql makes."""

    id: models.IntegerField[int, int] = models.IntegerField(primary_key=True)
    email: models.TextField[str, str] = models.TextField()
    state: models.TextField[str, str] = models.TextField(default="new")

    class Meta:
        """Where it is."""

        app_label = "shop"
        db_table = '"app"."customer"'
        managed = False

    def __str__(self) -> str:
        """Return which customer, without an address."""
        return f"customer {self.id}"


def lock(customer_id: int, *, reason: str) -> UUID:
    """Lock the account and tell its owner; return the event_id. With ATOMIC_REQUESTS, the `with` is Django's."""
    with transaction.atomic():
        customer = Customer.objects.select_for_update().get(pk=customer_id)
        customer.state = "locked"
        customer.save(update_fields=["state"])
        return outbox.insert(
            connection,
            Event(
                aggregate_type="user",
                aggregate_id=str(customer.id),
                type="user.locked",
                payload={"email": customer.email, "reason": reason},
            ),
        )
