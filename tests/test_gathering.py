"""Questions that come at the same moment are valued together, and nobody can tell from his answer."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from models import appraisal
from models.valuer import Valuer
from serving.api import create_app
from serving.champion import Champion
from serving.deadline import Deadline
from serving.edge import Edge
from serving.gathering import MOST, Gathering
from serving.parts import ALL, Parts
from serving.problems import Problem
from serving.replies import to_json
from serving.valuing import question_of, value_one
from tests.served import HOME, later_sales
from tests.test_protocol import listening

CARD = {"name": "valuation-harbour", "version": "7", "digest": "a" * 64, "run": None, "data": "d", "commit": "c"}
VALUE = Parts(("value",))
#: A home that the model of these tests fails on.
CURSED = HOME | {"rooms": 7, "plot": 13.0}


def body(number: int) -> bytes:
    return json.dumps({"home": HOME | {"living_area": 40 + 11 * number}}).encode()


@dataclass
class Valuing:
    """Stands for `appraise`: counts homes call by call, fails on the cursed one, and can be made to wait."""

    homes: list[int] = field(default_factory=list)
    begun: Event = field(default_factory=Event)
    go_on: Event = field(default_factory=Event)

    def __call__(self, valuer: Valuer, homes: Sequence[Any], *how: Any) -> list[appraisal.Appraisal]:
        self.homes.append(len(homes))
        self.begun.set()
        assert self.go_on.wait(20)
        if any(home["plot"] == CURSED["plot"] for home in homes):
            raise ArithmeticError("this home can't be valued")
        return appraisal.appraise(valuer, homes, *how)


@pytest.fixture(scope="module")
def champion(valuer: Valuer) -> Champion:
    return Champion(valuer, CARD, "e" * 64)


@pytest.fixture
def valuing(monkeypatch: pytest.MonkeyPatch) -> Valuing:
    valuing = Valuing()
    monkeypatch.setattr("serving.gathering.appraise", valuing)
    return valuing


@pytest.fixture
def connect(champion: Champion) -> Iterator[Callable[[], http.client.HTTPConnection]]:
    """Opens connections, known to the server, to one worker that serves the champion."""
    holder: Any = SimpleNamespace(champion=champion)
    with listening(Edge(create_app(holder), create_app(holder))) as (_, port), ExitStack() as stack:

        def opened() -> http.client.HTTPConnection:
            caller = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            stack.callback(caller.close)
            caller.request("GET", "/livez")
            caller.getresponse().read()
            return caller

        yield opened


def ask(caller: http.client.HTTPConnection, body: bytes) -> None:
    caller.request("POST", "/value", body, {"content-type": "application/json"})


def told(caller: http.client.HTTPConnection) -> tuple[int, bytes]:
    answer = caller.getresponse()
    return answer.status, answer.read()


def at_once(valuing: Valuing, connect: Any, bodies: Sequence[bytes]) -> list[tuple[int, bytes]]:
    """Asked while the worker is busy with another question, so that all of them wait when it looks up."""
    first, *callers = [connect() for _ in range(1 + len(bodies))]
    ask(first, body(50))
    assert valuing.begun.wait(20)
    for caller, asked in zip(callers, bodies, strict=True):
        ask(caller, asked)
    valuing.go_on.set()
    assert told(first)[0] == 200
    return [told(caller) for caller in callers]


def test_questions_that_wait_at_the_same_time_are_valued_together_with_the_bytes_they_have_alone(
    champion, valuing, connect
):
    bodies = [body(number) for number in range(MOST)]
    assert at_once(valuing, connect, bodies) == [(200, to_json(value_one(champion, asked))) for asked in bodies]
    assert valuing.homes == [1, MOST]


def test_more_than_may_meet_meet_one_after_another(champion, valuing, connect):
    bodies = [body(number) for number in range(2 * MOST)]
    assert at_once(valuing, connect, bodies) == [(200, to_json(value_one(champion, asked))) for asked in bodies]
    assert sum(valuing.homes) == 1 + 2 * MOST
    assert max(valuing.homes) <= MOST


def test_a_question_of_many_is_valued_once(champion, valuing, connect):
    answers = at_once(valuing, connect, [body(1), body(2), body(1), body(1)])
    assert answers == [(200, to_json(value_one(champion, body(number)))) for number in (1, 2, 1, 1)]
    assert valuing.homes == [1, 2]


def test_a_home_that_fails_spoils_no_other(champion, valuing, connect):
    bodies = [body(1), json.dumps({"home": CURSED}).encode(), body(2), body(3)]
    answers = at_once(valuing, connect, bodies)
    assert [status for status, _ in answers] == [200, 500, 200, 200]
    assert json.loads(answers.pop(1)[1])["type"] == "urn:assay:problem:internal-error"
    assert [told for _, told in answers] == [to_json(value_one(champion, body(number))) for number in (1, 2, 3)]


def test_a_request_that_is_refused_keeps_nobody_waiting(champion, valuing, connect):
    bodies = [b"{", body(1), b'{"home": {}}']
    answers = at_once(valuing, connect, bodies)
    assert [status for status, _ in answers] == [400, 200, 422]
    assert answers[1][1] == to_json(value_one(champion, body(1)))


def asked_at_once(*asked: tuple[Champion, bytes, Parts, Deadline]) -> list[Any]:
    """Appraisals, or what was raised."""

    async def scenario() -> list[Any]:
        gathering = Gathering()
        asking = [
            gathering.appraisal(champion, question_of(champion, body), parts, deadline)
            for champion, body, parts, deadline in asked
        ]
        return await asyncio.gather(*asking, return_exceptions=True)

    return asyncio.run(scenario())


def test_each_question_is_answered_by_the_champion_it_was_asked_of_and_in_its_parts(champion, valuing):
    valuing.go_on.set()
    later = Champion(champion.valuer.refreshed(later_sales()), CARD, "f" * 64)
    asked = [
        (serving, body(number), parts) for number in (1, 2) for serving in (champion, later) for parts in (ALL, VALUE)
    ]
    for (serving, one, parts), found in zip(asked, asked_at_once(*((*a, Deadline(60)) for a in asked)), strict=True):
        home, day = question_of(serving, one).home, serving.valuer.current_day
        assert found == appraisal.appraise(serving.valuer, [home], day, parts.comparables, parts.reasons)[0]
    assert valuing.homes == [2, 2, 2, 2]


def test_who_has_waited_too_long_or_hung_up_is_not_valued(champion, valuing):
    valuing.go_on.set()
    gone = Deadline(60)
    gone.abandon()
    late, found, away = asked_at_once(
        (champion, body(1), ALL, Deadline(0)), (champion, body(2), ALL, Deadline(60)), (champion, body(3), ALL, gone)
    )
    assert isinstance(late, Problem)
    assert isinstance(away, Problem)
    assert (late.status, away.status) == (504, 503)
    assert found.value > 0
    assert valuing.homes == [1]
