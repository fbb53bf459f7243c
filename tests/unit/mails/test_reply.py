"""What a server said is kept without the addresses in it."""

import pytest

from mailer.reply import Phase, accepted, refused, scrub, unanswered


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("<ada@example.com>: user unknown", "<address>: user unknown"),
        ("user ada@example.com unknown", "user <address> unknown"),
        ("Recipient ADA@Example.com rejected", "Recipient <address> rejected"),
        ("mailbox for ada+x=b_c@mail.example.org is full", "mailbox for <address> is full"),
        ("no mailbox here by the name of ada", "no mailbox here by the name of <address>"),
        ("canada is not adamant", "canada is not adamant"),
        ("failure for one or more (ada@example.com:blocked)", "failure for one or more (<address>:blocked)"),
        ("ada@[IPv6:2001:db8::1] is away", "<address> is away"),
        ("a\r\nb\x00c\u2028d", "a b c d"),
        ("greylisted, try again in 300 seconds", "greylisted, try again in 300 seconds"),
    ],
)
def test_a_reply_is_kept_without_addresses(said: str, kept: str) -> None:
    assert scrub(said, recipient="ada@example.com") == kept


def test_a_reply_is_cut_to_a_length_that_fits_a_log() -> None:
    assert len(scrub("x " * 5000)) <= 400


def test_the_enhanced_code_is_read_from_the_front() -> None:
    reply = refused("t", Phase.RCPT, code=550, text="5.1.1 user unknown", recipient="ada@example.com")

    assert (reply.code, reply.enhanced, reply.text) == (550, "5.1.1", "user unknown")
    assert (reply.accepted, reply.answered) == (False, True)


@pytest.mark.parametrize("text", ["", "ok", "5.1 x", "3.1.1 x", "5.1.1x", "55.1.1 x", "x 5.1.1"])
def test_what_is_no_enhanced_code_stays_text(text: str) -> None:
    reply = refused("t", Phase.RCPT, code=550, text=text, recipient="ada@example.com")

    assert (reply.enhanced, reply.text) == (None, text)


def test_only_what_was_accepted_is_done() -> None:
    taken = accepted("t", code=250, text="2.0.0 ok", recipient="ada@example.com")
    silent = unanswered("t", Phase.DOT, text="the server closed the connection", recipient="ada@example.com")

    assert (taken.phase, taken.accepted, taken.answered) == (Phase.DONE, True, True)
    assert (silent.phase, silent.accepted, silent.answered) == (Phase.DOT, False, False)
