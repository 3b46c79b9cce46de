"""The kernel from Python: the mean of a bag of flat forests, told for homes."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from threading import local
from typing import Any

import numpy as np

from models.kernel.build import NoKernel, library
from models.kernel.flat import ARRAYS, Flat
from models.kernel.second import Job

ROWS = 16  # that the kernel takes side by side
MOST_POINTS = 28  # of the quadratures together
AT_ONCE = 2  # threads that share many homes
SIDE_BY_SIDE = 8  # homes that the kernel explains at once
MANY, MANY_REASONS = 256, 3  # homes, and times `SIDE_BY_SIDE` to be explained, that are worth a second thread

_pointer = ctypes.c_void_p


class _Forest(ctypes.Structure):
    _fields_ = [(n, ctypes.c_int32) for n in ("trees", "features", "slots", "small")] + [(n, _pointer) for n in ARRAYS]


def kernel() -> ctypes.CDLL:
    """Raises NoKernel when it can't be compiled or loaded; then it is not tried again."""
    if isinstance(told := _loaded(), NoKernel):
        raise NoKernel(str(told))
    return told


@cache
def _loaded() -> ctypes.CDLL | NoKernel:
    try:
        told = ctypes.CDLL(str(library()))
    except NoKernel as error:
        return error
    except OSError as error:
        return NoKernel(f"the kernel can't be loaded: {error}")
    for name in ("predict", "leaves", "explain", "begin_to_explain", "choose", "begin_to_choose", "nearest", "levels"):
        getattr(told, name).restype = None
    return told


@dataclass(frozen=True)
class Explained:
    """What a walk through all trees tells of homes.

    Attributes:
        contributions: TreeSHAP, shape (n, features + 1): the last column is the base.
        predictions: shape (n,).
        leaves: of the first trees of each forest, uint16, shape (n, forests * trees).
    """

    contributions: np.ndarray
    predictions: np.ndarray
    leaves: np.ndarray

    def of(self, part: slice) -> Explained:
        return Explained(self.contributions[part], self.predictions[part], self.leaves[part])


@dataclass(frozen=True)
class Walk:
    """Flat forests that are asked together: each about the home moved by its row of `aside`; safe from many threads.

    Attributes:
        aside: shape (forests, features).
    """

    flats: Sequence[Flat]
    aside: np.ndarray
    _room: local = field(default_factory=local, repr=False, compare=False)

    @property
    def features(self) -> int:
        return self.flats[0].features

    @property
    def trees(self) -> int:
        return sum(flat.trees for flat in self.flats)

    @cached_property
    def shortest(self) -> int:
        """The trees of the forest that has fewest."""
        return min(flat.trees for flat in self.flats)

    @cached_property
    def base(self) -> float:
        """What contributions start from: the mean forest's mean."""
        return float(sum(flat.base for flat in self.flats)) / len(self.flats)

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """Shape (n,); LightGBM's bits, whatever else is in the batch."""
        rows = np.ascontiguousarray(matrix, dtype="float64")
        told = np.empty(len(rows))
        if len(rows) < MANY:
            self._predict(rows, told)
            return told
        _side_by_side(len(rows), lambda part: self._predict(rows[part], told[part]))
        return told

    def leaves(self, matrix: np.ndarray, trees: int) -> np.ndarray:
        """The leaf of each home in the first `trees` trees of each forest, or in all; uint16, shape (n, leaves)."""
        trees = min(trees, self.shortest)
        rows = np.ascontiguousarray(matrix, dtype="float64")
        told = np.empty((len(rows), len(self.flats) * trees), dtype=np.uint16)
        asked, moved = self.room.places
        for row, one in zip(rows, told, strict=True):
            kernel().leaves(*self._bag, at(row), trees, asked, moved, at(one))
        return told

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """TreeSHAP, shape (n, features + 1): the last column is the base."""
        return self.explained(matrix, 0).contributions

    def explained(self, matrix: np.ndarray, trees: int) -> Explained:
        """All that one walk tells: contributions, predictions, and the leaves as `leaves` tells them."""
        return self.begin(matrix, trees)()

    def begin(self, matrix: np.ndarray, trees: int) -> Callable[[], Explained]:
        """What will be `explained`; about a home alone a second thread begins at once."""
        trees = min(trees, self.shortest)
        rows = np.ascontiguousarray(matrix, dtype="float64")
        told = Explained(
            contributions=np.empty((len(rows), self.features + 1)),
            predictions=np.empty(len(rows)),
            leaves=np.empty((len(rows), len(self.flats) * trees), dtype=np.uint16),
        )
        if len(rows) == 1:
            asked = _Asked(self, rows, told)
            asked.begin()
            return asked.answer
        return partial(self._explain, rows, told)

    def _explain(self, rows: np.ndarray, told: Explained) -> Explained:
        starts = range(0, len(rows), SIDE_BY_SIDE)
        asked = [_Asked(self, rows[s : s + SIDE_BY_SIDE], told.of(slice(s, s + SIDE_BY_SIDE))) for s in starts]
        if len(asked) < MANY_REASONS:
            for some in asked:
                some.answer()
        else:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(_Asked.answer, asked))
        return told

    def _predict(self, rows: np.ndarray, told: np.ndarray) -> None:
        asked, moved = self.room.places
        kernel().predict(*self._bag, at(rows), ctypes.c_int64(len(rows)), asked, moved, at(told))

    @cached_property
    def _bag(self) -> tuple[Any, ...]:
        """The first arguments of every call; the arrays behind them live as long as `flats` does."""
        forests = (_Forest * len(self.flats))()
        for forest, flat in zip(forests, self.flats, strict=True):
            forest.trees, forest.features, forest.slots, forest.small = (
                flat.trees,
                flat.features,
                flat.slots,
                flat.small,
            )
            for name, array in flat.arrays.items():
                setattr(forest, name, array.ctypes.data if len(array) else None)
        aside = np.ascontiguousarray(self.aside, dtype="float64")
        return forests, len(self.flats), _Kept(aside.ctypes.data, aside)

    @property
    def room(self) -> _Room:
        """Working space of this thread."""
        if not hasattr(self._room, "kept"):
            self._room.kept = _Room(self)
        kept: _Room = self._room.kept
        return kept

    @cached_property
    def second_room(self) -> _Room:
        """Of the kernel's second thread."""
        return _Room(self)


