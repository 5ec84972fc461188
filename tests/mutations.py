"""Files after damage or tampering: a few random changes of an intact file."""

from __future__ import annotations

import random
import re

PIECES = (
    *(b"\0", b"\xff" * 4, b"\xff\xff\xff\x7f", b"\r\n", b"\n", b"\t", b",", b'"', b"'", b"[", b"]"),
    *(b"{", b"}", b":", b"- ", b"&a ", b"*a", b"!!python/name:os.system ", b"${oc.env:HOME}"),
    *(b"NaN", b"Infinity", b"-1", b"0", b"1e999", b"9" * 400, b"null", b"true", b"[]", b"{}"),
    *(b"\x1b[31m", b"<script>", b"=cmd|' /C calc'!A0", b"../../", b"/etc/passwd", b"_" * 5000),
    *(b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"[" * 300, b"a" * 70000),
)
_NUMBER = re.compile(rb"-?\d+(\.\d+)?")


def mutated(content: bytes, draws: random.Random) -> bytes:
    """Return a file with one to four changes."""
    for _ in range(draws.randint(1, 4)):
        content = draws.choice(_CHANGES)(content, draws)
    return content


def _flip(content: bytes, draws: random.Random) -> bytes:
    if not content:
        return content
    at = draws.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << draws.randrange(8)]) + content[at + 1 :]


def _cut(content: bytes, draws: random.Random) -> bytes:
    return content[: draws.randrange(len(content) + 1)]


def _drop(content: bytes, draws: random.Random) -> bytes:
    first, last = sorted(draws.randrange(len(content) + 1) for _ in range(2))
    return content[:first] + content[last:]


def _double(content: bytes, draws: random.Random) -> bytes:
    first, last = sorted(draws.randrange(len(content) + 1) for _ in range(2))
    return content[:last] + content[first:last] * draws.choice((1, 1, 9)) + content[last:]


def _insert(content: bytes, draws: random.Random) -> bytes:
    at = draws.randrange(len(content) + 1)
    return content[:at] + draws.choice(PIECES) + content[at:]


def _renumber(content: bytes, draws: random.Random) -> bytes:
    found = list(_NUMBER.finditer(content[:100_000]))
    if not found:
        return _insert(content, draws)
    number = draws.choice(found)
    return content[: number.start()] + draws.choice(PIECES) + content[number.end() :]


_CHANGES = (_flip, _cut, _drop, _double, _insert, _renumber, _renumber)
