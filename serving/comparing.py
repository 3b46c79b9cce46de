"""What if, and what changed: two valuations, and the steps that lead from one to the other, to the cent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from models.change import Asked, what_changed
from serving.answer import identity, lines, money
from serving.champion import Champion
from serving.home import parse_home
from serving.json_body import read_object
from serving.notes import Notes, Valued
from serving.problems import FieldError
from serving.request import day_of, faults_of_keys, refuse

SIDES = ("from", "to")
#: In place of `to`: only what differs from `from`.
CHANGE = "change"


def compare(champion: Champion, body: bytes, notes: Notes | None = None) -> dict[str, Any]:
    """The answer to `{"from": {"home": {…}, "as_of": …}, "to": {"home": {…}, "as_of": …}}`.

    In place of `to` there may be a `change`, whose facts and day take the place of those in `from`.

    Raises:
        Problem: as `value_one` does; the field of a fault begins with its side, as in `to.rooms`.
    """
    request = read_object(body)
    second = CHANGE if CHANGE in request and "to" not in request else "to"
    errors = faults_of_keys(request, ("from", second), () if second == CHANGE else (CHANGE,))
    if second == "to" and CHANGE in request:
        errors.append(FieldError(CHANGE, request[CHANGE], "either to or change", "leave one of the two out"))
    asked = []
    for side, raw in (("from", request.get("from")), (second, _second(request, second))):
        if side in request:
            one, faults = _asked(champion, raw)
            asked.append(one)
            errors += [replace(fault, field=f"{side}.{fault.field}" if fault.field else side) for fault in faults]
    refuse(errors)
    notes = notes or Notes()
    notes.lap("parse")
    before, after = asked
    change = what_changed(before, after)
    told = {"from": _side(champion, before, change.before), "to": _side(champion, after, change.after)}
    for side, one, value in zip(SIDES, asked, (change.before, change.after), strict=True):
        notes.valued.append(Valued(told[side]["id"], one.home, one.as_of, value, part=side))
    return {
        **told,
        "currency": champion.market.currency,
        "difference": money((round(100 * change.after) - round(100 * change.before)) / 100),
        "steps": lines(change.steps),
        "model": champion.cited,
    }


def _second(request: Mapping[str, Any], name: str) -> Any:
    """The second side, whole; where it can't be made whole, as it was given, for its faults to be told."""
    first, second = request.get("from"), request.get(name)
    if name != CHANGE or not isinstance(first, Mapping) or not isinstance(second, Mapping):
        return second
    whole = {**first, **second}
    homes = first.get("home"), second.get("home")
    if isinstance(homes[0], Mapping) and isinstance(homes[1], Mapping):
        whole["home"] = {**homes[0], **homes[1]}
    return whole


def _asked(champion: Champion, raw: Any) -> tuple[Asked, list[FieldError]]:
    """One side, complete only when it has no faults; a fault of the whole side has no field."""
    valuer = champion.valuer
    if not isinstance(raw, Mapping):
        fault = FieldError("", raw, "an object with the keys home and as_of", "send a JSON object, in braces")
        return Asked(valuer, {}, valuer.current_day), [fault]
    errors = faults_of_keys(raw, ["home"], ["as_of"])
    as_of, faults_of_day = day_of(valuer, raw)
    home, faults = parse_home(champion.market, raw["home"]) if "home" in raw else ({}, [])
    return Asked(valuer, home, as_of), [*errors, *faults_of_day, *faults]


def _side(champion: Champion, asked: Asked, value: float) -> dict[str, Any]:
    identified = identity(champion, asked.home, asked.as_of)
    return {"id": identified, "value": money(value), "as_of": asked.as_of.isoformat()}
