"""Valuations that were told: one explained again by its id, and all of them page by page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from models.valuer import AsOfError
from serving.answer import answer, money
from serving.champion import Champion
from serving.parts import ALL
from serving.past import CursorError, find, page
from serving.problems import FieldError, Problem
from serving.request import read_query, refuse
from serving.valuing import Question, appraisal_of

MOST_LISTED, LISTED = 1000, 100
#: What the list tells of each; the rest is told under its id.
_LISTED = ("id", "time", "route", "part", "as_of", "value", "cached", "model")


def explained(champion: Champion, folder: Path, wanted: str) -> dict[str, Any]:
    """The valuation with that id: its home, and the answer.

    The model that told it tells it again, in full (`replayed`). Where another serves by now, it is what the journal
    holds, and `why` says so.

    Raises:
        Problem: 404 for an id that no answer here has had.
    """
    event = find(folder, wanted)
    if event is None or "home" not in event:
        detail = "no valuation with this id was told here; it takes a second until a new one can be found"
        raise Problem(404, "unknown-valuation", detail)
    told = {"id": event["id"], "home": event["home"]}
    again = _told_again(champion, event)
    if again is not None:
        return told | {"replayed": True, "why": None, "valuation": again}
    model = event["model"]
    why = (
        f"{model['name']} version {model['version']} told it, with the memory of sales up to {model['memory_end']}; "
        f"that model does not serve now, and only what was written down is told"
    )
    return told | {"replayed": False, "why": why, "valuation": _written_down(event)}


def _told_again(champion: Champion, event: Mapping[str, Any]) -> dict[str, Any] | None:
    model = event["model"]
    if (model["digest"], model["memory"]) != (champion.digest, champion.memory):
        return None
    question = Question(event["id"], event["home"], date.fromisoformat(event["as_of"]))
    try:
        return answer(champion, question.id, question.as_of, appraisal_of(champion, question, ALL))
    except AsOfError:
        return None


def _written_down(event: Mapping[str, Any]) -> dict[str, Any]:
    ranges = [
        {"low": money(told["low"]), "high": money(told["high"]), "level": told["level"]} for told in event["ranges"]
    ]
    told = {name: event[name] for name in ("id", "as_of", "model")}
    return told | {"value": money(event["value"]), "ranges": ranges}


def listed(folder: Path, query: bytes) -> dict[str, Any]:
    """A page of what was told, the newest first; `next` is the cursor of the page after it, null on the last.

    Raises:
        Problem: 422 for a limit or a cursor that can't be.
    """
    asked = read_query(query, ("cursor", "limit"))
    given = asked.get("limit", str(LISTED))
    limit = int(given) if given.isascii() and given.isdecimal() and len(given) <= len(str(MOST_LISTED)) else 0
    if not 1 <= limit <= MOST_LISTED:
        refuse([FieldError("limit", given, f"a whole number from 1 to {MOST_LISTED}", f"leave it out for {LISTED}")])
    try:
        found = page(folder, asked.get("cursor"), limit)
    except CursorError as error:
        refuse([FieldError("cursor", asked.get("cursor"), "the `next` of the page before", str(error))])
        raise
    return {
        "valuations": [{name: event.get(name) for name in _LISTED} for event in found.events],
        "next": found.cursor,
    }