def _side_by_side(count: int, do: Callable[[slice], None]) -> None:
    share = ROWS * -(-count // (ROWS * AT_ONCE))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(do, [slice(start, start + share) for start in range(0, count, share)]))


class _Room(ctypes.Structure):
    """Working space of one thread."""

    _fields_ = [(name, _pointer) for name in ("asked", "moved", "sums")]

    def __init__(self, walk: Walk) -> None:
        slots = max(flat.slots for flat in walk.flats)
        asked, moved = np.empty(ROWS * slots, np.uint16), np.empty(ROWS * walk.features)
        self.kept = asked, moved, _aligned(SIDE_BY_SIDE * MOST_POINTS * walk.features)
        super().__init__(*(array.ctypes.data for array in self.kept))

    @property
    def places(self) -> tuple[ctypes.c_void_p, ctypes.c_void_p]:
        """Of `asked` and `moved`."""
        return _pointer(self.asked), _pointer(self.moved)


class _Question(ctypes.Structure):
    _fields_ = [
        *((name, _pointer) for name in ("bag", "aside", "rows", "rule")),
        ("base", ctypes.c_double),
        *((name, ctypes.c_int32) for name in ("forests", "count", "trees", "next")),
        *((name, _pointer) for name in ("contributions", "predictions", "leaf")),
        ("second", Job),
        ("its", _pointer),
    ]


class _Asked:
    """Up to `SIDE_BY_SIDE` homes that the forests are asked about, and all that is written to meanwhile."""

    def __init__(self, walk: Walk, rows: np.ndarray, told: Explained) -> None:
        count, (bag, forests, aside) = len(rows), walk._bag
        contributions, predictions = np.empty((forests, count, walk.features)), np.empty((forests, count))
        self._walk, self._told = walk, told
        self._kept = rows, contributions, predictions, walk.second_room
        self._question = _Question(
            *(ctypes.addressof(bag), aside.value, rows.ctypes.data, _RULE.ctypes.data, walk.base),
            *(forests, count, told.leaves.shape[1] // forests, 0),
            *(contributions.ctypes.data, predictions.ctypes.data, told.leaves.ctypes.data),
        )
        self._begun = False

    def begin(self) -> None:
        """Lets the second thread begin."""
        self._begun = True
        kernel().begin_to_explain(ctypes.byref(self._question), ctypes.byref(self._kept[-1]))

    def answer(self) -> Explained:
        told, question, room = self._told, ctypes.byref(self._question), ctypes.byref(self._walk.room)
        kernel().explain(question, room, self._begun, at(told.contributions), at(told.predictions))
        self._begun = False
        return told

    def __del__(self) -> None:
        if self._begun:  # nobody asked for the answer: the thread must not write where others do by then
            kernel().taken(ctypes.byref(self._question.second))


class _Kept(ctypes.c_void_p):
    """A pointer that keeps its array alive."""

    def __init__(self, address: int, array: np.ndarray) -> None:
        super().__init__(address)
        self.array = array


def at(array: np.ndarray) -> ctypes.c_void_p:
    """Where the array's numbers lie; whoever calls the kernel keeps the array until the call is over."""
    return ctypes.c_void_p(array.ctypes.data)


def _aligned(count: int) -> np.ndarray:
    """Floats that begin where a cache line does."""
    raw = np.empty(count + 32, np.float32)
    first = -raw.ctypes.data // 4 % 32
    return raw[first : first + count]


def _rule() -> np.ndarray:
    """Gauss-Legendre points on 0..1, as floats, then their weights over 1 - t, of 4, 8 and 16 points."""
    points, weights = zip(*(np.polynomial.legendre.leggauss(n) for n in (4, 8, 16)), strict=True)
    t = (np.concatenate(points) + 1) / 2
    told = np.empty(1, np.dtype([("points", np.float32, MOST_POINTS), ("weights", np.float64, MOST_POINTS)]))
    told["points"], told["weights"] = t, np.concatenate(weights) / 2 / (1 - t)
    return told


_RULE = _rule()
