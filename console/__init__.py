"""What an operator uses: the `outbox` command, and what it answers about backlog, dead letters and the guarantee.

In come arguments and the database (Kafka, where the question is Kafka's); out go tables for people, `--json` for
programs, and an exit code. Reads, and changes nothing but what the operator asked for, with a reason, audited.
"""
