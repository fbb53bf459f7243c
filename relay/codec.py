"""Kafka's own form of numbers, strings and arrays: as much of it as `transactions.py` writes and `answers.py` reads."""

import struct
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
Broker = tuple[str, int]
Partition = tuple[str, int]


class Reader:
    """Takes one answer apart, from the front."""

    def __init__(self, answer: bytes, *, flexible: bool) -> None:
        """Begin at the start of *answer*."""
        self._answer = answer
        self._place = 0
        self._flexible = flexible

    def number(self, form: str) -> int:
        """Return the next number; *form* is that of `struct`: b, h, i or q."""
        (found,) = struct.unpack_from(f">{form}", self._answer, self._place)
        self._place += struct.calcsize(f">{form}")
        return int(found)

    def text(self) -> str:
        """Return the next string; an absent one is empty."""
        length = self._varint() - 1 if self._flexible else self.number("h")
        found = self._answer[self._place : self._place + max(length, 0)]
        self._place += max(length, 0)
        return found.decode()

    def many(self, one: Callable[[], T]) -> list[T]:
        """Return the next array, whose members *one* takes."""
        return [one() for _ in range(self._varint() - 1 if self._flexible else self.number("i"))]

    def tags(self) -> None:
        """Skip the tagged fields that end each structure of a flexible version."""
        for _ in range(self._varint() if self._flexible else 0):
            self._varint()
            self._place += self._varint()

    def _varint(self) -> int:
        found = shift = 0
        while True:
            byte = self._answer[self._place]
            self._place += 1
            found |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004  # the last byte has no continuation bit
                return found
            shift += 7


def compact(length: int) -> bytes:
    """Return *length* as flexible versions write it: one more, seven bits a byte."""
    left, found = length + 1, bytearray()
    while left > 0x7F:  # noqa: PLR2004  # seven bits
        found.append(left & 0x7F | 0x80)
        left >>= 7
    found.append(left)
    return bytes(found)


def text(value: str) -> bytes:
    """Return a string as inflexible versions write it."""
    encoded = value.encode()
    return struct.pack(">h", len(encoded)) + encoded


def compact_text(value: str) -> bytes:
    """Return a string as flexible versions write it."""
    encoded = value.encode()
    return compact(len(encoded)) + encoded


def compact_many(parts: Sequence[bytes]) -> bytes:
    """Return an array as flexible versions write it."""
    return compact(len(parts)) + b"".join(parts)


def many(parts: Sequence[bytes]) -> bytes:
    """Return an array as inflexible versions write it."""
    return struct.pack(">i", len(parts)) + b"".join(parts)
