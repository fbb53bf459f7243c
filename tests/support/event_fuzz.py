"""Records as they should not be: events of the shipped mails, damaged at random in one place or in many."""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from mailer.mail_folders import read_sample
from mailer.planning import ReadRecord
from mailer.rendering import Library

_TEXTS = (
    "",
    " ",
    "\x00",
    "a\x00b",
    "\r\nBcc: eve@example.com",
    "=?utf-8?q?a=0D=0ABcc:_eve@example.com?=",
    "=?utf-8?b?////?=",
    "=?klingon?q?x?=",
    "\ud800",
    "\udfff\ud800",
    "\u2028\u2029\x85\x0b\x0c",
    "\ufffe\U0010ffff",
    "{{ 7 * 7 }}{% for x in range(9999999) %}",
    "{{ ''.__class__.__mro__ }}",
    "<script>alert(1)</script>",
    "</style><style>@import url(file:///etc/passwd)</style>",
    "javascript:alert(1)",
    "https://[::1",
    "http://example.com",
    "https://user:pw@example.com:99999/%zz?#\N{SNOWMAN}",
    "\u202etxt.exe",
    "e\u0301" * 500,
    "x" * 5_000,
    "ada@example.com>\r\nRCPT TO:<eve@example.com",
    "ada@example.com, eve@example.com",
    "ada@EXAMPLE.com",
    "ada@bücher.example",
    "ö@example.com",
    f"{'a' * 65}@example.com",
    f"a@{'b.' * 130}com",
    '"a b"@example.com',
    "2026-02-30T25:61:00Z",
    "9999-12-31T23:59:59+14:00",
    "0001-01-01T00:00:00-14:00",
    "de_DE@euro",
    "../../etc",
    "-1",
)
_VALUES: tuple[object, ...] = (
    None,
    True,
    False,
    0,
    -1,
    10**30,
    1.5e308,
    [],
    {},
    [None],
    {"": {"": ""}},
    {"items": 1, "keys": 2, "__class__": 3, "values": 4},
    ["x"] * 300,
)
_RAW = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b'"text"',
    b"{",
    b"NaN",
    b'{"email": NaN}',
    b'{"email": 1e999}',
    b'{"email": ' + b"9" * 5_000 + b"}",
    b'{"email": "a@example.com", "email": "b@example.com"}',
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b"[" * 2_000 + b"]" * 2_000,
    b"[" * 200_000,
    b'{"a":' * 3_000 + b"1" + b"}" * 3_000,
    b'{"email": "\\ud800"}',
    b'{"email": "ada@example.com", "name": "\\u0000"}',
)
# Too long for an index, and no compression makes it shorter.
_LONG = random.Random(7).randbytes(20_000).hex().encode()  # noqa: S311 - chance, not a secret
_BYTES = (
    b"",
    b"\x00",
    b"\xff\xfe",
    b"a\x00b",
    "ü".encode() * 40,
    b"x" * 3_000,
    b"x" * 100_000,
    b"'; drop table x; --",
    _LONG,
)
_IDS = (b"", b"no uuid", b"\xff", b"00000000-0000-0000-0000-000000000000", b"{" + b"1" * 36 + b"}", b"1" * 10_000)


@dataclass(frozen=True, slots=True)
class Samples:
    """What the shipped mails are made of: the type of each one's event, and its samples."""

    payloads: tuple[tuple[str, Mapping[str, object]], ...]

    @classmethod
    def of(cls, library: Library) -> "Samples":
        """Return the samples of *library*."""
        folders = [library.folder(mail.name) for mail in library.mails]
        return cls(tuple((folder.mail.event, _payload(path)) for folder in folders for path in folder.samples))


def _payload(path: Path) -> Mapping[str, object]:
    payload = read_sample(path)
    assert isinstance(payload, dict)
    return payload


