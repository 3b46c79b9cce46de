"""From the bytes of a request to the body of its answer. Pure: the same request, model and memory, the same answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from models.appraisal import Appraisal, appraise
from serving.answer import answer, identity
from serving.champion import Champion
from serving.home import parse_home
from serving.json_body import read_object
from serving.notes import Notes, Valued
from serving.parts import ALL, SLOW, Parts
from serving.problems import FieldError
from serving.replies import as_read
from serving.request import day_of, faults_of_keys, refuse


@dataclass(frozen=True)
class Question:
    """A home to be valued on a day, and what the two are known by under this model and memory."""

    id: str
    home: Mapping[str, Any]
    as_of: date


def read_question(champion: Champion, request: Mapping[str, Any]) -> tuple[Question | None, list[FieldError]]:
    """The question of `{"home": {…}, "as_of": …}`, or every fault of it."""
    errors = faults_of_keys(request, ["home"], ["as_of"])
    as_of, faults_of_day = day_of(champion.valuer, request)
    home, faults = parse_home(champion.market, request["home"]) if "home" in request else ({}, [])
    if errors or faults_of_day or faults:
        return None, [*errors, *faults_of_day, *faults]
    return Question(identity(champion, home, as_of), home, as_of), []


def question_of(champion: Champion, body: bytes) -> Question:
    """The question in the body of a request.

    Raises:
        Problem: 400 for malformed JSON, 422 with every fault of the request.
    """
    question, errors = read_question(champion, read_object(body))
    if question is None:
        refuse(errors)
    assert question is not None
    return question


def value_one(champion: Champion, body: bytes, notes: Notes | None = None, parts: Parts = ALL) -> dict[str, Any]:
    """The answer to `{"home": {…}, "as_of": …}`, as a caller reads it; raises as `question_of` does."""
    question = question_of(champion, body)
    told = tell(champion, question, appraisal_of(champion, question, parts), notes or Notes(), parts)
    return as_read(told)


def tell(champion: Champion, question: Question, appraisal: Appraisal, notes: Notes, parts: Parts) -> dict[str, Any]:
    """The parts of the answer to one question."""
    notes.valued.append(Valued.of(question.id, question.home, question.as_of, appraisal))
    return answer(champion, question.id, question.as_of, appraisal, parts)


def tell_first(champion: Champion, question: Question, notes: Notes, parts: Parts) -> dict[str, Any]:
    """What is told at once, while the rest is worked out."""
    quick = parts - SLOW
    return tell(champion, question, appraisal_of(champion, question, quick), notes, quick)


def tell_rest(champion: Champion, question: Question, parts: Parts) -> dict[str, Any] | None:
    """What `tell_first` left out, and by which model; None where it left nothing out."""
    rest = parts & (*SLOW, "model")
    if rest == parts & ("model",):
        return None
    return answer(champion, question.id, question.as_of, appraisal_of(champion, question, rest), rest)


def appraisal_of(champion: Champion, question: Question, parts: Parts) -> Appraisal:
    """Only with what the parts need."""
    return appraise(champion.valuer, [question.home], question.as_of, parts.comparables, parts.reasons)[0]
