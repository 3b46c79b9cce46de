"""What every request has: known keys, a valuation date, and faults that are told all at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from difflib import get_close_matches
from typing import Any
from urllib.parse import parse_qsl

from models.field import LONGEST_TEXT
from models.valuer import Valuer
from serving.problems import FieldError, Problem

MOST_ERRORS = 100
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def faults_of_keys(
    request: Mapping[str, Any], required: Sequence[str], optional: Sequence[str] = ()
) -> list[FieldError]:
    """Unknown keys, and required ones that are missing."""
    allowed = (*required, *optional)
    errors = []
    for name in list(request)[:MOST_ERRORS]:
        if name not in allowed:
            told = "the keys " + " and ".join(allowed)
            errors.append(FieldError(name[:LONGEST_TEXT], request[name], told, suggested(name, allowed)))
    errors += [FieldError(name, None, "required", "it is missing") for name in required if name not in request]
    return errors


def suggested(name: str, allowed: Sequence[str]) -> str:
    """What to do about a name that is not among those allowed."""
    near = get_close_matches(name[:LONGEST_TEXT], allowed, 1)
    return f"did you mean {near[0]!r}?" if near else "leave it out"


def read_query(query: bytes, allowed: Sequence[str]) -> dict[str, str]:
    """The parameters of a query string, each given at most once.

    Raises:
        Problem: 422 for one that is not among those allowed, or given twice.
    """
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_ERRORS)
    except ValueError:
        raise Problem(422, "invalid-request", f"the query has more than {MOST_ERRORS} parameters") from None
    told = "the parameters " + " and ".join(allowed) if allowed else "no parameters"
    read: dict[str, str] = {}
    errors = []
    for name, value in pairs:
        if name not in allowed:
            errors.append(FieldError(name[:LONGEST_TEXT], value, told, suggested(name, allowed)))
        elif name in read:
            errors.append(FieldError(name, value, "given once", "give it once"))
        read[name] = value
    refuse(errors)
    return read


def day_of(valuer: Valuer, request: Mapping[str, Any]) -> tuple[date, list[FieldError]]:
    """The valuation date of `as_of`; left out, the first day for which every sale the model knows counts."""
    if request.get("as_of") is None:
        return valuer.current_day, []
    allowed = f"a date from {valuer.first_day} to {valuer.last_day}, written YYYY-MM-DD"
    given = request["as_of"]
    try:
        if not isinstance(given, str) or not _DAY.fullmatch(given):
            raise ValueError("not a day")
        day = date.fromisoformat(given)
    except ValueError:
        suggestion = f"send a calendar day without time, such as {valuer.current_day}"
        return valuer.current_day, [FieldError("as_of", given, allowed, suggestion)]
    if valuer.first_day <= day <= valuer.last_day:
        return day, []
    nearest = valuer.first_day if day < valuer.first_day else valuer.last_day
    suggestion = f"the nearest day the model can speak for is {nearest}"
    return day, [FieldError("as_of", given, allowed, suggestion)]


def refuse(errors: Sequence[FieldError]) -> None:
    """Raises the Problem that these faults make, if there are any."""
    if errors:
        raise problem_of(errors)


def problem_of(errors: Sequence[FieldError]) -> Problem:
    """The Problem that these faults make, at least one."""
    told = errors[:MOST_ERRORS]
    count = (
        f"the first {len(told)} faults" if len(errors) >= MOST_ERRORS else f"{len(told)} fault{'s' * (len(told) > 1)}"
    )
    names = ", ".join(dict.fromkeys(error.field for error in told[:5]))
    return Problem(422, "invalid-request", f"the request has {count}, in {names}; errors says what is allowed", told)
