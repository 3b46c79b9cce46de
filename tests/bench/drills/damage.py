"""Ways in which a file goes bad, by accident or by intent; the same random numbers, the same damage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

Way = Callable[[bytes, bytes, Random], bytes]

#: What no reader should be trusted to survive.
EVIL = (
    b"",
    b"null",
    b"[]",
    b'{"tag": 1, "digest": [], "files": {}}',
    b"[" * 100_000,
    b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    b'{"format": ' + b"9" * 5_000 + b"}",
    b'{"format": 1e999, "files": {"../../card.json": "0"}}',
    b'{"tag": "valuation-harbour:../../v7", "digest": "' + b"0" * 64 + b'"}',
    b'{"tag": "a:b\\u0000c", "digest": "\\ud800"}',
    b"\xff\xfe{\x00}\x00",
    b"\x00" * 4096,
    b"!!python/object/apply:os.system ['exit 7']",
    b"tree\nversion=v4\nnum_class=1\nmax_feature_idx=0\n\nTree=0\nnum_leaves=99999999\nend of trees\n",
)


def _truncated(content: bytes, other: bytes, rng: Random) -> bytes:
    return content[: rng.randrange(len(content) or 1)]


def _flipped(content: bytes, other: bytes, rng: Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(rng.randint(1, 8) if damaged else 0):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _zeroed(content: bytes, other: bytes, rng: Random) -> bytes:
    start = rng.randrange(len(content) or 1)
    length = rng.choice((1, 64, 4096, len(content)))
    return content[:start] + bytes(len(content[start : start + length])) + content[start + length :]


def _doubled(content: bytes, other: bytes, rng: Random) -> bytes:
    """A line twice, with other digits the second time: in JSON a duplicate key, in a forest a second set of leaves."""
    lines = content.split(b"\n")
    at = rng.randrange(len(lines))
    again = lines[at].translate(bytes.maketrans(b"0123456789abcdef", b"1234567890bcdefa"))
    return b"\n".join([*lines[: at + 1], again, *lines[at + 1 :]])


def _exchanged(content: bytes, other: bytes, rng: Random) -> bytes:
    return other


def _evil(content: bytes, other: bytes, rng: Random) -> bytes:
    return rng.choice(EVIL)


#: Name -> the content damaged; `other` is that of another file of the version.
WAYS: Mapping[str, Way] = {
    "truncated": _truncated,
    "flipped": _flipped,
    "zeroed": _zeroed,
    "doubled": _doubled,
    "exchanged": _exchanged,
    "evil": _evil,
}


def damaged(content: bytes, other: bytes, rng: Random) -> tuple[str, bytes]:
    """The way it went, and what is left."""
    way = rng.choice(list(WAYS))
    return way, WAYS[way](content, other, rng)
