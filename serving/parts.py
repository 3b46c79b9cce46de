"""Which parts of an answer are told: `?fields=value,range`. What nobody asked for is not worked out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.comparables import TOLD
from serving.problems import FieldError
from serving.request import read_query, refuse, suggested

#: Told whatever is asked for: which valuation it is, and what its money and its day are.
ALWAYS = ("id", "currency", "as_of")
#: All parts that can be asked for; the names are the keys of an answer.
NAMES = (
    *("value", "range", "ranges", "confidence", "fsd", "in_support"),
    *("base", "reasons", "comparables", "warnings", "model"),
)
#: They take most of the time of an answer.
SLOW = ("base", "reasons", "comparables")


@dataclass(frozen=True)
class Parts:
    """Names of `NAMES`, in their order."""

    names: tuple[str, ...]

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __and__(self, names: Sequence[str]) -> Parts:
        return Parts(tuple(name for name in self.names if name in names))

    def __sub__(self, names: Sequence[str]) -> Parts:
        return Parts(tuple(name for name in self.names if name not in names))

    @property
    def reasons(self) -> bool:
        """Whether to work out what the value is made of."""
        return "reasons" in self.names or "base" in self.names

    @property
    def comparables(self) -> int:
        """How many comparable sales to work out."""
        return TOLD if "comparables" in self.names else 0


ALL = Parts(NAMES)


def asked_parts(query: bytes, default: Parts, offered: Parts = ALL) -> Parts:
    """The parts that a query string asks for, `default` where it does not say.

    Raises:
        Problem: 422 for a name that is not offered, and for any other parameter.
    """
    if not query:
        return default
    given = read_query(query, ("fields",)).get("fields")
    if given is None:
        return default
    wanted = [name.strip() for name in given.split(",")]
    known = (*offered.names, *ALWAYS)
    allowed = "a list with commas of " + ", ".join(offered.names)
    refuse([FieldError("fields", name, allowed, suggested(name, known)) for name in wanted if name not in known])
    return Parts(tuple(name for name in NAMES if name in wanted))
