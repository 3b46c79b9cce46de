"""Questions that one worker has at the same moment, valued together: several homes cost little more than one.

While a worker values, requests wait in its sockets. When it looks up again it reads them all, and they meet here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from models.appraisal import Appraisal, appraise
from serving.champion import Champion
from serving.deadline import Deadline
from serving.parts import Parts
from serving.problems import Problem
from serving.valuing import Question

#: That meet at once. Eight take some ten milliseconds, in which a worker does nothing else; more would save little.
MOST = 8
#: Turns of the event loop, each of microseconds, that must bring nobody new. A request needs two from its socket to
#: here: in one it is read and takes its slot, in the next it is parsed.
QUIET_TURNS = 2


@dataclass(frozen=True)
class _Asked:
    champion: Champion
    question: Question
    parts: Parts
    deadline: Deadline
    told: asyncio.Future[Appraisal]

    @property
    def alike(self) -> tuple[int, int, bool]:
        """The same for questions that one call can answer."""
        return id(self.champion), self.parts.comparables, self.parts.reasons


class Gathering:
    """Of one worker's questions about the current day. How many meet is bounded by their lane's slots."""

    def __init__(self) -> None:
        self._asked: list[_Asked] = []

    async def appraisal(self, champion: Champion, question: Question, parts: Parts, deadline: Deadline) -> Appraisal:
        """What `valuing.appraisal_of` tells, for a question about the champion's current day."""
        loop = asyncio.get_running_loop()
        asked = _Asked(champion, question, parts, deadline, loop.create_future())
        self._asked.append(asked)
        if len(self._asked) == 1:
            loop.call_soon(self._look, 1, QUIET_TURNS)
        return await asked.told

    def _look(self, before: int, turns: int) -> None:
        """Values when so many turns have brought nobody beside those `before`."""
        here = len(self._asked)
        turns = turns - 1 if here == before else QUIET_TURNS
        if turns > 0 and here < MOST:
            asyncio.get_running_loop().call_soon(self._look, here, turns)
            return
        asked, self._asked = self._asked, []
        groups: dict[tuple[int, int, bool], list[_Asked]] = {}
        for one in asked:
            groups.setdefault(one.alike, []).append(one)
        for group in groups.values():
            _value(group)


def _value(group: Iterable[_Asked]) -> None:
    """Questions that are alike: each home once, whoever asks. Where they fail together, each is tried alone."""
    waiting = [asked for asked in group if _waits(asked)]
    by_id = {asked.question.id: asked for asked in waiting}
    try:
        told = dict(zip(by_id, _appraise(list(by_id.values())), strict=True))
    except Exception as error:
        for asked in waiting:
            if len(by_id) > 1:
                _value([asked])
            else:
                asked.told.set_exception(error)
        return
    for asked in waiting:
        asked.told.set_result(told[asked.question.id])


def _waits(asked: _Asked) -> bool:
    """Whether somebody still does; who has waited too long is told so."""
    if asked.told.done():
        return False
    try:
        asked.deadline.check()
    except Problem as problem:
        asked.told.set_exception(problem)
        return False
    return True


def _appraise(asked: list[_Asked]) -> list[Appraisal]:
    if not asked:
        return []
    champion, parts = asked[0].champion, asked[0].parts
    homes = [one.question.home for one in asked]
    return appraise(champion.valuer, homes, champion.valuer.current_day, parts.comparables, parts.reasons)
