"""The progress topic is made once, and has to be what the positions need."""

from typing import TYPE_CHECKING, cast

import pytest

from relay.errors import HaltedError, ServerUnfitError
from relay.progress import ensure_progress_topic
from tests.unit.relay.fakes import INSTALLATION, FakeTopics, progress_topic

if TYPE_CHECKING:
    from relay.topics import Topics


def ensure(topics: FakeTopics, *, bootstrapped: bool) -> None:
    ensure_progress_topic(cast("Topics", topics), INSTALLATION, bootstrapped=bootstrapped)


def test_a_progress_topic_is_made_for_a_new_installation() -> None:
    topics = FakeTopics()

    ensure(topics, bootstrapped=False)

    assert topics.made == ["outbox.i.progress 1 compact"]


def test_a_progress_topic_that_is_gone_is_not_made_again() -> None:
    topics = FakeTopics()

    with pytest.raises(HaltedError, match="is gone, and this installation has published before"):
        ensure(topics, bootstrapped=True)

    assert topics.made == []


def test_a_progress_topic_whose_records_are_deleted_is_refused() -> None:
    with pytest.raises(ServerUnfitError, match="to be compact, got delete"):
        ensure(progress_topic(policy="delete"), bootstrapped=False)


@pytest.mark.parametrize("policy", ["delete", "compact,delete"])
def test_a_progress_topic_whose_records_have_been_deleted_perhaps_stops_the_relay(policy: str) -> None:
    with pytest.raises(HaltedError, match=f"to be compact, got {policy}: retention deletes positions"):
        ensure(progress_topic(policy=policy), bootstrapped=True)


def test_a_progress_topic_without_a_partition_for_each_shard_is_refused() -> None:
    with pytest.raises(HaltedError, match="has 0 partitions for 1 shards"):
        ensure(progress_topic(partitions=0), bootstrapped=True)


def test_a_progress_topic_that_is_fit_is_left_as_it_is() -> None:
    topics = progress_topic()

    ensure(topics, bootstrapped=True)

    assert topics.made == []
