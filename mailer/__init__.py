"""From topic to inbox: Kafka records become deliveries, deliveries become mail.

In come records of `outbox.event.*` topics; out go messages through a transport, and rows that say what came of each.
"""
