"""Reasons in money that add up to the value to the cent.

In log price the parts of a value are exactly additive: the index, each field's share of the hedonic
regression, the forests' contributions (TreeSHAP, Lundberg et al. 2020), the drift. The logarithmic mean
carries them into money without a remainder: with V = B exp(sum c), the amount of c is L(V, B) c, where
L(V, B) = (V - B) / ln(V / B) (the additive LMDI decomposition, Ang 2005, doi:10.1016/j.enpol.2003.10.010).
Every part keeps the sign and the share it has in log price.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

#: What parts are told under, in words that people use.
GROUP_LABELS = {
    "location": "Location",
    "size": "Size",
    "quality": "Quality",
    "age": "Age and condition",
    "lot": "Lot",
    "type": "Kind of home",
    "facts": "Other facts",
    "comparables": "Sales near by",
    "history": "The home's own last sale",
    "market": "Market",
    "unexplained": "What the sale fetched beyond what the model explains",
    "rounding": "Rounding",
}


ROUNDING = "rounding"


@dataclass(frozen=True)
class Kinds:
    """What the additive parts of a value in log price are called, and under which reason each is told; the last is what
    rounding leaves over. As `kinds_of` makes them."""

    names: tuple[str, ...]
    labels: tuple[str, ...]
    groups: tuple[str, ...]

    @cached_property
    def reasons(self) -> tuple[str, ...]:
        """By name, but `ROUNDING`, which is told last."""
        return tuple(sorted(set(self.groups[:-1])))

    @cached_property
    def sorting(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Parts by name; the reason of each of these; these reason by reason; and where among those each begins."""
        by_name = np.array(sorted(range(len(self.names) - 1), key=self.names.__getitem__))
        reason = np.array([self.reasons.index(self.groups[part]) for part in by_name])
        return by_name, reason, *group_by_group(reason)


def group_by_group(group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of parts that each belong to a group, none of which is empty: their places, one group after the other, and where
    among those each group begins."""
    order = np.argsort(group, kind="stable")
    return order, np.searchsorted(group[order], np.arange(group.max() + 1))


def kinds_of(names: Sequence[str], labels: Sequence[str], groups: Sequence[str]) -> Kinds:
    """Of parts with these names, labels and groups, and of what rounding leaves over."""
    return Kinds((*names, ROUNDING), (*labels, GROUP_LABELS[ROUNDING]), (*groups, ROUNDING))


class Line(NamedTuple):
    """An amount in the market's currency, whole cents."""

    name: str
    label: str
    amount: float


class Reason(NamedTuple):
    """A group of lines that belong together; `amount` is their sum."""

    name: str
    label: str
    amount: float
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Lines(Sequence[Line]):
    """Lines as columns: of the hundred in an answer nearly none is looked at by itself."""

    names: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    amounts: Sequence[float] = ()

    def __len__(self) -> int:
        return len(self.amounts)

    def __getitem__(self, at: Any) -> Any:
        return self._told[at]

    @cached_property
    def _told(self) -> tuple[Line, ...]:
        return tuple(map(Line, self.names, self.labels, self.amounts))


@dataclass(frozen=True)
class Reasons(Sequence[Reason]):
    """A home's reasons, the largest first, and in each its lines, the largest first; as columns, as `Lines` are.

    Attributes:
        order: of each line which of the kinds it is.
        amounts: of each line.
        heads: of each reason its name, its amount, and which line is the first of the next.
    """

    kinds: Kinds = Kinds((), (), ())
    order: Sequence[int] = ()
    amounts: Sequence[float] = ()
    heads: Sequence[tuple[str, float, int]] = ()

    def __len__(self) -> int:
        return len(self.heads)

    def __getitem__(self, at: Any) -> Any:
        return self._told[at]

    @cached_property
    def _told(self) -> tuple[Reason, ...]:
        names, labels = self.kinds.names, self.kinds.labels
        lines = [Line(names[kind], labels[kind], cents) for kind, cents in zip(self.order, self.amounts, strict=True)]
        begins = (0, *(end for _, _, end in self.heads))
        return tuple(
            Reason(name, GROUP_LABELS[name], amount, tuple(lines[begin:end]))
            for begin, (name, amount, end) in zip(begins, self.heads, strict=False)
        )


def log_mean(a: float, b: float) -> float:
    """(a - b) / ln(a / b), and a where both are equal."""
    return (a - b) / math.log(a / b) if abs(a / b - 1) > 1e-9 else a


def cents_of_parts(
    start: Sequence[float], end: Sequence[float], parts: np.ndarray, told: tuple[Sequence[float], Sequence[float]]
) -> np.ndarray:
    """Each part's cents on the way from `start` to `end`, and last what rounding leaves over; shape (n, parts + 1).

    Args:
        start, end: unrounded money, shape (n,); `end` is `start` times exp of the sum of `parts`.
        parts: in log price, shape (n, parts).
        told: start and end as told, in whole cents' money.
    """
    scale = np.array([100 * log_mean(b, a) for a, b in zip(start, end, strict=True)])
    cents = np.rint(scale[:, None] * parts) + 0.0  # no -0
    whole = np.array([round(100 * b) - round(100 * a) for a, b in zip(*told, strict=True)])
    return np.column_stack([cents, whole - cents.sum(axis=1)])


def reasons_in_money(
    values: Sequence[float], log_bases: Sequence[float], parts: np.ndarray, kinds: Kinds
) -> list[tuple[float, Reasons]]:
    """For each home the base in money and the reasons, largest first, so that base + sum of amounts is the value to the
    cent.

    The last reason, `rounding`, takes what the rounding of the value and of each line to cents left over.

    Args:
        values: as told, already rounded; shape (n,).
        parts: shape (n, parts); with its log base a home's sum to the log of its unrounded value.
        kinds: of the parts.
    """
    ends = [math.exp(log + math.fsum(own)) for log, own in zip(log_bases, parts.tolist(), strict=True)]
    bases = [math.exp(log) for log in log_bases]
    told = [round(100 * base) / 100 for base in bases]
    cents = cents_of_parts(bases, ends, parts, (told, values))
    return list(zip(told, _sorted(cents, kinds), strict=True))


def _sorted(cents: np.ndarray, kinds: Kinds) -> list[Reasons]:
    """Reasons and lines, each the largest first, then by name; last what rounding left over."""
    by_name, reason, by_reason, starts = kinds.sorting
    cents, rest = cents.take(by_name, axis=1), cents[:, -1:]
    sums = np.add.reduceat(cents.take(by_reason, axis=1), starts, axis=1)
    first = np.argsort(-np.abs(sums), axis=1, kind="stable")
    place = np.argsort(first, axis=1)  # of each reason
    lines = np.lexsort((-np.abs(cents), place.take(reason, axis=1)), axis=1)
    columns = (
        np.column_stack([by_name.take(lines), np.full(len(cents), len(by_name))]),
        np.hstack([np.take_along_axis(cents, lines, axis=1), rest]) / 100,
        first,
        np.take_along_axis(sums, first, axis=1) / 100,
        np.diff(starts, append=len(by_name)).take(first).cumsum(axis=1),
    )
    told = []
    for order, amounts, reasons, of_reasons, ends in zip(*(column.tolist() for column in columns), strict=True):
        heads = zip(map(kinds.reasons.__getitem__, reasons), of_reasons, ends, strict=True)
        told.append(Reasons(kinds, order, amounts, (*heads, (ROUNDING, amounts[-1], len(order)))))
    return told
