"""Many homes: in slices, so that nobody waits long behind them, each home as if it had been asked for alone.

A home that is refused is told so in its place, and spoils no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from models.appraisal import Appraisal, appraise
from serving.answer import answer, identity
from serving.champion import Champion
from serving.home_columns import parse_homes
from serving.json_body import read_object
from serving.notes import Notes, Valued
from serving.parts import ALL, Parts
from serving.problems import FieldError, Problem
from serving.replies import as_read
from serving.request import day_of, faults_of_keys, problem_of, refuse
from serving.valuing import Question, read_question

#: Homes in one JSON object, which is held in memory whole; and in a stream of lines or of Arrow.
MOST_HOMES, MOST_STREAMED = 1000, 100_000
#: No thousand homes need more, and reading JSON takes many times its size.
MOST_JSON = 4 << 20
#: Homes that are valued at once: between two slices others have their turn, and the deadline is looked at.
SLICE = 512
#: What is told of each home unless `fields` says otherwise.
DEFAULT = ALL - ("comparables",)


@dataclass(frozen=True)
class Row:
    """One home of a batch: what it asks for, or why it gets no answer."""

    number: int
    question: Question | None
    problem: Problem | None = None
    errors: Sequence[FieldError] = ()


def rows_of_json(champion: Champion, body: bytes) -> list[Row]:
    """The homes of `{"homes": [{…}, …], "as_of": …}`.

    Raises:
        Problem: 400 for malformed JSON, 413 for more than `MOST_HOMES`, 422 where no home can be valued.
    """
    if len(body) > MOST_JSON:
        detail = f"a JSON object of {len(body)} bytes; at most {MOST_JSON} are read, send lines or Arrow instead"
        raise Problem(413, "body-too-large", detail)
    request = read_object(body)
    errors = faults_of_keys(request, ["homes"], ["as_of"])
    errors += day_of(champion.valuer, request)[1]
    homes = request.get("homes")
    if isinstance(homes, list) and len(homes) > MOST_HOMES:
        raise too_many(len(homes), MOST_HOMES, f"as lines or as Arrow, {MOST_STREAMED} are")
    if "homes" in request and (not isinstance(homes, list) or not homes):
        allowed = f"a list of 1 to {MOST_HOMES} homes"
        errors.append(FieldError("homes", homes, allowed, "send at least one home, in a list"))
    refuse(errors)
    day = {"as_of": request.get("as_of")}
    rows = rows_of(champion, 0, [{"home": home} | day for home in homes or ()])
    if all(row.question is None for row in rows):
        refuse([replace(error, row=row.number) for row in rows for error in row.errors])
    return rows


def rows_of_lines(champion: Champion, body: bytes) -> Iterator[list[Row]]:
    """The homes of lines `{"home": {…}, "as_of": …}`, slice by slice; blank lines count as no row.

    Raises:
        Problem: at once, 413 for more than `MOST_STREAMED` lines, 422 for none.
    """
    if body.count(b"\n") > MOST_STREAMED:
        raise too_many(body.count(b"\n"), MOST_STREAMED, "send the rest in another request")
    lines = [line for line in body.split(b"\n") if line.strip()]
    if not lines:
        raise Problem(422, "invalid-request", 'there is no line; send at least one, such as {"home": {…}}')
    starts = range(0, len(lines), SLICE)
    return (rows_of(champion, start, [_read(line) for line in lines[start : start + SLICE]]) for start in starts)


def rows_of(champion: Champion, first: int, requests: Sequence[Mapping[str, Any] | Problem]) -> list[Row]:
    """The rows that ask what `/value` would be asked with these bodies, numbered from `first` on."""
    homes = parse_homes(champion.market, [None if isinstance(one, Problem) else one.get("home") for one in requests])
    days: dict[Any, date | None] = {}
    rows = []
    for number, (request, home) in enumerate(zip(requests, homes, strict=True), first):
        if isinstance(request, Problem):
            rows.append(Row(number, None, request))
        elif home is not None and (day := _day(champion, request, days)) is not None:
            rows.append(Row(number, Question(identity(champion, home, day), home, day)))
        else:
            question, errors = read_question(champion, request)
            rows.append(Row(number, question, problem_of(errors) if errors else None, errors))
    return rows


def _day(champion: Champion, request: Mapping[str, Any], known: dict[Any, date | None]) -> date | None:
    """The day that a request is about; None where something is wrong with that, or with its keys."""
    asked = request.get("as_of")
    if request.keys() - {"home", "as_of"} or not isinstance(asked, str | None):
        return None
    if asked not in known:
        day, faults = day_of(champion.valuer, request)
        known[asked] = None if faults else day
    return known[asked]


def _read(line: bytes) -> Mapping[str, Any] | Problem:
    try:
        return read_object(line)
    except Problem as problem:
        return problem


def too_many(count: int, most: int, advice: str) -> Problem:
    detail = f"{count} homes in one request; at most {most} are valued at once; {advice}"
    return Problem(413, "too-many-homes", detail)


def slices(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    return (rows[start : start + SLICE] for start in range(0, len(rows), SLICE))


def tell_slice(champion: Champion, rows: Sequence[Row], notes: Notes, parts: Parts) -> list[dict[str, Any]]:
    """An answer or `{"row": …, "error": …}` for each row, in order."""
    told = appraisals(champion, rows, notes, parts)
    return [
        answer(champion, row.question.id, row.question.as_of, told[row.number], parts)
        if row.question is not None
        else {"row": row.number, "error": row.problem.to_dict() if row.problem else None}
        for row in rows
    ]


def appraisals(champion: Champion, rows: Iterable[Row], notes: Notes, parts: Parts) -> dict[int, Appraisal]:
    """By their number, those of the rows that can be valued, each day's homes at once."""
    told: dict[int, Appraisal] = {}
    by_day: dict[date, list[tuple[int, Question]]] = {}
    for row in rows:
        if row.question is not None:
            by_day.setdefault(row.question.as_of, []).append((row.number, row.question))
    for day, asked in by_day.items():
        homes = [question.home for _, question in asked]
        found = appraise(champion.valuer, homes, day, parts.comparables, parts.reasons, "warnings" in parts)
        for (number, question), appraisal in zip(asked, found, strict=True):
            told[number] = appraisal
            notes.valued.append(Valued.of(question.id, question.home, day, appraisal, number))
    return told


def value_many(champion: Champion, body: bytes, notes: Notes | None = None, parts: Parts = DEFAULT) -> dict[str, Any]:
    """The answer to a JSON object of homes, as a caller reads it; raises as `rows_of_json` does."""
    notes = notes or Notes()
    told = together(tell_slice(champion, some, notes, parts) for some in slices(rows_of_json(champion, body)))
    return as_read(told)


def together(told: Iterable[list[dict[str, Any]]]) -> dict[str, Any]:
    """The slices in one answer, with how many of the homes were refused."""
    values = [value for some in told for value in some]
    return {"values": values, "refused": sum("error" in value for value in values)}
