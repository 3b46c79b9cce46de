"""What is promised of the endpoint, as ratios within one run; a promise of another machine would be worth nothing."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.bench.measuring import Figures
from tests.bench.servers import OURS

Rounds = Sequence[float]


@dataclass(frozen=True)
class Target:
    """A promise. `ratio` gives one number a round; their median is judged.

    Attributes:
        bound: the least ratio where `more` is better, else the most; None where nothing is promised.
        goal: what is hoped for.
    """

    key: str
    says: str
    ratio: Callable[[Figures], Rounds]
    bound: float | None
    more: bool
    goal: float | None = None
    unit: str = "×"

    def judge(self, figures: Figures) -> Judged:
        rounds = list(self.ratio(figures))
        told = statistics.median(rounds)
        met, hoped = self._met(told, self.bound), self._met(told, self.goal)
        return Judged(self, told, min(rounds), max(rounds), met, hoped)

    def _met(self, told: float, bound: float | None) -> bool | None:
        if bound is None:
            return None
        return told >= bound if self.more else told <= bound


@dataclass(frozen=True)
class Judged:
    """A target with its ratio: median, least and most of the rounds; and whether bound and goal are met, None where
    there is none."""

    target: Target
    ratio: float
    least: float
    most: float
    passed: bool | None
    at_goal: bool | None


def rates(case: str, other: str, connections: int) -> Callable[[Figures], Rounds]:
    """Throughput of a case over another's."""
    return lambda figures: _over(figures.of(case, connections, "rate"), figures.of(other, connections, "rate"))


def latencies(case: str, other: str, connections: int = 1) -> Callable[[Figures], Rounds]:
    """Median latency of a case over another's."""
    return lambda figures: _over(figures.of(case, connections, "p50"), figures.of(other, connections, "p50"))


def tail(case: str, connections: int) -> Callable[[Figures], Rounds]:
    """p99 of a case over its p50."""
    return lambda figures: _over(figures.of(case, connections, "p99"), figures.of(case, connections, "p50"))


def _over(these: Rounds, those: Rounds) -> list[float]:
    return [a / b for a, b in zip(these, those, strict=True)]


def _reasons(figures: Figures) -> Rounds:
    return _over(figures.inside["reasons"]["booster"], figures.inside["reasons"]["bag"])


def _batch(figures: Figures) -> Rounds:
    return [figures.inside["batch"]["ours"] / figures.inside["batch"]["booster"]]


TARGETS = (
    Target(
        "full_rate_mlflow",
        "full answer, 16 connections: throughput over `mlflow models serve`",
        rates("full", "mlflow", 16),
        3,
        more=True,
    ),
    Target(
        "full_p50_bento_echo",
        "full answer, 1 connection: p50 over a bare BentoML echo",
        latencies("full", "bento_echo"),
        4,
        more=False,
    ),
    Target(
        "full_p50_echo",
        "full answer, 1 connection: p50 over a bare ASGI echo",
        latencies("full", "echo"),
        None,
        more=False,
        goal=15,
    ),
    Target("full_tail_1", "full answer, 1 connection: p99 over p50", tail("full", 1), 3, more=False),
    Target("full_tail_16", "full answer, 16 connections: p99 over p50", tail("full", 16), 3, more=False),
    Target(
        "repeated_p50_echo",
        "repeated question, 1 connection: p50 over a bare ASGI echo",
        latencies("repeated", "echo"),
        1.5,
        more=False,
    ),
    Target(
        "brief_rate_plain",
        "value and range, 16 connections: throughput over a plain BentoML service",
        rates("brief", "bento_plain", 16),
        2.5,
        more=True,
    ),
    Target("reasons", "reasons of one home: speed over LightGBM's contributions", _reasons, 10, more=True, goal=15),
    Target("batch", "batch with features and ranges: homes a second over bare `Booster.predict`", _batch, 1, more=True),
    Target(
        "start",
        "spawn to first answer, seconds",
        lambda figures: figures.starts[OURS],
        3,
        more=False,
        goal=1,
        unit="s",
    ),
)
