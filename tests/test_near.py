"""The nearest sales: by the kernel what scipy finds, and levels with the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.kernel.build import NoKernel
from models.near import CLOSEST, Asked, Sold

FAR = 1e6
fadings = st.sampled_from([0.25, 0.4, 2.5])
asked_of = st.lists(st.tuples(st.integers(1, 250), fadings), min_size=1, max_size=8).map(tuple)
counts, dimensions, seeds = st.integers(1, 200), st.integers(1, 12), st.integers(0, 10_000)


@contextmanager
def no_kernel() -> Iterator[None]:
    def refuse(*_: object) -> None:
        raise NoKernel("none here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.near.Nearest", refuse)
        yield


def two_ways(points: np.ndarray, asked: Asked = ((5, 2.5),)) -> tuple[Sold, Sold]:
    """By the kernel and by scipy."""
    rng = np.random.default_rng(len(points))
    known = rng.normal(size=len(points)), np.sort(rng.uniform(0, 9, len(points)))[::-1]
    ours = Sold(points, *known, asked)
    with no_kernel():
        theirs = Sold(points, *known, asked)
    assert ours.boxes is not None
    assert theirs.boxes is None
    return ours, theirs


def spots(seed: int, count: int, wide: int, crowd: int = 1) -> np.ndarray:
    """Points of which up to `crowd` lie at the same spot."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(-(-count // crowd), wide))[rng.permutation(np.arange(count) // crowd)]


def homes_beside(points: np.ndarray) -> np.ndarray:
    """Some among the points, some on them, some far from all."""
    rng = np.random.default_rng(len(points))
    among, far = rng.normal(size=(9, points.shape[1])), rng.normal(size=(3, points.shape[1]))
    on = points[np.isfinite(points).all(axis=1)][:9]
    return np.vstack([among, on, FAR * far / np.abs(far).max(axis=1, keepdims=True)])


def told_apart(distance: np.ndarray) -> np.ndarray:
    """Which of the ascending distances are no other's."""
    apart = np.diff(distance, axis=1, prepend=-1, append=np.inf) > 0
    return apart[:, 1:] & apart[:, :-1]


def same_nearest(ours: Sold, theirs: Sold, homes: np.ndarray, k: int) -> np.ndarray:
    """The share of points whose distance is no other's: their positions are compared too."""
    distance, position = ours.nearest(homes, k)
    expected, at = theirs.nearest(homes, k + 1)
    most = min(k, ours.tree.n)
    assert distance.shape == position.shape == (len(homes), most)
    np.testing.assert_array_equal(distance, expected[:, :most])
    clear = told_apart(expected)[:, :most]
    np.testing.assert_array_equal(position[clear], at[:, :most][clear])
    assert all(len(set(row)) == most for row in position.tolist())
    return clear.mean()


def same_levels(ours: Sold, theirs: Sold, homes: np.ndarray) -> None:
    for told, expected in zip(ours.levels(homes), theirs.levels(homes), strict=True):
        np.testing.assert_array_equal(told, expected)


@settings(max_examples=200, deadline=None)
@given(seed=seeds, count=counts, wide=dimensions, k=st.integers(1, 250), asked=asked_of)
def test_they_and_their_levels_have_scipy_s_bits(seed, count, wide, k, asked):
    points = spots(seed, count, wide)
    ours, theirs = two_ways(points, asked)
    assert same_nearest(ours, theirs, homes_beside(points), k) == 1
    same_levels(ours, theirs, homes_beside(points))


@settings(max_examples=100, deadline=None)
@given(seed=seeds, count=counts, wide=dimensions, k=st.integers(1, 250), lost=st.floats(0, 1))
def test_so_they_do_where_points_have_no_place(seed, count, wide, k, lost):
    points, rng = spots(seed, count, wide), np.random.default_rng(seed)
    points[np.ix_(rng.random(count) < lost, rng.random(wide) < 0.5)] = np.nan
    ours, theirs = two_ways(points)
    same_nearest(ours, theirs, homes_beside(points), k)
    placed = np.flatnonzero(np.isfinite(points).all(axis=1))
    found = ours.nearest(homes_beside(points), max(len(placed), 1))[1]
    assert not len(placed) or {*found.ravel().tolist()} == {*placed.tolist()}


