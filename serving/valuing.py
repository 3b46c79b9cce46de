"""From the bytes of a request to the body of its answer. Pure: the same request, model and answer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from difflib import get_close_matches
from hashlib import sha256
from typing import Any

from models.field import LONGEST_TEXT
from models.valuer import Appraisal, Valuer
from serving.champion import Champion
from serving.home import parse_home
from serving.json_body import read_object
from serving.problems import FieldError, Problem

MOST_HOMES = 1000
MOST_ERRORS = 100
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def value_one(champion: Champion, body: bytes) -> dict[str, Any]:
    """The answer to `{"home": {…}, "as_of": …}`.

    Raises:
        Problem: 400 for malformed JSON, 422 with every fault of the request.
    """
    request = read_object(body)
    errors = _faults_of_keys(request, ("home", "as_of"))
    as_of = _as_of(champion.valuer, request, errors)
    home, faults = parse_home(champion.market, request["home"]) if "home" in request else ({}, [])
    _refuse([*errors, *faults])
    return _answers(champion, [home], as_of)[0]


def value_many(champion: Champion, body: bytes) -> dict[str, Any]:
    """The answer to `{"homes": [{…}, …], "as_of": …}`: `values` in the order of the homes.

    Raises:
        Problem: as `value_one` does, each fault with its row; 413 for more than `MOST_HOMES`.
    """
    request = read_object(body)
    errors = _faults_of_keys(request, ("homes", "as_of"))
    as_of = _as_of(champion.valuer, request, errors)
    raw_homes = request.get("homes")
    if isinstance(raw_homes, list) and len(raw_homes) > MOST_HOMES:
        raise Problem(
            413, "too-many-homes", f"{len(raw_homes)} homes in one request; at most {MOST_HOMES} are valued at once"
        )
    if "homes" in request and (not isinstance(raw_homes, list) or not raw_homes):
        errors.append(
            FieldError("homes", raw_homes, f"a list of 1 to {MOST_HOMES} homes", "send at least one home, in a list")
        )
    homes = []
    for row, raw in enumerate(raw_homes if isinstance(raw_homes, list) else ()):
        home, faults = parse_home(champion.market, raw)
        homes.append(home)
        errors += [replace(fault, row=row) for fault in faults]
        if len(errors) >= MOST_ERRORS:
            break
    _refuse(errors)
    return {"values": _answers(champion, homes, as_of)}


def _answers(champion: Champion, homes: Sequence[Mapping[str, Any]], as_of: date) -> list[dict[str, Any]]:
    appraisals = champion.valuer.appraise(homes, as_of)
    return [_answer(champion, home, as_of, a) for home, a in zip(homes, appraisals, strict=True)]


def _answer(champion: Champion, home: Mapping[str, Any], as_of: date, appraisal: Appraisal) -> dict[str, Any]:
    return {
        "id": _identity(home, as_of, champion.digest),
        "value": _money(appraisal.value),
        "currency": champion.market.currency,
        "as_of": as_of.isoformat(),
        "range": {"low": _money(appraisal.low), "high": _money(appraisal.high), "level": appraisal.level},
        "base": {"amount": appraisal.base, "meaning": appraisal.base_meaning},
        "reasons": [{"name": r.name, "label": r.label, "amount": r.amount} for r in appraisal.reasons],
        "warnings": list(appraisal.warnings),
        "model": champion.cited,
    }


def _identity(home: Mapping[str, Any], as_of: date, digest: str) -> str:
    """32 hexadecimal digits that stand for this home, this day and this model, however it was asked."""
    told = {"home": dict(home), "as_of": as_of.isoformat(), "model": digest}
    return sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:32]


def _money(amount: float) -> float | int:
    return int(amount) if amount.is_integer() else amount


def _refuse(errors: Sequence[FieldError]) -> None:
    if not errors:
        return
    told = errors[:MOST_ERRORS]
    count = (
        f"the first {len(told)} faults" if len(errors) >= MOST_ERRORS else f"{len(told)} fault{'s' * (len(told) > 1)}"
    )
    names = ", ".join(dict.fromkeys(error.field for error in told[:5]))
    raise Problem(422, "invalid-request", f"the request has {count}, in {names}; errors says what is allowed", told)


def _faults_of_keys(request: Mapping[str, Any], allowed: tuple[str, str]) -> list[FieldError]:
    """Unknown keys, and a missing first one; the second is optional."""
    errors = []
    for name in list(request)[:MOST_ERRORS]:
        if name not in allowed:
            near = get_close_matches(name[:LONGEST_TEXT], allowed, 1)
            suggestion = f"did you mean {near[0]!r}?" if near else "leave it out"
            errors.append(
                FieldError(name[:LONGEST_TEXT], request[name], "the keys " + " and ".join(allowed), suggestion)
            )
    if allowed[0] not in request:
        errors.append(FieldError(allowed[0], None, "required", "it is missing"))
    return errors


def _as_of(valuer: Valuer, request: Mapping[str, Any], errors: list[FieldError]) -> date:
    """The valuation date; left out, the last day of the model's sales. Adds to `errors`."""
    if request.get("as_of") is None:
        return valuer.memory_end
    allowed = f"a date from {valuer.first_day} to {valuer.last_day}, written YYYY-MM-DD"
    given = request["as_of"]
    try:
        if not isinstance(given, str) or not _DAY.fullmatch(given):
            raise ValueError("not a day")
        day = date.fromisoformat(given)
    except ValueError:
        errors.append(
            FieldError("as_of", given, allowed, f"send a calendar day without time, such as {valuer.memory_end}")
        )
        return valuer.memory_end
    if not valuer.first_day <= day <= valuer.last_day:
        nearest = valuer.first_day if day < valuer.first_day else valuer.last_day
        errors.append(FieldError("as_of", given, allowed, f"the nearest day the model can speak for is {nearest}"))
    return day
