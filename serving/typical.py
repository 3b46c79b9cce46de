"""A home in the middle of what the model knows: the probe of readiness and the example in the docs."""

from __future__ import annotations

import math
from typing import Any

from models.market import Field
from models.valuer import Valuer
from serving.home import errors_of_rules


def typical_home(valuer: Valuer) -> dict[str, Any]:
    """A value for every field that the model has seen, within the declaration, keeping its rules."""
    market = valuer.market
    home = {field.name: _middle(field, valuer) for field in market.fields}
    rules = {rule.name: rule for rule in market.rules}
    for _ in rules:
        for error in errors_of_rules(market, home):
            rule = rules[str(error.rule)]
            bound = rule.times * home[rule.larger]
            home[rule.smaller] = math.floor(bound) if market[rule.smaller].type == "integer" else bound
    return home


def _middle(field: Field, valuer: Valuer) -> Any:
    if field.type == "flag":
        return False
    if field.is_category:
        seen = valuer.features.categories.get(field.name) or field.values
        return seen[len(seen) // 2] if seen else None
    if field.name not in valuer.support:
        return field.minimum if field.minimum is not None else field.maximum
    low, high = valuer.support[field.name]
    low = low if field.minimum is None else max(low, field.minimum)
    high = high if field.maximum is None else min(high, field.maximum)
    # Areas and ages spread over orders of magnitude: their middle is the geometric one.
    middle = math.sqrt(low * high) if low > 0 else (low + high) / 2
    if field.type == "integer":
        return round(middle)
    digits = 0 if low == high else max(0, 3 - math.floor(math.log10(high - low)))
    return min(max(round(middle, digits), low), high)
