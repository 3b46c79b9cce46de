"""How much work goes on at once in one worker. What is beyond waits a little, and what is beyond that is refused."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque

from serving.problems import Problem, retry_after

#: Of the last turn in the pace of late.
PACE_WEIGHT = 0.1
Turn = asyncio.Future[None]


class Slots:
    """Slots for work, given to callers in turn, so that one who asks much delays only himself.

    How many may wait depends on how fast it goes: a refusal costs about as much as a quick answer.

    Args:
        running: slots that there are.
        waiting: requests that may wait for one, however fast it goes.
        patience: seconds that a request may have to wait, by the pace of late. When one more would have to wait
            longer, the caller with the most waiting loses his last. After twice as long whoever waits is refused.
    """

    def __init__(self, running: int, waiting: int, patience: float) -> None:
        self.running = running
        self._free = running
        self._most_waiting = waiting
        self._patience = patience
        self._queues: OrderedDict[str, deque[Turn]] = OrderedDict()
        self._waiting = 0
        self._pace = 0.0  # seconds from one turn to the next, of late
        self._last_turn = 0.0

    @property
    def used(self) -> int:
        return self.running - self._free

    @property
    def waiting(self) -> int:
        return self._waiting

    async def take(self, caller: str) -> None:
        """Returns with a slot, to be given back.

        Raises:
            Problem: 503 with Retry-After, when too many wait or the wait is too long.
        """
        if self._free > 0:
            self._free -= 1
            # Whoever came at the same moment shall find the slot taken, and queue or be refused, before work
            # that never awaits anything holds up the event loop.
            try:
                await asyncio.sleep(0)
            except BaseException:
                self.give_back()
                raise
            return
        if self._is_full():
            self._refuse_last_of_longest(caller)
        await self._wait(caller)

    def give_back(self) -> None:
        if self._queues:
            self._note_pace()
        while self._queues:
            caller, queue = self._queues.popitem(last=False)
            turn = queue.popleft()
            self._waiting -= 1
            if queue:
                self._queues[caller] = queue  # behind all others
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

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
                self.give_back()
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
