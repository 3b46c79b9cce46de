"""Golden homes: whatever reads or runs a model must value them as it was valued when it was judged."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from models.valuer import PROPERTY, Valuer

#: Sales whose homes are golden; the first few of them go with the model's card.
SALES, ON_CARD = 64, 8
#: What a value may differ by, as a share: another processor may add up in another order.
SAME = 1e-9


def golden_homes(valuer: Valuer, sales: int = SALES) -> list[dict[str, Any]]:
    """The typical home, one of which nothing is known that may be missing, and homes of sales of all years."""
    market, memory = valuer.market, valuer.memory.sales
    known = int((valuer.memory.month < valuer.track.trained).sum())  # of a memory that has grown, what it had then
    rows = np.unique(np.linspace(0, known - 1, sales).astype(int))
    some = memory.iloc[rows][[*market.field_names, PROPERTY]].to_dict("records")
    homes = [{str(name): None if value != value else value for name, value in home.items()} for home in some]
    bare = {name: value for name, value in valuer.typical.items() if not market[name].missing}
    return [dict(valuer.typical), bare, *homes]


def golden_answers(valuer: Valuer) -> list[dict[str, Any]]:
    """What the model says of a few golden homes on the first day after its training, for its card."""
    homes = golden_homes(valuer, ON_CARD)
    values = valuer.value(valuer.columns(homes), valuer.trained_day).tolist()
    day = valuer.trained_day.isoformat()
    return [{"home": home, "as_of": day, "value": value} for home, value in zip(homes, values, strict=True)]


def changed_answer(valuer: Valuer, answers: Sequence[dict[str, Any]]) -> str | None:
    """The first golden home that is valued otherwise than the card says, in words."""
    for told in answers:
        value = float(valuer.value(valuer.columns([told["home"]]), date.fromisoformat(told["as_of"]))[0])
        if not abs(value / told["value"] - 1) <= SAME:
            return f"{told['home']} is valued at {value} here and was at {told['value']} when the model was judged"
    return None
