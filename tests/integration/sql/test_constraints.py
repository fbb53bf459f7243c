"""The schema defends itself: what a row may never be, PostgreSQL refuses."""

import psycopg
import pytest
from psycopg import errors

pytestmark = pytest.mark.versions

Transaction = psycopg.Connection
_DELIVERY = """
insert into outbox.delivery (
  event_id, event_type, aggregate_type, aggregate_id, mail, recipient, recipient_key, expires_at, {columns}
)
select '00000000-0000-0000-0000-000000000001', 'a.b', 'a', '1', 'm', 'r', 'k', now(), {values}
from generate_series(1, {times})
"""
_LETTER = "insert into outbox.dead_letter ({columns}) select {values} from generate_series(1, {times})"


@pytest.mark.parametrize(
    ("columns", "values", "times", "constraint"),
    [
        ("state", "'asleep'", 1, "delivery_state_check"),
        ("in_doubt_policy", "'guess'", 1, "delivery_in_doubt_policy_check"),
        ("state", "'claimed'", 1, "delivery_check"),  # a claim without a token could not be guarded
        ("state, claim_token", "'claimed', gen_random_uuid()", 1, "delivery_check1"),  # it would never end
        ("claim_token, claimed_until", "gen_random_uuid(), now()", 1, "delivery_check"),
        ("state", "'queued'", 2, "delivery_event_id_mail_recipient_key_key"),
    ],
)
def test_a_delivery_is_never(transaction: Transaction, columns: str, values: str, times: int, constraint: str) -> None:
    with pytest.raises(errors.IntegrityError) as refused:
        transaction.execute(_DELIVERY.format(columns=columns, values=values, times=times))

    assert refused.value.diag.constraint_name == constraint


@pytest.mark.parametrize(
    ("columns", "values", "times", "constraint"),
    [
        ("stage, reason", "'inbox', 'x'", 1, "dead_letter_stage_check"),
        ("stage, reason", "'consume', ''", 1, "dead_letter_reason_check"),
        ("stage, reason", "'publish', 'x'", 1, "dead_letter_check3"),
        ("stage, reason", "'deliver', 'x'", 1, "dead_letter_check2"),
        ("stage, reason, resolved_at", "'consume', 'x', now()", 1, "dead_letter_check"),
        ("stage, reason, resolved_at, resolution", "'consume', 'x', now(), 'discarded'", 1, "dead_letter_check1"),
        (
            "stage, reason, resolved_at, resolution, resolved_by",
            "'consume', 'x', now(), 'lost', 'x'",
            1,
            "dead_letter_resolution_check",
        ),
        ("stage, reason, shard, event_row_id", "'publish', 'x', 0, 1", 2, "dead_letter_publish_key"),
        (
            "stage, reason, topic, record_partition, record_offset",
            "'consume', 'x', 't', 0, 1",
            2,
            "dead_letter_consume_key",
        ),
    ],
)
def test_a_dead_letter_is_never(
    transaction: Transaction, columns: str, values: str, times: int, constraint: str
) -> None:
    with pytest.raises(errors.IntegrityError) as refused:
        transaction.execute(_LETTER.format(columns=columns, values=values, times=times))

    assert refused.value.diag.constraint_name == constraint


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("insert into outbox.meta (sysid) values (1)", "meta_pkey"),
        ("insert into outbox.meta (one, sysid) values (false, 1)", "meta_one_check"),
        ("update outbox.meta set shards = 0", "meta_shards_check"),
        ("update outbox.meta set shards = 65", "meta_shards_check"),
        ("update outbox.meta set generation = 0", "meta_generation_check"),
        ("insert into outbox.shard (shard) values (-1)", "shard_shard_check"),
        (
            "insert into outbox.batch (shard, seq, epoch, a, b, n) values (9, 1, 1, '3:3:', '3:3:', 0)",
            "batch_shard_fkey",
        ),
        ("insert into outbox.batch (shard, seq, epoch, a, b, n) values (0, 1, 1, '3:3:', '3:3:', -1)", "batch_n_check"),
        ("insert into outbox.transport (name, breaker) values ('a', 'open')", "transport_check"),
        ("insert into outbox.transport (name, breaker) values ('a', 'ajar')", "transport_breaker_check"),
    ],
)
def test_a_row_is_never(transaction: Transaction, statement: str, constraint: str) -> None:
    with pytest.raises(errors.IntegrityError) as refused:
        transaction.execute(statement)

    assert refused.value.diag.constraint_name == constraint


def test_there_is_one_installation_and_it_is_of_this_cluster(transaction: Transaction) -> None:
    found = transaction.execute(
        "select count(*), bool_and(sysid = (select system_identifier from pg_control_system())), min(shards)"
        " from outbox.meta"
    ).fetchone()

    assert found == (1, True, 1)


def test_the_ids_of_events_are_given_one_by_one(transaction: Transaction) -> None:
    found = transaction.execute(
        "select seqcache, seqcycle from pg_sequence"
        " where seqrelid = pg_get_serial_sequence('outbox.event', 'id')::regclass"
    ).fetchone()

    assert found == (1, False)


def test_an_event_carries_its_top_level_transaction(transaction: Transaction) -> None:
    transaction.execute("savepoint inner_one")
    transaction.execute("select outbox.emit('a.b', 'a', '1', '{}')")

    assert transaction.execute("select tx = pg_current_xact_id() from outbox.event").fetchone() == (True,)
