"""Slots for work: bounded, given to callers in turn, and never lost."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from itertools import pairwise

import pytest

from serving.problems import Problem
from serving.slots import Slots


async def work(slots: Slots, caller: str, done: list[str], seconds: float = 0.0) -> str:
    """Takes a slot, works, gives it back; how it ended."""
    try:
        await slots.take(caller)
    except Problem as problem:
        return f"{problem.status}" if int(problem.headers["Retry-After"]) >= 1 else "no hint"
    try:
        await asyncio.sleep(seconds)
        done.append(caller)
        return "done"
    finally:
        slots.give_back(caller)


def run(slots: Slots, callers: str, seconds: float = 0.0) -> tuple[Counter[str], list[str]]:
    done: list[str] = []

    async def all_at_once() -> list[str]:
        return await asyncio.gather(*(work(slots, caller, done, seconds) for caller in callers))

    return Counter(asyncio.run(all_at_once())), done


def test_what_comes_at_the_same_moment_runs_waits_or_is_refused():
    assert run(Slots(2, waiting=3, patience=5), "a" * 9)[0] == {"done": 5, "503": 4}


def test_all_slots_are_free_again_afterwards():
    slots = Slots(2, waiting=3, patience=5)
    for _ in range(3):
        assert run(slots, "a" * 9)[0]["done"] == 5


def test_callers_take_turns():
    _, done = run(Slots(1, waiting=20, patience=5), "aabbc", 0.001)
    assert done == ["a", "a", "b", "c", "b"]


def test_who_asks_much_comes_after_all_others():
    _, done = run(Slots(1, waiting=20, patience=5), "aaaaaaabc", 0.001)
    assert done[:3] == ["a", "b", "c"]


def test_one_who_asks_much_loses_his_place_to_one_who_asks_little():
    outcome, done = run(Slots(1, waiting=4, patience=5), "aaaaaaaabb", 0.001)
    assert outcome == {"done": 5, "503": 5}
    assert Counter(done) == {"a": 3, "b": 2}


def most_at_once(slots: Slots, others: list[str]) -> int:
    """Slots that "a", who asks for far more than there is, has at once after the others have asked."""
    begun: list[int] = []
    now = 0

    async def one(caller: str) -> None:
        nonlocal now
        await slots.take(caller)
        now += caller == "a"
        begun.append(now)
        await asyncio.sleep(0.002)
        now -= caller == "a"
        slots.give_back(caller)

    async def scenario() -> int:
        greedy = [asyncio.create_task(one("a")) for _ in range(60)]
        await asyncio.sleep(0.001)
        await asyncio.gather(*(one(caller) for caller in others))
        begun.clear()
        await asyncio.sleep(0.02)
        most = max(begun)
        await asyncio.gather(*greedy)
        return most

    return asyncio.run(scenario())


def test_who_asks_for_more_than_there_is_gets_one_slot_at_a_time_while_others_ask():
    assert most_at_once(Slots(4, waiting=99, patience=5), []) == 4
    assert most_at_once(Slots(4, waiting=99, patience=5), ["b"]) == 1


def test_half_of_the_time_is_for_others():
    """However much one asks for: between two of his turns there is as much time as a turn takes."""
    turns: list[tuple[float, float]] = []

    async def one(slots: Slots, caller: str) -> None:
        await slots.take(caller)
        begin = time.monotonic()
        await asyncio.sleep(0.02)
        if caller == "a":
            turns.append((begin, time.monotonic()))
        slots.give_back(caller)

    async def scenario() -> None:
        slots = Slots(2, waiting=99, patience=5)
        await asyncio.gather(*(one(slots, caller) for caller in "aaaaaaaab"))
        assert slots.used == slots.waiting == 0

    asyncio.run(scenario())
    assert sum(later - ended > 0.015 for (_, ended), (later, _) in pairwise(turns)) >= 3


def test_nobody_waits_much_longer_than_patience():
    assert run(Slots(1, waiting=4, patience=0.05), "aaa", 0.4)[0] == {"done": 1, "503": 2}


def test_as_many_wait_as_the_pace_of_late_allows():
    slots = Slots(1, waiting=500, patience=0.5)
    run(slots, "a" * 40, 0.02)  # so it learns the pace
    slow = run(slots, "a" * 100, 0.02)[0]
    assert slow["503"] > 60
    run(slots, "a" * 20, 0.0)
    run(slots, "a" * 20, 0.0)
    run(slots, "a" * 20, 0.0)
    assert run(slots, "a" * 100, 0.0)[0] == {"done": 100}


@pytest.mark.parametrize("cancelled_after", [0.0, 0.01, 0.05])
def test_a_caller_who_is_cancelled_keeps_nothing(cancelled_after: float):
    async def scenario() -> None:
        slots = Slots(1, waiting=4, patience=5)
        done: list[str] = []
        tasks = [asyncio.create_task(work(slots, caller, done, 0.03)) for caller in "abc"]
        await asyncio.sleep(cancelled_after)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await asyncio.gather(*(work(slots, "d", done) for _ in range(5))) == ["done"] * 5

    asyncio.run(scenario())
