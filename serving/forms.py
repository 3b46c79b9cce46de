"""Answers as the bytes of their form: JSON in one piece, lines of JSON, an Arrow stream; each made piece by piece.

A function here reads the homes at once, so that a request can be refused whole, and values them as it is stepped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from serving import arrow_answer, batch
from serving.arrow_answer import ArrowAnswer
from serving.arrow_stream import rows_of_arrow
from serving.batch import appraisals, rows_of_json, rows_of_lines, slices, tell_slice, together
from serving.champion import Champion
from serving.notes import Notes
from serving.parts import ALL, Parts
from serving.problems import Problem
from serving.replies import ARROW, JSON, LINES, to_json
from serving.valuing import Question, tell_first, tell_rest

Form = Callable[[Champion, bytes, Notes, Parts], Iterator[bytes]]


def in_json(champion: Champion, body: bytes, notes: Notes, parts: Parts) -> Iterator[bytes]:
    """All in the last piece; those before it are empty."""
    rows = rows_of_json(champion, body)
    notes.lap("parse")

    def pieces() -> Iterator[bytes]:
        told = []
        for some in slices(rows):
            told.append(tell_slice(champion, some, notes, parts))
            yield b""
        notes.lap("appraise")
        yield to_json(together(told))
        notes.lap("encode")

    return pieces()


def in_lines(champion: Champion, body: bytes, notes: Notes, parts: Parts) -> Iterator[bytes]:
    rows = rows_of_lines(champion, body)
    return (b"".join(_line(told) for told in tell_slice(champion, some, notes, parts)) for some in rows)


def in_arrow(champion: Champion, body: bytes, notes: Notes, parts: Parts) -> Iterator[bytes]:
    rows = rows_of_arrow(champion, body)

    def pieces() -> Iterator[bytes]:
        answer = ArrowAnswer(champion, parts)
        for some in rows:
            yield answer.slice(some, appraisals(champion, some, notes, parts))
        yield answer.end()

    return pieces()


#: By content type: the form, what is told unless `fields` says otherwise, and what can be.
FORMS: Mapping[bytes, tuple[Form, Parts, Parts]] = {
    JSON: (in_json, batch.DEFAULT, ALL),
    LINES: (in_lines, batch.DEFAULT, ALL),
    ARROW: (in_arrow, arrow_answer.DEFAULT, arrow_answer.OFFERED),
}


def lines_of_one(champion: Champion, question: Question, notes: Notes, parts: Parts) -> Iterator[bytes]:
    """What is told at once; then the rest, in a line of its own with the same id."""
    yield _line(tell_first(champion, question, notes, parts))
    rest = tell_rest(champion, question, parts)
    if rest is not None:
        yield _line(rest)


def last_line(problem: Problem) -> bytes:
    """How lines end that can't be told all."""
    return _line({"error": problem.to_dict()})


def _line(told: dict[str, Any]) -> bytes:
    return to_json(told) + b"\n"
