"""A small user management: it keeps accounts, and mails are sent about what happens to them.

In: HTTP requests. Out: rows of `app.account`, and events about them, inserted in the same transaction. It knows nothing
of Kafka, Celery or SMTP. Read `accounts.py`: that is all there is to being a host.
"""
