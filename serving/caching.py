"""Answers kept, so that a question asked again costs little more than an echo.

All that is kept belongs to one champion and goes with it: a swap leaves nothing behind.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from serving.champion import Champion
from serving.notes import Valued
from serving.replies import Reply

#: In one worker, questions included.
MOST_BYTES = 32 << 20
#: One that is larger would push too many others out.
MOST_OF_ONE = MOST_BYTES // 64
#: Of memory that an entry takes beside its bytes.
_BESIDE = 4096


@dataclass(frozen=True)
class Kept:
    """A reply, and what the journal is told of it each time."""

    reply: Reply
    valued: Sequence[Valued]


class Answers:
    """Replies by the question; the ones not asked for longest go first. Not for several threads."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[Hashable, tuple[Kept, int]] = OrderedDict()

    def find(self, key: Hashable) -> Kept | None:
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def keep(self, key: Hashable, kept: Kept, size: int) -> None:
        """`size` is that of the key's bytes."""
        size += len(kept.reply.body) + _BESIDE
        if size > MOST_OF_ONE or key in self._kept:
            return
        self._kept[key] = kept, size
        self._bytes += size
        while self._bytes > self._most_bytes:
            _, (_, freed) = self._kept.popitem(last=False)
            self._bytes -= freed


@dataclass(frozen=True)
class Cache:
    """What is kept for one champion.

    Attributes:
        pages: by name and coding; they stay the same while it serves.
    """

    champion: Champion
    answers: Answers = field(default_factory=Answers)
    pages: dict[tuple[str, str], Reply] = field(default_factory=dict)
