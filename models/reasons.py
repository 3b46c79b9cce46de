"""Reasons in money that add up to the value to the cent.

In log price the forest's contributions are exactly additive (TreeSHAP, Lundberg et al. 2020). The
logarithmic mean carries them into money without a remainder: with V = B exp(sum c), the amount of
c is L(V, B) c, where L(V, B) = (V - B) / ln(V / B) (the additive LMDI decomposition, Ang 2005,
doi:10.1016/j.enpol.2003.10.010). Every reason keeps the sign and the share it has in log price.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """One line between the base and the value; `amount` in the market's currency, whole cents."""

    name: str
    label: str
    amount: float


def reasons_in_money(
    value: float, log_base: float, contributions: Sequence[tuple[str, str, float]]
) -> tuple[float, tuple[Reason, ...]]:
    """The base in money and the reasons, largest first, so that base + sum of amounts is `value` to the cent.

    The last line, `rounding`, takes what the rounding of the value and of each line to cents left over.

    Args:
        value: the value as told, already rounded.
        contributions: name, label and log-price contribution of each part; with `log_base` they
            sum to the log of the unrounded value.
    """
    total = math.fsum(c for _, _, c in contributions)
    base = math.exp(log_base)
    unrounded = math.exp(log_base + total)
    mean = (unrounded - base) / total if abs(total) > 1e-9 else base
    cents = sorted(
        ((name, label, round(100 * mean * c)) for name, label, c in contributions),
        key=lambda part: (-abs(part[2]), part[0]),
    )
    base_cents = round(100 * base)
    rest = round(100 * value) - base_cents - sum(amount for _, _, amount in cents)
    lines = (*cents, ("rounding", "Rounding", rest))
    return base_cents / 100, tuple(Reason(name, label, amount / 100) for name, label, amount in lines)
