"""The boosted forests: what the hedonic regression and the market index leave of log price.

A bag of forests, each taught by its own share of the homes, is averaged: one forest's values move by
more than a percent with nothing but the seed. Which homes teach a forest is decided by their ids, so a
sale more or less changes nothing else. The same sales give the same bytes at every run.

Every split is a cliff, and forests that share their bins share their cliffs: a home on the edge of one moves
by percents when another's sale moves its evidence by a hair. So each forest is asked about a point a little
aside of the home, along every measure of the evidence, and the bag takes a cliff by steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from models.features import Features
from models.kernel.flat import flatten
from models.kernel.walk import Explained, Walk

if TYPE_CHECKING:  # a server whose forests are flat answers without LightGBM, which takes over a second to import
    import lightgbm as lgb

#: One thread, fixed row order and LightGBM's own switch: what it needs to give the same trees twice.
FIXED = {
    "objective": "huber",  # on log price: a mislabelled sale pulls with bounded force
    "metric": "none",
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "feature_pre_filter": False,
    "max_bin": 63,  # coarse bins keep the thresholds of splits in their places as sales come in
    "monotone_constraints_method": "basic",
    "verbosity": -1,
}
SHARE = 0.8  # of the homes teach each forest of a bag
ASIDE = 0.05  # standard deviations of a measure that a forest is asked aside of a home, at most
TURN = (5**0.5 - 1) / 2  # of the order of the forests, from one column to the next: no two go the same way
FIRST_TREES = 16  # of a forest
AT_ONCE = 2  # forests fitted, or asked about many homes, side by side; each says the same alone
MANY = 200  # homes that are worth a second thread


@dataclass(frozen=True)
class Bag:
    """Forests whose mean is the model.

    Attributes:
        forests: as LightGBM holds them; may be empty where `walk` has them flat.
        reach: how far aside of a home a forest is asked at most, shape (features,); 0 for what is no measure.
        walk: the same forests flat: the same predictions and leaves to the bit, and contributions many times faster.

    A forest that serves is never asked for less than all its trees: LightGBM keeps the number asked for in the
    forest itself, where another thread's answer would meet it.
    """

    forests: tuple[lgb.Booster, ...]
    reach: np.ndarray
    walk: Walk | None = None

    @cached_property
    def aside(self) -> np.ndarray:
        """What each forest adds to a home's row, shape (forests, features): evenly spread over the reach."""
        return aside(len(self.forests), self.reach)

    @cached_property
    def flat(self) -> Bag:
        """The same bag, its forests flat beside LightGBM's.

        Raises:
            Unflattened: when the kernel does not walk such forests.
        """
        return replace(self, walk=Walk([flatten(f.model_to_string()) for f in self.forests], self.aside))

    @cached_property
    def first_trees(self) -> tuple[lgb.Booster, ...]:
        """The beginnings of the forests, which settle the broad differences."""
        import lightgbm as lgb

        return tuple(lgb.Booster(model_str=f.model_to_string(num_iteration=FIRST_TREES)) for f in self.forests)

    @property
    def trees(self) -> int:
        return self.walk.trees if self.walk is not None else sum(forest.num_trees() for forest in self.forests)

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """Log price, shape (n,)."""
        return self._mean(matrix) if self.walk is None else self.walk.predict(matrix)

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """TreeSHAP (Lundberg et al. 2020), shape (n, features + 1): the last column is the mean forest's base."""
        return self._mean(matrix, pred_contrib=True) if self.walk is None else self.walk.contributions(matrix)

    def explained(self, matrix: np.ndarray) -> Explained:
        """Predictions, contributions and first leaves, which a walk tells all at once."""
        return self.begin(matrix)()

    def begin(self, matrix: np.ndarray) -> Callable[[], Explained]:
        """What will be `explained`; a walk about a home alone begins at once, beside whatever the caller does."""
        if self.walk is not None:
            return self.walk.begin(matrix, FIRST_TREES)
        return lambda: Explained(self.contributions(matrix), self.predict(matrix), self.first_leaves(matrix))

    def first_leaves(self, matrix: np.ndarray) -> np.ndarray:
        """The leaf of each home in the first trees of every forest; shape (n, trees)."""
        if self.walk is not None:
            return self.walk.leaves(matrix, FIRST_TREES)
        told = [
            np.asarray(trees.predict(matrix + aside, pred_leaf=True, num_threads=1)).reshape(len(matrix), -1)
            for trees, aside in zip(self.first_trees, self.aside, strict=True)
        ]
        return np.hstack(told)

    def _mean(self, matrix: np.ndarray, **what: bool) -> np.ndarray:
        """Of all forests, added up in their order; many homes are worth a second thread."""

        def one(forest: lgb.Booster, aside: np.ndarray) -> np.ndarray:
            return np.asarray(forest.predict(matrix + aside, num_threads=1, **what))

        if len(matrix) < MANY:
            told = list(map(one, self.forests, self.aside))
        else:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                told = list(pool.map(one, self.forests, self.aside))
        return np.asarray(sum(told)) / len(told)


