"""Requests a minute, counted in memory that processes share."""

from __future__ import annotations

import tempfile
import time

import pytest

from serving.rates import BYTES, Rates


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_minutes_worth_passes_at_once_and_then_an_even_stream(clock: Clock):
    rates = Rates()
    assert [rates.of_key(0, 60).allowed for _ in range(61)] == [True] * 60 + [False]
    clock.now += 0.99
    refused = rates.of_key(0, 60)
    assert not refused.allowed
    clock.now += refused.seconds
    assert [rates.of_key(0, 60).allowed for _ in range(2)] == [True, False]
    clock.now += 60
    assert [rates.of_key(0, 60).allowed for _ in range(61)] == [True] * 60 + [False]


def test_what_is_left_is_told(clock: Clock):
    rates = Rates()
    assert [rates.of_key(0, 3).left for _ in range(4)] == [2, 1, 0, 0]
    clock.now += 20
    assert rates.of_key(0, 3).left == 0


def test_keys_and_addresses_are_counted_apart(clock: Clock):
    rates = Rates()
    assert rates.of_key(0, 1).allowed
    assert not rates.of_key(0, 1).allowed
    assert rates.of_key(1, 1).allowed
    assert rates.of_address("10.0.0.1", 1).allowed
    assert not rates.of_address("10.0.0.1", 1).allowed


def test_workers_share_what_they_count(clock: Clock):
    with tempfile.TemporaryFile() as shared:
        shared.truncate(BYTES)
        one, other = Rates(shared.fileno()), Rates(shared.fileno())
        told = [rates.of_key(0, 4).allowed for _ in range(3) for rates in (one, other)]
    assert told == [True] * 4 + [False] * 2
