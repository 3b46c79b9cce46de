"""From the bytes of a request to the body of its answer. Pure: the same request, model and memory, the same answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from models.appraisal import appraise
from models.comparables import TOLD
from serving.answer import answer, with_comparables
from serving.champion import Champion
from serving.home import parse_home
from serving.json_body import read_object
from serving.notes import Notes, Valued
from serving.problems import FieldError, Problem
from serving.request import MOST_ERRORS, day_of, faults_of_keys, refuse

MOST_HOMES = 1000


def value_one(champion: Champion, body: bytes, notes: Notes | None = None) -> dict[str, Any]:
    """The answer to `{"home": {…}, "as_of": …}`, with its comparable sales.

    Raises:
        Problem: 400 for malformed JSON, 422 with every fault of the request.
    """
    request = read_object(body)
    errors = faults_of_keys(request, ["home"], ["as_of"])
    as_of, faults_of_day = day_of(champion.valuer, request)
    home, faults = parse_home(champion.market, request["home"]) if "home" in request else ({}, [])
    refuse([*errors, *faults_of_day, *faults])
    notes = notes or Notes()
    notes.lap("parse")
    appraisal = appraise(champion.valuer, [home], as_of, TOLD)[0]
    told = answer(champion, home, as_of, appraisal)
    notes.valued.append(Valued.of(told["id"], home, as_of, appraisal))
    return with_comparables(told, appraisal)


def value_many(champion: Champion, body: bytes, notes: Notes | None = None) -> dict[str, Any]:
    """The answer to `{"homes": [{…}, …], "as_of": …}`: `values` in the order of the homes, without comparables.

    Raises:
        Problem: as `value_one` does, each fault with its row; 413 for more than `MOST_HOMES`.
    """
    request = read_object(body)
    errors = faults_of_keys(request, ["homes"], ["as_of"])
    as_of, faults_of_day = day_of(champion.valuer, request)
    errors += faults_of_day
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
    refuse(errors)
    notes = notes or Notes()
    notes.lap("parse")
    appraisals = appraise(champion.valuer, homes, as_of)
    values = [answer(champion, home, as_of, told) for home, told in zip(homes, appraisals, strict=True)]
    for row, (home, told, appraisal) in enumerate(zip(homes, values, appraisals, strict=True)):
        notes.valued.append(Valued.of(told["id"], home, as_of, appraisal, row))
    return {"values": values}
