"""The parts of a market's declaration that say what a home is: its fields, and the rules between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.declaration import (
    DeclarationError,
    Where,
    bounds,
    choice,
    items,
    name,
    number,
    section,
    span,
    text,
    yes_or_no,
)

FIELD_TYPES = ("number", "integer", "flag", "category")
DIRECTIONS = ("up", "down")
#: Meanings that reference models, segments and maps ask for; each names at most one field.
CATEGORY_ROLES = ("neighbourhood", "property_type")
NUMBER_ROLES = ("living_area", "latitude", "longitude")
ROLES = (*CATEGORY_ROLES, *NUMBER_ROLES)
_GROUP_OF_ROLE = {
    "living_area": "size",
    "property_type": "type",
    **dict.fromkeys(("neighbourhood", "latitude", "longitude"), "location"),
}
#: The columns that make a row a sale, in the order of every table of sales.
SALE_ROLES = ("sale_id", "property_id", "sale_date", "price")
#: Names that tables of sales, requests and answers use themselves.
RESERVED = (*SALE_ROLES, "reason", "as_of", "market", "rounding")
#: Characters of a category's text; a caller could not send a longer one.
LONGEST_TEXT = 200
FIELD_KEYS = ("name", "column", "type", "label"), ("unit", "range", "values", "missing", "direction", "role", "group")
#: What a field's part of a value is told under, where reasons are told in a few words.
GROUPS = ("location", "size", "quality", "age", "lot", "type", "facts")
RULE_KEYS = ("name", "smaller", "larger", "says"), ("times",)


@dataclass(frozen=True)
class Field:
    """One fact about a home, as callers, sales files and the model all see it."""

    name: str
    column: str
    type: str
    label: str
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] = ()
    missing: bool = False
    direction: str | None = None
    role: str | None = None
    told_under: str | None = None

    @property
    def group(self) -> str:
        """One of `GROUPS`: as declared, else what the role says, else the facts that have no group of their own."""
        return self.told_under or _GROUP_OF_ROLE.get(self.role or "", "facts")

    @property
    def is_category(self) -> bool:
        return self.type == "category"

    @property
    def is_number(self) -> bool:
        return self.type in ("number", "integer")

    @property
    def allowed(self) -> str:
        """What the field accepts, in words, for every message and document that must say it."""
        if self.type == "flag":
            return "true or false"
        if self.is_category:
            return "one of " + ", ".join(self.values) if self.values else "any text"
        return span("a whole number" if self.type == "integer" else "a number", self.minimum, self.maximum, self.unit)


@dataclass(frozen=True)
class Rule:
    """Two fields that must agree: `smaller` <= `times` x `larger`."""

    name: str
    smaller: str
    larger: str
    says: str
    times: float = 1.0

    def breaks(self, smaller: Any, larger: Any) -> Any:
        """Whether two values contradict each other, element by element; a missing side, NaN, breaks nothing."""
        return smaller > self.times * larger

    def holds(self, smaller: Any, larger: Any) -> Any:
        return np.logical_not(self.breaks(smaller, larger))


def plain(text: str) -> str:
    """Text as cells and declared values are kept: one space for any run of white space, none at the ends."""
    return " ".join(text.split())


def is_sendable(text: str) -> bool:
    """Whether a caller can send the text as a category."""
    return bool(text.strip()) and len(text) <= LONGEST_TEXT and text.isprintable()


def read_fields(raw: Any, price_column: str) -> tuple[Field, ...]:
    fields = tuple(_field(item, ("fields", i)) for i, item in enumerate(items(raw, ("fields",), "fields")))
    for what in ("name", "column", "role"):
        _check_unique([getattr(f, what) for f in fields], "fields", what)
    for i, item in enumerate(fields):
        if item.column == price_column:
            raise DeclarationError(
                ("fields", i, "column"), f"{item.column!r} is the price itself; a home can't know it"
            )
    placed = {f.role: i for i, f in enumerate(fields) if f.role in ("latitude", "longitude")}
    if len(placed) == 1:
        role, i = placed.popitem()
        raise DeclarationError(("fields", i, "role"), f"{role} needs a field that plays the other coordinate as well")
    return fields


def _field(raw: Any, where: Where) -> Field:
    item = section(raw, where, *FIELD_KEYS)
    kind = choice(item["type"], (*where, "type"), FIELD_TYPES)
    if item["name"] in RESERVED:
        raise DeclarationError(
            (*where, "name"), f"{item['name']!r} has a meaning of its own in every market; choose another"
        )
    numeric = kind in ("number", "integer")
    for key, fits in (
        ("range", numeric),
        ("unit", numeric),
        ("direction", numeric or kind == "flag"),
        ("values", kind == "category"),
    ):
        if key in item and not fits:
            raise DeclarationError((*where, key), f"has no meaning for a {kind}; remove it")
    low, high = bounds(item["range"], (*where, "range")) if "range" in item else (None, None)
    if kind == "integer" and not all(bound is None or bound.is_integer() for bound in (low, high)):
        raise DeclarationError((*where, "range"), f"is {item['range']!r}; allowed for an integer: whole numbers")
    return Field(
        name=name(item["name"], (*where, "name")),
        column=text(item["column"], (*where, "column")),
        type=kind,
        label=text(item["label"], (*where, "label")),
        unit=text(item["unit"], (*where, "unit")) if "unit" in item else None,
        minimum=low,
        maximum=high,
        values=_values(item["values"], (*where, "values")) if "values" in item else (),
        missing=yes_or_no(item.get("missing", False), (*where, "missing")),
        direction=choice(item["direction"], (*where, "direction"), DIRECTIONS) if "direction" in item else None,
        role=_role(item["role"], (*where, "role"), kind) if "role" in item else None,
        told_under=choice(item["group"], (*where, "group"), GROUPS) if "group" in item else None,
    )


def _role(raw: Any, where: Where, kind: str) -> str:
    role = choice(raw, where, ROLES)
    fitting = ("category",) if role in CATEGORY_ROLES else ("number", "integer")
    if kind not in fitting:
        raise DeclarationError(where, f"a field that plays {role!r} must be of type {' or '.join(fitting)}, not {kind}")
    return role


def _values(raw: Any, where: Where) -> tuple[str, ...]:
    values: list[str] = []
    for i, value in enumerate(items(raw, where, "the allowed values (leave it out to allow any text)")):
        if isinstance(value, bool) or not isinstance(value, int | str) or not str(value).strip():
            problem = f"is {value!r}; allowed: a text or a whole number (quote what else it may look like)"
            raise DeclarationError((*where, i), problem)
        told = plain(str(value))
        if told in values:
            raise DeclarationError((*where, i), f"{told!r} is in the list twice")
        values.append(told)
    return tuple(values)


def read_rules(raw: Any, fields: Sequence[Field]) -> tuple[Rule, ...]:
    numeric = tuple(f.name for f in fields if f.is_number)
    rules = tuple(_rule(item, ("rules", i), numeric) for i, item in enumerate(items(raw, ("rules",), "rules")))
    _check_unique([r.name for r in rules], "rules", "name")
    return rules


def _rule(raw: Any, where: Where, numeric: Sequence[str]) -> Rule:
    item = section(raw, where, *RULE_KEYS)
    times = number(item.get("times", 1), (*where, "times"))
    if times <= 0:
        raise DeclarationError((*where, "times"), f"is {item['times']!r}; allowed: a number above 0")
    smaller = choice(item["smaller"], (*where, "smaller"), numeric)
    larger = choice(item["larger"], (*where, "larger"), [n for n in numeric if n != smaller])
    return Rule(name(item["name"], (*where, "name")), smaller, larger, text(item["says"], (*where, "says")), times)


def field_to_dict(field: Field) -> dict[str, Any]:
    """What `read_fields` reads, without what is only a default."""
    raw: dict[str, Any] = {"name": field.name, "column": field.column, "type": field.type, "label": field.label}
    if field.minimum is not None or field.maximum is not None:
        raw["range"] = [field.minimum, field.maximum]
    if field.values:
        raw["values"] = list(field.values)
    if field.told_under:
        raw["group"] = field.told_under
    return raw | {k: v for k in ("unit", "missing", "direction", "role") if (v := getattr(field, k))}


def _check_unique(values: Sequence[str | None], part: str, what: str) -> None:
    seen: dict[str, int] = {}
    for i, value in enumerate(values):
        if value is not None and value in seen:
            problem = f"{value!r} is already the {what} of number {seen[value] + 1}; each needs its own"
            raise DeclarationError((part, i, what), problem)
        if value is not None:
            seen[value] = i
