"""What is claimed first, on a real database: by lane, then by priority, then by age, and never the other way round."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mailer.claims import Claim
from mailer.store import Store
from tests.integration.mailer.conftest import Query

Owe = Callable[..., int]
# As the store of these tests has it, then the lanes that it does not name.
RANKS = {"security": 0, "default": 1, "bulk": 2, "campaign": 3}


class Owed(NamedTuple):
    """A delivery that is owed; *due* is how long ago it became due, in minutes, and in future below zero."""

    lane: str
    priority: int
    due: int

    @property
    def rank(self) -> tuple[int, int]:
        return RANKS[self.lane], self.priority


OWED = st.builds(Owed, st.sampled_from(sorted(RANKS)), st.sampled_from([0, 10, 100]), st.sampled_from([-60, 1, 2, 3]))


def owe_all(query: Query, owed: list[Owed]) -> None:
    """Replace what is owed; the number of each is the recipient."""
    query("truncate outbox.delivery cascade")
    for number, one in enumerate(owed):
        query(
            "insert into outbox.delivery (event_id, event_type, aggregate_type, aggregate_id, mail, recipient,"
            " recipient_key, lane, priority, next_attempt_at, expires_at)"
            " values (gen_random_uuid(), 'a.b', 'a', '1', 'm', %s, %s, %s, %s,"
            " now() - make_interval(mins => %s), now() + interval '1 day')",
            *(str(number), str(number).encode(), one.lane, one.priority, one.due),
        )


def numbers(claims: tuple[Claim, ...]) -> list[int]:
    return [int(one.recipient) for one in claims]


def in_order(owed: list[Owed]) -> list[int]:
    due = [number for number, one in enumerate(owed) if one.due >= 0]
    return sorted(due, key=lambda number: (owed[number].rank, -owed[number].due, number))


@given(owed=st.lists(OWED, max_size=12), limit=st.integers(1, 5))
@example(owed=[Owed("bulk", 0, 3)] * 6 + [Owed("security", 100, 1), Owed("security", 10, -60)], limit=3)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_claim_never_takes_what_is_less_urgent_while_more_urgent_mail_is_due(
    store: Store, query: Query, owed: list[Owed], limit: int
) -> None:
    owe_all(query, owed)
    expected = in_order(owed)

    while expected:
        claims, more = store.claim(limit=limit)

        assert numbers(claims) == expected[:limit]
        assert more == (len(expected) >= limit)
        expected = expected[limit:]
    assert store.claim(limit=limit) == ((), False)


@given(owed=st.lists(OWED, max_size=12), first=OWED.filter(lambda one: one.due > 0), limit=st.integers(1, 5))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_goes_before_a_claim_is_more_urgent_than_it(
    store: Store, query: Query, owed: list[Owed], first: Owed, limit: int
) -> None:
    owe_all(query, [first])
    [(held,), _] = store.claim(limit=1)
    owe_all(query, owed)

    _, claims = store.look(before=held, limit=limit)

    assert numbers(claims) == [n for n in in_order(owed) if owed[n].rank < first.rank][:limit]


def test_what_others_hold_hides_nothing_that_is_less_urgent(
    make_store: Callable[..., Store], owe: Owe, query: Query
) -> None:
    urgent, later = owe(lane="security"), owe(lane="campaign")
    first, second = make_store(worker="w1"), make_store(worker="w2")

    assert [one.id for one in first.claim(limit=1)[0]] == [urgent]
    assert [one.id for one in second.claim(limit=1)[0]] == [later]
    assert query("select claimed_by from outbox.delivery order by id") == [{"claimed_by": "w1"}, {"claimed_by": "w2"}]


def test_what_goes_back_without_a_pause_keeps_its_place(store: Store, owe: Owe, query: Query) -> None:
    oldest = owe(next_attempt_at="2020-01-01")
    owe(next_attempt_at="2020-01-02")
    [(held,), _] = store.claim(limit=1)

    store.release([held], pause=timedelta(0))

    assert [one.id for one in store.claim(limit=1)[0]] == [oldest]
    again = replace(
        held, token=query("select claim_token from outbox.delivery where id = %s", oldest)[0]["claim_token"]
    )
    store.release([again], pause=timedelta(hours=1))
    assert query("select next_attempt_at > now() as later from outbox.delivery where id = %s", oldest) == [
        {"later": True}
    ]
