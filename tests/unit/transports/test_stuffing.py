"""What follows DATA, for every arrangement of line breaks and dots: no shortcut may tell."""

import itertools
import re

from mailer.transports.smtp_wire import stuffed


def _plainly(content: bytes) -> bytes:
    """RFC 5321 4.5.2 and 2.3.8, written down without a thought for speed."""
    lines = re.split(rb"\r\n|\r|\n", content)
    ended = lines[:-1] if lines[-1] == b"" else lines
    return b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in ended)


def test_every_line_ends_with_crlf_and_every_leading_dot_is_doubled() -> None:
    for length in range(8):
        for parts in itertools.product((b"\r", b"\n", b".", b"a"), repeat=length):
            content = b"".join(parts)
            assert stuffed(content) == _plainly(content), content