def aside(forests: int, reach: np.ndarray) -> np.ndarray:
    """What each of so many forests adds to a home's row, shape (forests, features): evenly spread over the reach."""
    if forests == 1:
        return np.zeros((1, len(reach)))
    place = (np.arange(forests)[:, None] + 0.5) / forests + TURN * np.arange(len(reach))
    return (2 * (place % 1) - 1) * reach


def fit_bag(
    matrix: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    property_id: Sequence[str],
    features: Features,
    searched: Mapping[str, Any],
    rounds: int,
    bags: int,
    seed: int,
) -> Bag:
    """`bags` forests of `rounds` trees that obey the declared directions.

    Args:
        matrix: shape (n, features).
        target: shape (n,), in log price.
        weight: what each sale counts, shape (n,).
        property_id: the home of each row; all sales of a home teach the same forests.
        searched: the LightGBM parameters that the search chose.
    """
    import lightgbm as lgb

    parameters = _parameters(searched, features, seed)
    every = _dataset(matrix, target, weight, features, parameters).construct()  # one set of bins for all

    def fit(number: int) -> lgb.Booster:
        rows = np.flatnonzero(taught_by(property_id, number, seed)) if bags > 1 else np.arange(len(target))
        return lgb.train(parameters | {"seed": seed + number}, every.subset(rows.tolist()), rounds)

    reach = np.where(features.measures, ASIDE * np.ma.masked_invalid(matrix).std(axis=0).filled(0.0), 0.0)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return Bag(tuple(pool.map(fit, range(bags))), reach)


def taught_by(property_id: Sequence[str], number: int, seed: int) -> np.ndarray:
    """Whether each home teaches the forest of that number; shape (n,), bool."""
    key = f"{seed}:{number}".encode()  # a checksum would do for one forest, but draw nearly the same homes for the next
    draws = b"".join(blake2b(str(home).encode(), digest_size=4, key=key).digest() for home in property_id)
    return np.frombuffer(draws, dtype="<u4") < SHARE * 2**32


def predictions_by_rounds(bag: Bag, matrix: np.ndarray, step: int) -> dict[int, np.ndarray]:
    """What each forest would predict with fewer trees: for every `step` of boosting rounds, shape (forests, n)."""
    told, sums = {}, np.zeros((len(bag.forests), len(matrix)))
    trees = bag.forests[0].num_trees()
    for start in range(0, trees, step):
        sums = sums + np.array(
            [
                forest.predict(matrix + aside, start_iteration=start, num_iteration=step, num_threads=1)
                for forest, aside in zip(bag.forests, bag.aside, strict=True)
            ]
        )
        told[min(start + step, trees)] = sums
    return told


def spread_about_median(residuals: np.ndarray) -> float:
    """Mean absolute deviation from the median, in log price.

    The level of a later year is the market index's to foresee; the forest is judged by how well it
    tells homes apart.
    """
    return float(np.abs(residuals - np.median(residuals)).mean())


def _parameters(searched: Mapping[str, Any], features: Features, seed: int) -> dict[str, Any]:
    return {**searched, **FIXED, "seed": seed, "monotone_constraints": features.directions}


def _dataset(
    matrix: np.ndarray, target: np.ndarray, weight: np.ndarray, features: Features, parameters: dict[str, Any]
) -> lgb.Dataset:
    import lightgbm as lgb

    return lgb.Dataset(
        matrix,
        target,
        weight=weight,
        feature_name=features.names,
        categorical_feature=features.categorical,
        params=parameters,
        free_raw_data=False,
    )
