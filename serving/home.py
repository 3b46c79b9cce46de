"""One home against the market's declaration: strictly typed, nothing coerced, every fault named."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from itertools import islice
from typing import Any

from models.field import LONGEST_TEXT, is_sendable
from models.market import Field, Market, Rule
from models.valuer import PROPERTY
from serving.problems import FieldError

#: Looking for near names costs time, and nobody reads more.
MOST_UNKNOWN = 100
#: Which home it is, so that the model finds its own earlier sales: no fact, so no market declares it.
PARCEL = Field(PROPERTY, PROPERTY, "category", "Property", missing=True)


def parse_home(market: Market, raw: Any) -> tuple[dict[str, Any], list[FieldError]]:
    """The home under the declaration's names, in declared order, and all that is wrong with it.

    Numbers come as float, integers as int, flags as bool, categories as text, and None where a
    value is missing that may be. `property_id` comes last, and only where it is known. The home is
    complete only when the list of faults is empty.
    """
    if not isinstance(raw, Mapping):
        return {}, [FieldError("home", raw, "an object with the fields of a home", "send a JSON object, in braces")]
    unknown = (name for name in raw if name not in market and name != PROPERTY)
    errors = [_unknown(market, name, raw) for name in islice(unknown, MOST_UNKNOWN)]
    home: dict[str, Any] = {}
    for field in (*market.fields, PARCEL):
        fault = _fault(field, raw)
        if fault is not None:
            errors.append(fault)
        elif field is not PARCEL or raw.get(PROPERTY) is not None:
            home[field.name] = _typed(field, raw.get(field.name))
    errors += _contradictions(market, home)
    return home, _with_swapped_coordinates(market, raw, errors) if errors else errors


def _contradictions(market: Market, home: Mapping[str, Any]) -> list[FieldError]:
    """The market's rules that the home breaks; a missing side breaks nothing."""
    return [_contradiction(market, rule, home) for rule in market.rules if not _holds(rule, home)]


def _holds(rule: Rule, home: Mapping[str, Any]) -> bool:
    smaller, larger = home.get(rule.smaller), home.get(rule.larger)
    if smaller is None or larger is None:
        return True
    return not rule.breaks(smaller, larger)


def _contradiction(market: Market, rule: Rule, home: Mapping[str, Any]) -> FieldError:
    times = "" if rule.times == 1 else f"{rule.times:g} times "
    bound = rule.times * home[rule.larger]
    return FieldError(
        rule.smaller,
        home[rule.smaller],
        f"at most {times}{rule.larger}, which is {home[rule.larger]:g}: {bound:g}",
        f"{rule.says}; check {rule.smaller} and {rule.larger}",
        rule=rule.name,
    )


def _unknown(market: Market, name: str, raw: Mapping[str, Any]) -> FieldError:
    """The meant field is one not given yet whose name, source column or label is near."""
    parcel = replace(PARCEL, column=market.columns[PROPERTY])
    absent = [f for f in (parcel, *market.fields) if f.name not in raw]
    spellings = {s.lower(): f.name for f in absent for s in (f.label, f.column, f.name)}
    near = get_close_matches(name.lower()[:LONGEST_TEXT], spellings, 1)
    return FieldError(
        name[:LONGEST_TEXT],
        raw[name],
        "one of the fields " + ", ".join((*market.field_names, PROPERTY)),
        f"did you mean {spellings[near[0]]!r}?" if near else "leave it out",
    )


def _fault(field: Field, raw: Mapping[str, Any]) -> FieldError | None:
    if raw.get(field.name) is None:
        if field.missing:
            return None
        given = "it is null" if field.name in raw else "it is missing"
        return FieldError(field.name, None, field.allowed, f"{given}; this field is required")
    value = raw[field.name]
    if field.is_category:
        suggestion = _fault_of_text(field, value)
    elif field.type == "flag":
        suggestion = None if isinstance(value, bool) else "send true or false, without quotes"
    else:
        suggestion = _fault_of_number(field, value)
    return None if suggestion is None else FieldError(field.name, value, field.allowed, suggestion)


def _fault_of_text(field: Field, value: Any) -> str | None:
    if not isinstance(value, str):
        if isinstance(value, int) and not isinstance(value, bool) and str(value) in field.values:
            return f'send it as text: "{value}"'
        return "send a text, in quotes"
    if field.values:
        if value in field.values:
            return None
        by_spelling = {v.lower(): v for v in field.values}
        near = get_close_matches(value.strip().lower()[:LONGEST_TEXT], by_spelling, 1)
        return f"did you mean {by_spelling[near[0]]!r}?" if near else "send one of the allowed values"
    if not is_sendable(value):
        return f"send a text of 1 to {LONGEST_TEXT} printable characters"
    return None


def _fault_of_number(field: Field, value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "send a number, without quotes"
    if not math.isfinite(value):
        return "leave the field out when it isn't known" if field.missing else "send a finite number"
    if field.type == "integer" and value != int(value):
        return f"send a whole number, such as {round(value)}"
    low = -math.inf if field.minimum is None else field.minimum
    high = math.inf if field.maximum is None else field.maximum
    if not low <= value <= high:
        return "check the value" + (f"; it is in {field.unit}" if field.unit else "")
    return None


def _typed(field: Field, value: Any) -> Any:
    if value is None or field.is_category or field.type == "flag":
        return value
    return int(value) if field.type == "integer" else float(value) + 0.0  # -0.0 is the same home as 0.0


def _with_swapped_coordinates(market: Market, raw: Mapping[str, Any], errors: Sequence[FieldError]) -> list[FieldError]:
    """Says so when latitude and longitude would be right the other way round."""
    latitude, longitude = market.role("latitude"), market.role("longitude")
    if latitude is None or longitude is None:
        return list(errors)
    swapped = {latitude.name: raw.get(longitude.name), longitude.name: raw.get(latitude.name)}
    both = {latitude.name, longitude.name}
    if not both <= {e.field for e in errors} or _fault(latitude, swapped) or _fault(longitude, swapped):
        return list(errors)
    said = f"{latitude.name} and {longitude.name} look swapped"
    return [FieldError(e.field, e.value, e.allowed, said) if e.field in both else e for e in errors]
