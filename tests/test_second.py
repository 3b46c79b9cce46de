"""The kernel's second thread: it works beside whoever asks about one home, and never in anybody's way."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from models.kernel.shape import BITS
from models.kernel.walk import Explained, Walk
from tests.served import ROOT
from tests.test_kernel import FEATURES, explains, forest, homes, walk

TREES = 16
PATIENCE = 20  # seconds for what takes milliseconds


@pytest.fixture(scope="module")
def told() -> Walk:
    """Large enough for the thread to be found in the midst of it."""
    return walk(*(forest(seed, trees=400, num_leaves=31) for seed in range(3)))


def same(answer: Explained, expected: Explained) -> None:
    for name in ("contributions", "predictions", "leaves"):
        np.testing.assert_array_equal(getattr(answer, name), getattr(expected, name))


def alone(told: Walk, X: np.ndarray) -> list[Explained]:
    """What is explained without the second thread: three homes side by side, of which the first is told."""
    return [told.explained(np.repeat(row[None], 3, axis=0), TREES).of(slice(1)) for row in X]


@pytest.mark.parametrize("leaves", [12, BITS, BITS + 1, 120])
@pytest.mark.parametrize("count", [1, 3, 8, 9])
def test_what_is_explained_is_lightgbm_s(leaves: int, count: int):
    """Leaves, which small trees find by their bits, and others by walking down."""
    booster = forest(num_leaves=leaves)
    told, X = walk(booster), homes()
    assert told.flats[0].small == (leaves <= BITS)
    for start in range(0, len(X) - count, 7 * count):
        some = X[start : start + count]
        answer = told.explained(some, TREES)
        theirs = np.atleast_2d(booster.predict(some, pred_leaf=True, num_iteration=TREES))
        np.testing.assert_array_equal(answer.leaves, theirs)
        np.testing.assert_array_equal(answer.predictions, booster.predict(some))
        explains(answer.contributions, np.asarray(booster.predict(some, pred_contrib=True)))


def test_a_home_that_is_begun_is_told_as_one_that_is_not(told: Walk):
    X = homes()[:200]
    for row, expected in zip(X, alone(told, X), strict=True):
        finish = told.begin(row[None], TREES)
        told.predict(X[:20])  # in the meantime
        same(finish(), expected)


def test_an_answer_may_be_asked_for_again(told: Walk):
    finish = told.begin(homes()[:1], TREES)
    first = finish()
    same(finish(), first)


def test_what_nobody_finishes_writes_nowhere(told: Walk):
    """What is laid where the question lay stays as it is, and the next answers are right."""
    X = homes()[:200]
    for i, (row, expected) in enumerate(zip(X, alone(told, X), strict=True)):
        begun = told.begin(X[[i - 1]], TREES)
        if i % 4:
            time.sleep(0.0001)  # so that the thread is in the midst of it
        del begun
        gc.collect(0)
        shapes = [(3, 1, FEATURES), (3, 1), (1, FEATURES + 1), (1,)]
        laid = [np.full(shape, 7.5) for shape in shapes for _ in range(3)]
        laid += [np.full((1, 3 * TREES), 7, np.uint16) for _ in range(3)]
        if i % 2:
            time.sleep(0.0003)  # in which it would write
        same(told.begin(row[None], TREES)(), expected)
        assert all((array == (7.5 if array.dtype.kind == "f" else 7)).all() for array in laid)


def test_many_threads_begin_and_finish_at_once(told: Walk):
    X = homes()[:60]
    expected = alone(told, X)

    def ask(i: int) -> Explained:
        begun = [told.begin(X[[j]], TREES) for j in (i, (i + 1) % len(X), i)]
        begun.pop()  # nobody finishes it
        begun.pop()
        return begun.pop()()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, [*range(len(X))] * 10))
    for answer, right in zip(answers, expected * 10, strict=True):
        same(answer, right)


FORKING = """
import os, sys, time, warnings
import numpy as np
from models.kernel.flat import flatten
from models.kernel.walk import Walk
warnings.simplefilter("ignore", DeprecationWarning)
folder, when, patience = sys.argv[1], sys.argv[2], float(sys.argv[3])
asked = np.load(folder + "/asked.npz")
X, right = asked["X"], asked["right"]
told = Walk([flatten(open(folder + "/forest.txt").read())] * 3, np.zeros((3, X.shape[1])))


def answers(count, *begun):
    for finish in begun:
        finish()
    return all((told.begin(X[[i]], 16)().contributions == right[[i]]).all() for i in range(count))


assert answers(len(X))
for turn in range(150):
    begun = [told.begin(X[[0]], 16)]
    if when == "after":
        begun.pop()()
    time.sleep(turn % 15 * 1e-5)
    child = os.fork()
    if not child:
        os._exit(0 if answers(3, *begun) else 1)
    assert answers(3, *begun)
    until = time.monotonic() + patience
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < until:
        time.sleep(0.0005)
    if ended[0] == 0:
        os.kill(child, 9)
        os.waitpid(child, 0)
        sys.exit(f"the child of fork {turn} hangs")
    assert ended[1] == 0, ended
"""


@pytest.mark.parametrize("when", ["after", "amid"])
def test_a_child_of_fork_is_answered_whatever_the_thread_was_doing(tmp_path: Any, when: str):
    booster, X = forest(trees=400, num_leaves=31), homes()[:20]
    told = walk(booster, booster, booster)
    right = np.vstack([one.contributions for one in alone(told, X)])
    np.savez(tmp_path / "asked.npz", X=X, right=right)
    (tmp_path / "forest.txt").write_text(booster.model_to_string())
    done = subprocess.run(
        [sys.executable, "-c", FORKING, str(tmp_path), when, "3"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=6 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr[-2000:]