def test_levels_too_where_one_has_no_place():
    points = spots(0, 90, 3)
    points[40, 1] = np.nan
    same_levels(*two_ways(points, ((5, 2.5), (89, 0.4), (150, 2.5))), homes_beside(points))


@settings(max_examples=100, deadline=None)
@given(seed=seeds, count=counts, wide=dimensions, k=st.integers(1, 250), crowd=st.integers(2, 200))
def test_so_they_do_where_many_lie_at_the_same_spot(seed, count, wide, k, crowd):
    points = spots(seed, count, wide, crowd)
    same_nearest(*two_ways(points), homes_beside(points), k)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 0.0])
def test_so_they_do_among_thousands(scale: float):
    """More boxes than are looked into, and at last none that is farther than another."""
    points = scale * spots(1, 5000, 2)
    ours, theirs = two_ways(points, ((5, 2.5), (150, 0.4)))
    for k in (1, 30, 150, 1500):
        same_nearest(ours, theirs, homes_beside(points), k)


@pytest.mark.parametrize("far", [1e120, 1e200, -1e308])
def test_beyond_all_squares_there_are_nearest_ones_too(far: float):
    points = spots(6, 90, 3)
    points[7, 1] = far
    homes = np.array([[far, 0.0, 0.0], [0.0, far, 0.0], [0.0, 0.0, 0.0]])
    for sold in two_ways(points, ((89, 2.5),)):
        distance, position = sold.nearest(homes, 90)
        assert [sorted(row) for row in position.tolist()] == [[*range(90)]] * 3
        assert position[1, 0] == position[2, -1] == 7
        assert np.isfinite(distance).all()
        assert np.isfinite(sold.levels(homes)[0]).all()


@settings(max_examples=30, deadline=None)
@given(seed=seeds, count=counts, wide=dimensions, crowd=st.integers(1, 40))
def test_of_those_at_the_home_s_own_spot_the_newer_is_nearer(seed, count, wide, crowd):
    points = spots(seed, count, wide, crowd)
    for sold in two_ways(points):
        for spot in np.unique(points, axis=0):
            there = np.flatnonzero((points == spot).all(axis=1))
            assert sold.nearest(spot[None], len(there))[1][0].tolist() == there[::-1].tolist()


@settings(max_examples=30, deadline=None)
@given(seed=seeds, count=counts, wide=dimensions, asked=asked_of)
def test_a_home_alone_is_told_what_it_is_told_among_others(seed, count, wide, asked):
    homes = homes_beside(spots(seed, count, wide))
    for sold in two_ways(spots(seed, count, wide), asked):
        together = *sold.levels(homes), *sold.nearest(homes, 30)
        alone = [(*sold.levels(home[None]), *sold.nearest(home[None], 30)) for home in homes]
        for told, each in zip(together, zip(*alone, strict=True), strict=True):
            np.testing.assert_array_equal(told, np.vstack(each))


@pytest.mark.parametrize("count", [3, 80])
def test_a_level_is_a_mean_in_which_the_nearer_and_the_newer_count_more(count: int):
    points, years = spots(2, count, 2), np.linspace(8, 0, count)
    residual, homes = np.random.default_rng(3).normal(size=count), homes_beside(points)
    asked = ((1, 2.5), (5, 0.4), (40, 2.5))
    told, far = Sold(points, residual, years, asked).levels(homes)
    away = np.linalg.norm(homes[:, None] - points, axis=2)
    np.testing.assert_allclose(far, np.sort(away, axis=1)[:, :40], atol=1e-6)
    for level, (most, fading) in zip(told.T, asked, strict=True):
        nearest = np.argsort(away, axis=1)[:, :most]
        weight = np.exp(-years / fading)[nearest] / (np.take_along_axis(away, nearest, axis=1) + CLOSEST)
        np.testing.assert_allclose(level, (weight * residual[nearest]).sum(axis=1) / weight.sum(axis=1), atol=1e-6)


def test_many_threads_may_ask_at_once():
    points = spots(4, 3000, 3)
    ours, _ = two_ways(points, ((5, 2.5), (150, 0.4)))
    homes = [home[None] for home in homes_beside(points)]
    expected = [(*ours.levels(home), *ours.nearest(home, 30)) for home in homes]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda home: (*ours.levels(home), *ours.nearest(home, 30)), homes * 20))
    for told, right in zip(answers, expected * 20, strict=True):
        for one, other in zip(told, right, strict=True):
            np.testing.assert_array_equal(one, other)