def fuzzed(samples: Samples, *, seed: str, offset: int) -> ReadRecord:
    """Return the record number *offset*: a good one at times, else one with one to four things wrong."""
    rng = random.Random(f"{seed}/{offset}")  # noqa: S311 - chance, not a secret
    type_, payload = rng.choice(samples.payloads)
    # A recipient of its own: what is owed twice would be one delivery.
    made = _Draft(rng, type_, {**payload, "email": f"fuzz{offset}@example.com"})
    for _ in range(rng.choice((0, 1, 1, 1, 2, 4))):
        rng.choice(_DAMAGES)(made)
    value = (
        made.value
        if made.raw
        else json.dumps(made.payload, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    )
    if made.flips and value:
        flipped = bytearray(value)
        for _ in range(made.flips):
            flipped[rng.randrange(len(flipped))] = rng.randrange(256)
        value = bytes(flipped)
    return ReadRecord("outbox.event.user", 0, offset, made.key, value, tuple(made.headers))


class _Draft:
    """A record that is being damaged."""

    def __init__(self, rng: random.Random, type_: str, payload: dict[str, object]) -> None:
        self.rng = rng
        self.payload = payload
        self.raw = False
        self.value: bytes | None = None
        self.flips = 0
        self.key: bytes | None = b"42"
        self.headers: list[tuple[str, bytes | None]] = [
            ("id", str(UUID(int=rng.getrandbits(128), version=4)).encode()),
            ("ce_specversion", b"1.0"),
            ("ce_type", type_.encode()),
            ("ce_source", b"/outbox/x/user"),
            ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ]

    def text(self) -> str:
        return self.rng.choice(_TEXTS) if self.rng.random() < 0.7 else self.noise()

    def noise(self) -> str:
        points = [
            self.rng.randrange(0x110000 if self.rng.random() < 0.3 else 0x80) for _ in range(self.rng.randrange(40))
        ]
        return "".join(map(chr, points))

    def some(self) -> object:
        return self.text() if self.rng.random() < 0.6 else self.rng.choice(_VALUES)

    def header(self, name: str, value: bytes | None) -> None:
        self.headers = [(one, value if one == name else kept) for one, kept in self.headers]


def _change(draft: _Draft) -> None:
    draft.payload[draft.rng.choice([*draft.payload, "email", "name", "locale"])] = draft.some()


def _remove(draft: _Draft) -> None:
    if draft.payload:
        del draft.payload[draft.rng.choice([*draft.payload])]


def _nest(draft: _Draft) -> None:
    name = draft.rng.choice([*draft.payload, "email"])
    draft.payload[name] = [draft.payload.get(name)] if draft.rng.random() < 0.5 else {"value": draft.payload.get(name)}


def _replace(draft: _Draft) -> None:
    draft.raw, draft.value = True, draft.rng.choice((*_RAW, None, draft.rng.randbytes(60)))


def _flip(draft: _Draft) -> None:
    draft.flips += draft.rng.choice((1, 1, 3, 20))


def _header(draft: _Draft) -> None:
    name, _ = draft.rng.choice(draft.headers or [("x", None)])
    values = _IDS if name == "id" else _BYTES
    draft.header(name, draft.rng.choice((*values, None)))


def _lose(draft: _Draft) -> None:
    if draft.headers:
        draft.headers.pop(draft.rng.randrange(len(draft.headers)))


def _add(draft: _Draft) -> None:
    envelopes = ("content-type", "eventType", "id", "ce_id", "ce_time", draft.text())
    draft.headers.append(
        (draft.rng.choice(envelopes), draft.rng.choice((b"application/cloudevents+json", b"user.locked", *_BYTES)))
    )


def _rekey(draft: _Draft) -> None:
    draft.key = draft.rng.choice((None, *_BYTES))


_DAMAGES: tuple[Callable[[_Draft], None], ...] = (
    _change,
    _change,
    _change,
    _remove,
    _nest,
    _replace,
    _flip,
    _header,
    _lose,
    _add,
    _rekey,
)
