"""When a breaker lets a try through."""

from __future__ import annotations

from serving.breaker import FAILURES, PAUSE, Breaker, open_breakers

WHY = OSError("no")


def broken(now: list[float]) -> Breaker:
    breaker = Breaker("disk", lambda: now[0])
    for _ in range(FAILURES):
        assert breaker.allows()
        breaker.failed(WHY)
    return breaker


def test_it_opens_after_failures_in_a_row_alone():
    breaker = Breaker("disk")
    for _ in range(3):
        for _ in range(FAILURES - 1):
            breaker.failed(WHY)
        breaker.succeeded()
    assert breaker.allows()
    assert open_breakers() == []


def test_while_open_one_caller_in_a_pause_may_try():
    now = [100.0]
    breaker = broken(now)
    assert open_breakers() == ["disk"]
    assert not breaker.allows()
    now[0] += PAUSE
    assert [breaker.allows(), breaker.allows()] == [True, False]
    breaker.failed(WHY)
    now[0] += PAUSE / 2
    assert not breaker.allows()


def test_a_try_that_succeeds_closes_it():
    now = [100.0]
    breaker = broken(now)
    now[0] += PAUSE
    assert breaker.allows()
    breaker.succeeded()
    assert [breaker.allows(), breaker.allows()] == [True, True]
    assert open_breakers() == []
