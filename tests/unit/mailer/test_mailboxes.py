"""How IMAP spells a folder's name (RFC 3501 5.1.3, whose examples these are but the last two)."""

import pytest

from mailer.mailboxes import _quoted


@pytest.mark.parametrize(
    ("folder", "spelled"),
    [
        ("INBOX", '"INBOX"'),
        ("~peter/mail/台北/日本語", '"~peter/mail/&U,BTFw-/&ZeVnLIqe-"'),
        ("Rückläufer & mehr", '"R&APw-ckl&AOQ-ufer &- mehr"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
    ],
)
def test_a_folder_is_named_as_imap_spells_it(folder: str, spelled: str) -> None:
    assert _quoted(folder) == spelled
