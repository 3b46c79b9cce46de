"""The kernel gives LightGBM's own answers: predictions and leaves to the bit, contributions to 1e-6."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.kernel import build
from models.kernel.build import NoKernel
from models.kernel.flat import MOST_NODES, flatten
from models.kernel.shape import Unflattened
from models.kernel.walk import Walk
from tests.served import ROOT

FEATURES, CATEGORY = 12, 3
FIXED = {"verbosity": -1, "num_threads": 1, "deterministic": True, "min_data_per_group": 1, "cat_smooth": 1.0}
ODD = [np.nan, 0.0, -0.0, 1e-36, -1e-36, np.inf, -np.inf, -0.5, 31.0, 31.9, 32.0, 1e9, -7.5]


def table(seed: int = 0, rows: int = 1200) -> tuple[np.ndarray, np.ndarray]:
    """Numbers with gaps and zeros, and a category that has gaps, unseen and negative values."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, FEATURES)).round(2)
    X[rng.random(X.shape) < 0.1] = np.nan
    X[rng.random(rows) < 0.2, 0] = 0.0
    X[:, CATEGORY] = rng.integers(0, 40, rows)
    X[rng.random(rows) < 0.1, CATEGORY] = np.nan
    signal = np.nan_to_num(X[:, 0]) * np.nan_to_num(X[:, 1]) + np.sin(np.nan_to_num(X[:, CATEGORY]))
    return X, signal + rng.normal(size=rows)


def forest(seed: int = 0, trees: int = 25, **searched: Any) -> lgb.Booster:
    X, y = table(seed)
    data = lgb.Dataset(X, y, categorical_feature=[CATEGORY])
    return lgb.train(FIXED | {"min_data_in_leaf": 2, "seed": seed} | searched, data, trees)


def walk(*boosters: lgb.Booster, aside: np.ndarray | None = None) -> Walk:
    flats = [flatten(one.model_to_string()) for one in boosters]
    return Walk(flats, np.zeros((len(flats), FEATURES)) if aside is None else aside)


def homes(seed: int = 1, rows: int = 200) -> np.ndarray:
    """Rows like those of the training, and rows of every odd value in every column."""
    rng = np.random.default_rng(seed)
    X = table(seed, rows)[0]
    odd = np.repeat(X[: len(ODD)], FEATURES, axis=0)
    for i, row in enumerate(odd):
        row[i % FEATURES] = ODD[i // FEATURES]
    return np.vstack([X, odd, rng.choice(ODD, (50, FEATURES))])


def explains(told: np.ndarray, theirs: np.ndarray) -> None:
    """As LightGBM does, to a millionth of the largest amount: of a log price to 1e-6 and far closer."""
    np.testing.assert_allclose(told, theirs, rtol=0, atol=1e-6 * max(1.0, float(np.abs(theirs).max())))


def same(booster: lgb.Booster) -> None:
    told, X = walk(booster), homes()
    np.testing.assert_array_equal(told.predict(X), booster.predict(X))
    np.testing.assert_array_equal(
        told.leaves(X, booster.num_trees()), np.atleast_2d(booster.predict(X, pred_leaf=True))
    )
    theirs = np.asarray(booster.predict(X, pred_contrib=True))
    explains(told.contributions(X), theirs)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    leaves=st.integers(2, 120),
    depth=st.sampled_from([-1, -1, 1, 3, 8]),
    zeros=st.booleans(),
    missing=st.booleans(),
    categories=st.sampled_from([1, 4, 40]),
)
def test_any_forest_is_walked_as_lightgbm_does(seed, leaves, depth, zeros, missing, categories):
    same(
        forest(
            seed,
            num_leaves=leaves,
            max_depth=depth,
            zero_as_missing=zeros,
            use_missing=missing,
            max_cat_threshold=categories,
        )
    )


@pytest.mark.parametrize("searched", [{"min_data_in_leaf": 5000}, {"num_leaves": 2}, {"num_leaves": 900}])
def test_so_are_single_leaves_stumps_and_deep_trees(searched: dict[str, Any]):
    same(forest(**searched))


def test_every_rule_of_quadrature_is_exact():
    """Chains of splits on ever other features: paths that need 4, 8 and 16 points."""
    rng = np.random.default_rng(4)
    for features in (6, 14, 30):
        X = rng.normal(size=(3000, features))
        y = np.cumprod(X > -0.7, axis=1).sum(axis=1) + rng.normal(0, 0.01, 3000)
        booster = lgb.train(FIXED | {"num_leaves": 64, "min_data_in_leaf": 1}, lgb.Dataset(X, y), 10)
        flat = flatten(booster.model_to_string())
        told = Walk([flat], np.zeros((1, features)))
        assert flat.arrays["points"].max() == {6: 4, 14: 8, 30: 16}[features]
        theirs = np.asarray(booster.predict(X[:100], pred_contrib=True))
        most = 1e-6 * theirs.sum(axis=1).max()  # thirty factors are rounded in single precision, each leaf at its size
        np.testing.assert_allclose(told.contributions(X[:100]), theirs, rtol=0, atol=most)


