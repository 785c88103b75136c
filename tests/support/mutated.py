"""Bytes gone wrong: flipped, cut, moved, and with numbers and words replaced by what no writer would put there."""

from __future__ import annotations

import random
import re

WORDS = [
    *(b"", b"nan", b".NaN", b"1e999", b"-1", b"null", b"[]", b"{}", b"true", b"no", b"0", b"2", b"1.5", b"010"),
    *(b"0x10", b"1:30", b"9" * 400, b"[" * 400, b"{a: " * 400, b"a" * 70_000, b"<script>", b"=1+1", b"../../x"),
    *(b"\x1b[31m", b"\x9b31m", "\u202e".encode(), b"\xff\xfe", b"\x00", b"\n", b"\r", b"\t", b",", b"'", b'"', b"\\"),
    *(b"#", b": ", b"- ", b"? ", b"\n---\n", b"%YAML 9.9\n---\n", b"&a ", b"*a", b"<<: *a", b"$HOME"),
    b"!!python/object/apply:os.system ['touch pwned']",
]  # fmt: skip


def damage(draw: random.Random, data: bytes, cut: bool) -> bytes:
    """Return `data` with one bit turned over, or cut short."""
    if cut:
        return data[: draw.randrange(len(data))]
    changed = bytearray(data)
    changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def mutate(draw: random.Random, data: bytes) -> bytes:
    """Return `data` with one to five things wrong."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        if not changed:
            break
        at, kind = draw.randrange(len(changed)), draw.random()
        if kind < 0.25:
            changed[at] ^= 1 << draw.randrange(8)
        elif kind < 0.35:
            del changed[at:]
        elif kind < 0.45:
            del changed[at : at + draw.randrange(40)]
        elif kind < 0.5:
            changed[at:at] = changed[draw.randrange(len(changed)) :][:200]
        elif kind < 0.7:
            changed[at:at] = draw.choice(WORDS)
        elif words := list(re.finditer(rb"[A-Za-z0-9_.+-]+", changed)):
            start, end = draw.choice(words).span()
            changed[start:end] = draw.choice(WORDS)
    return bytes(changed)
