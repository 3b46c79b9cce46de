"""Reasons in money that add up to the value to the cent.

In log price the parts of a value are exactly additive: the index, each field's share of the hedonic
regression, the forests' contributions (TreeSHAP, Lundberg et al. 2020), the drift. The logarithmic mean
carries them into money without a remainder: with V = B exp(sum c), the amount of c is L(V, B) c, where
L(V, B) = (V - B) / ln(V / B) (the additive LMDI decomposition, Ang 2005, doi:10.1016/j.enpol.2003.10.010).
Every part keeps the sign and the share it has in log price.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
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


class Part(NamedTuple):
    """One additive part of a value in log price."""

    name: str
    label: str
    group: str
    amount: float


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


#: From the tuple of its fields, in a third of the time: an answer has a hundred of them.
part_of: Callable[[Iterable[Any]], Part] = partial(tuple.__new__, Part)
line_of: Callable[[Iterable[Any]], Line] = partial(tuple.__new__, Line)

#: What a line is sorted by, first its size: the largest first, then by name; and last its amount.
_Cents = tuple[float, str, str, float]


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
    values: Sequence[float], log_bases: Sequence[float], parts: Sequence[Sequence[Part]]
) -> list[tuple[float, tuple[Reason, ...]]]:
    """For each home the base in money and the reasons, largest first, so that base + sum of amounts is the value to the
    cent.

    The last reason, `rounding`, takes what the rounding of the value and of each line to cents left over.

    Args:
        values: as told, already rounded.
        parts: of each home equally many; with its log base they sum to the log of its unrounded value.
    """
    amounts = np.array([[part.amount for part in own] for own in parts])
    ends = [math.exp(log + math.fsum(own)) for log, own in zip(log_bases, amounts.tolist(), strict=True)]
    bases = [math.exp(log) for log in log_bases]
    told = [round(100 * base) / 100 for base in bases]
    cents = cents_of_parts(bases, ends, amounts, (told, values)).tolist()
    return [(base, _reasons(own, of)) for base, own, of in zip(told, parts, cents, strict=True)]


def _reasons(parts: Sequence[Part], cents: Sequence[float]) -> tuple[Reason, ...]:
    *cents, rest = cents
    lines: dict[str, list[_Cents]] = {}
    for (name, label, group, _), amount in zip(parts, cents, strict=True):
        lines.setdefault(group, []).append((-abs(amount), name, label, amount))
    reasons = list(map(_reason, lines, lines.values()))
    reasons.sort(key=lambda reason: (-abs(reason.amount), reason.name))
    return (*reasons, _reason("rounding", [(0.0, "rounding", GROUP_LABELS["rounding"], rest)]))


def _reason(name: str, lines: list[_Cents]) -> Reason:
    lines.sort()
    _, names, labels, cents = zip(*lines, strict=True)
    told = zip(names, labels, [amount / 100 for amount in cents], strict=True)
    return Reason(name, GROUP_LABELS[name], sum(cents) / 100, tuple(map(line_of, told)))
