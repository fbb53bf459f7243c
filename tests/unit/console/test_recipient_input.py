"""What an operator gives as a recipient is used exactly as it is meant, or refused without being shown."""

from hypothesis import example, given
from hypothesis import strategies as st

from console.errors import UsageError
from console.recipient_commands import _checked
from console.recipients import _needles
from mailer.recipients import recipient_key

NASTY = st.text(
    st.one_of(st.characters(), st.sampled_from("@.\r\n\x00\x85\u2028<>,;:\"'\\ %_*"), st.sampled_from("\ud800\udcff")),
    max_size=80,
)


# What is shorter may well be a word of the refusal.
SHORT = 8


def meant(text: str) -> str | UsageError:
    try:
        return _checked(text)
    except UsageError as error:
        return error


@given(NASTY)
@example("ada@example.com\nbob@example.com")
@example("ada@example.com>, <bob@example.com")
@example("%@example.com")
@example("ada@example.com\x00")
@example("\udcff@example.com")
def test_no_input_names_a_second_recipient_or_another_one(text: str) -> None:
    taken = meant(text)
    if isinstance(taken, UsageError):
        assert len(text) < SHORT or text not in str(taken)
        return

    assert taken == text
    assert not any(character in taken for character in "\r\n\x00 <>,;")
    assert len(recipient_key(taken, secret=b"secret")) == 32
    assert all(needle.decode() for needle in _needles(taken))
