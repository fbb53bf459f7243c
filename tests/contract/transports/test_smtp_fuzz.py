"""Whatever a server answers, and whenever: an attempt ends as a reply in the right phase, and nothing else."""

import secrets

import pytest

from tests.support.smtp_fuzz import Tally, converse


def agreed(seed: str, conversations: int) -> Tally:
    tally = converse(seed, conversations)
    print(f"seed {seed}: {tally.replies} replies, {tally.late} late\n{tally.phases}\n{tally.verdicts}")  # noqa: T201 - the figures
    assert tally.wrong == []
    return tally


def test_every_conversation_with_a_server_that_answers_at_random_ends_as_the_reply_that_is_right() -> None:
    tally = agreed("always the same", 300)

    assert {"connect", "ehlo", "auth", "tls", "mail", "rcpt", "data", "dot", "dot ?", "done"} <= set(tally.phases)
    assert {"accepted", "in_doubt", "unreachable", "service_closing"} <= set(tally.verdicts)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_ten_thousand_conversations_end_as_the_reply_that_is_right() -> None:
    tally = agreed(secrets.token_hex(4), 10_000)

    assert tally.replies >= 10_000
