"""How much work goes on at once in one worker. What is beyond waits a little, and what is beyond that is refused."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict, deque

from serving.problems import Problem, retry_after

#: Of the last turn in the pace of late.
PACE_WEIGHT = 0.1
#: For which a caller counts among those who ask.
OF_LATE_SECONDS = 1.0
Turn = asyncio.Future[None]


class Slots:
    """Slots for work, given to callers in turn, so that one who asks much delays only himself.

    Whoever asks for more than is answered while others ask too gets one slot at a time, and then none for as long as
    he had it: half of the time is theirs. How many may wait depends on how fast it goes: a refusal costs about as much
    as a quick answer.

    Args:
        running: slots that there are.
        waiting: requests that may wait for one, however fast it goes.
        patience: seconds that a request may have to wait, by the pace of late. When one more would have to wait
            longer, the caller with the most waiting loses his last. After twice as long whoever waits is refused.
    """

    def __init__(self, running: int, waiting: int, patience: float) -> None:
        self.running = running
        self._used: Counter[str] = Counter()
        self._asked: OrderedDict[str, float] = OrderedDict()  # when each caller of late asked last
        self._since: dict[str, float] = {}  # when each caller who has a slot got his latest
        self._resting: set[str] = set()
        self._most_waiting = waiting
        self._patience = patience
        self._queues: OrderedDict[str, deque[Turn]] = OrderedDict()
        self._waiting = 0
        self._pace = 0.0  # seconds from one turn to the next, of late
        self._last_turn = 0.0

    @property
    def used(self) -> int:
        return self._used.total()

    @property
    def waiting(self) -> int:
        return self._waiting

    async def take(self, caller: str) -> None:
        """Returns with a slot, to be given back.

        Raises:
            Problem: 503 with Retry-After, when too many wait or the wait is too long.
        """
        self._note(caller)
        if self.used < self.running and caller not in self._queues:
            self._hand_to(caller)
            # Whoever came at the same moment shall find the slot taken, and queue or be refused, before work
            # that never awaits anything holds up the event loop.
            try:
                await asyncio.sleep(0)
            except BaseException:
                self.give_back(caller)
                raise
            return
        if self._is_full():
            self._refuse_last_of_longest(caller)
        await self._wait(caller)

    def give_back(self, caller: str) -> None:
        """Gives on what the caller had taken."""
        if self._queues:
            self._note_pace()
        if self._is_greedy(caller) and caller not in self._resting:
            self._resting.add(caller)
            seconds = time.monotonic() - self._since[caller]
            asyncio.get_running_loop().call_later(seconds, self._has_rested, caller)
        self._used[caller] -= 1
        if not self._used[caller]:
            del self._used[caller], self._since[caller]
        self._hand_on()

    def _has_rested(self, caller: str) -> None:
        self._resting.discard(caller)
        self._hand_on()

    def _hand_on(self) -> None:
        while self.used < self.running and (caller := self._following()) is not None:
            turn = self._queues[caller][0]
            self._queues.move_to_end(caller)  # behind all others
            self._forget(caller, turn)
            if not turn.done():
                self._hand_to(caller)
                turn.set_result(None)

    def _hand_to(self, caller: str) -> None:
        self._used[caller] += 1
        self._since[caller] = time.monotonic()

    def _following(self) -> str | None:
        """Whose turn it is, if anybody's who may have a slot more."""
        for caller in self._queues:
            if not self._is_greedy(caller) or not (self._used[caller] or caller in self._resting):
                return caller
        return None

    def _is_greedy(self, caller: str) -> bool:
        return len(self._asked) > 1 and len(self._queues.get(caller, ())) > self.running

    def _note(self, caller: str) -> None:
        now = time.monotonic()
        self._asked[caller] = now
        self._asked.move_to_end(caller)
        while now - self._asked[oldest := next(iter(self._asked))] > OF_LATE_SECONDS:
            del self._asked[oldest]

    def _is_full(self) -> bool:
        if self._waiting >= self._most_waiting:
            return True
        return self._waiting >= self.running and (self._waiting + 1) * self._pace > self._patience

    def _note_pace(self) -> None:
        now = time.monotonic()
        self._pace += PACE_WEIGHT * (now - self._last_turn - self._pace)
        self._last_turn = now

    async def _wait(self, caller: str) -> None:
        loop = asyncio.get_running_loop()
        if not self._queues:
            self._last_turn = time.monotonic()
        turn: Turn = loop.create_future()
        self._queues.setdefault(caller, deque()).append(turn)
        self._waiting += 1
        timer = loop.call_later(2 * self._patience, self._lose_patience, caller, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.give_back(caller)
            else:
                self._forget(caller, turn)
            raise
        finally:
            timer.cancel()

    def _lose_patience(self, caller: str, turn: Turn) -> None:
        if not turn.done():
            self._forget(caller, turn)
            turn.set_exception(_busy())

    def _refuse_last_of_longest(self, caller: str) -> None:
        longest = max(self._queues, key=lambda c: len(self._queues[c]), default=caller)
        if len(self._queues.get(longest, ())) <= len(self._queues.get(caller, ())) + 1:
            raise _busy()
        turn = self._queues[longest][-1]
        self._forget(longest, turn)
        if not turn.done():
            turn.set_exception(_busy())

    def _forget(self, caller: str, turn: Turn) -> None:
        queue = self._queues.get(caller)
        if queue is None or turn not in queue:
            return
        queue.remove(turn)
        self._waiting -= 1
        if not queue:
            del self._queues[caller]


def _busy() -> Problem:
    return Problem(503, "busy", "all slots are taken; send the request again later", headers=retry_after(1))