def test_contributions_and_base_add_up_to_the_prediction():
    told, X = walk(forest(num_leaves=60)), homes()
    np.testing.assert_allclose(told.contributions(X).sum(axis=1), told.predict(X), atol=1e-12)


def test_a_bag_is_the_mean_of_its_forests_each_asked_aside():
    boosters = [forest(seed, num_leaves=20 + 30 * seed) for seed in range(3)]
    aside = np.random.default_rng(2).normal(0, 0.1, (3, FEATURES))
    told, X = walk(*boosters, aside=aside), homes()
    theirs = sum(np.asarray(b.predict(X + a)) for b, a in zip(boosters, aside, strict=True)) / 3
    np.testing.assert_array_equal(told.predict(X), theirs)
    told_apart = [np.asarray(b.predict(X + a, pred_contrib=True)) for b, a in zip(boosters, aside, strict=True)]
    explains(told.contributions(X), np.mean(told_apart, axis=0))


@pytest.mark.parametrize("count", [1, 2, 3, 15, 16, 17, 31, 255, 256, 600])
def test_a_home_is_told_the_same_alone_and_in_any_batch(count: int):
    told, X = walk(forest(num_leaves=31), forest(1, num_leaves=100)), np.resize(homes(), (count, FEATURES))
    alone = np.concatenate([told.predict(X[[i]]) for i in range(count)])
    np.testing.assert_array_equal(told.predict(X), alone)
    alone = np.vstack([told.contributions(X[[i]]) for i in range(min(count, 20))])
    for several in (2, 3, 4, 5, 8, 9, 20):
        np.testing.assert_array_equal(told.contributions(X[:several]), alone[:several])


def test_many_threads_may_ask_at_once():
    told, X = walk(forest(num_leaves=31)), homes()
    expected = told.predict(X), told.contributions(X)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: (told.predict(X), told.contributions(X)), range(40)))
    for values, reasons in answers:
        np.testing.assert_array_equal(values, expected[0])
        np.testing.assert_array_equal(reasons, expected[1])


def test_what_it_does_not_walk_is_refused():
    X, y = table()
    several = lgb.train(FIXED | {"objective": "multiclass", "num_class": 3}, lgb.Dataset(X, y.round() % 3), 2)
    linear = lgb.train(FIXED | {"linear_tree": True}, lgb.Dataset(np.nan_to_num(X), y, params={"linear_tree": True}), 2)
    averaged = lgb.train(FIXED | {"boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1}, lgb.Dataset(X, y), 2)
    for booster, said in ((several, "several outputs"), (linear, "linear leaves"), (averaged, "average")):
        with pytest.raises(Unflattened, match=said):
            flatten(booster.model_to_string())
    many, target = table(rows=9000)
    wide = lgb.train(FIXED | {"num_leaves": 1200, "min_data_in_leaf": 1}, lgb.Dataset(many, target), 1)
    with pytest.raises(Unflattened, match=f"at most {MOST_NODES + 1}"):
        flatten(wide.model_to_string())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (("left_child=", "left_child=0 "), "can't be read"),
        (("max_feature_idx=11", "max_feature_idx=x"), "max_feature_idx"),
        (("Tree=0", "Baum=0"), "no trees"),
    ],
)
def test_a_circle_or_a_gap_in_the_text_is_refused(damage: tuple[str, str], said: str):
    with pytest.raises(Unflattened, match=said):
        flatten(forest().model_to_string().replace(*damage, 1))


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CC", "false")
    with pytest.raises(NoKernel, match="can't compile"):
        build.library()
    monkeypatch.delenv("CC")
    monkeypatch.setattr(build, "find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(NoKernel, match="install the package ziglang"):
        build.library()


def test_another_compiler_gives_the_same_bits(tmp_path: Path):
    """Nothing is fused and no sum reordered, so it is not the compiler, nor the width of its vectors, that decides."""
    told, X = walk(forest(num_leaves=31)), homes()
    np.savez(tmp_path / "asked.npz", X=X, predicted=told.predict(X), explained=told.contributions(X))
    (tmp_path / "forest.txt").write_text(forest(num_leaves=31).model_to_string())
    program = """
import sys, numpy as np
from models.kernel.flat import flatten
from models.kernel.walk import Walk
folder = sys.argv[1]
asked = np.load(folder + "/asked.npz")
told = Walk([flatten(open(folder + "/forest.txt").read())], np.zeros((1, asked["X"].shape[1])))
np.testing.assert_array_equal(told.predict(asked["X"]), asked["predicted"])
np.testing.assert_array_equal(told.contributions(asked["X"]), asked["explained"])
"""
    compiler = f"{sys.executable} -m ziglang cc -mno-avx2"
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        check=True,
        env=os.environ | {"CC": compiler, "PYTHONPATH": str(ROOT)},
    )
