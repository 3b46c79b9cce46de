"""The card of the model that serves: what it is, what it takes, and the days it can speak for."""

from __future__ import annotations

from typing import Any

from models.market import Field
from serving.champion import Champion
from serving.home import PARCEL


def model_card(champion: Champion) -> dict[str, Any]:
    """The card of the model that serves, its memory, the fields it takes, and the days it can speak for."""
    valuer = champion.valuer
    return (
        champion.card
        | champion.cited
        | {
            "as_of": {
                "earliest": valuer.first_day.isoformat(),
                "default": valuer.current_day.isoformat(),
                "latest": valuer.last_day.isoformat(),
            },
            "fields": [_field_card(field) for field in champion.market.fields],
            "property_id": _field_card(PARCEL),
            "rules": [{"name": rule.name, "says": rule.says} for rule in champion.market.rules],
            "example": {"home": dict(valuer.typical)},
        }
    )


def _field_card(field: Field) -> dict[str, Any]:
    return {
        "name": field.name,
        "label": field.label,
        "type": field.type,
        "unit": field.unit,
        "allowed": field.allowed,
        "required": not field.missing,
        "direction": field.direction,
    }
