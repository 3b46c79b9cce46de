"""The nearest points from Python, and levels of what is known of them."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from threading import local

import numpy as np
from scipy.spatial import cKDTree

from models.kernel.walk import at, kernel

BOX = 32  # points that are looked at together
OUTERMOST = 1e100  # coordinate, from which on all are put there: squares stay finite
_pointer = ctypes.c_void_p


@dataclass(frozen=True)
class Known:
    """What is known of points, and the levels that are told of it.

    Attributes:
        value: shape (points,).
        fresh: what each point counts for its age, one fading after the other, shape (fadings, points).
        fading, count: of each level the row of `fresh`, and over how many of the nearest; int32, shape (levels,).
        closest: distance below which nearer is not heavier.
    """

    value: np.ndarray
    fresh: np.ndarray
    fading: np.ndarray
    count: np.ndarray
    closest: float


class Nearest(ctypes.Structure):
    """The points of a tree in boxes; safe from many threads."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("points", "dimensions", "boxes", "fadings", "levels")),
        *((name, _pointer) for name in ("low", "high", "at", "number", "value", "fresh", "fading", "count")),
        *((name, ctypes.c_double) for name in ("outermost", "closest")),
    ]

    def __init__(self, tree: cKDTree, known: Known | None = None) -> None:
        """Raises NoKernel when it can't be compiled or loaded."""
        kernel()
        left = -tree.n % BOX
        order = np.pad(tree.indices, (0, left), mode="edge").astype(np.int32)
        boxes = tree.data[order].reshape(-1, BOX, tree.m).transpose(0, 2, 1).copy()
        arrays = [*(np.ascontiguousarray(bound(axis=2).T) for bound in (boxes.min, boxes.max)), boxes, order]
        boxes[-1, :, BOX - left :] = np.inf
        fadings, levels, closest = 0, 0, 0.0
        if known is not None:
            fadings, levels, closest = len(known.fresh), len(known.count), known.closest
            arrays += [known.value[order], known.fresh.take(order, axis=1), known.fading, known.count]
        self.kept, self.rooms = arrays, local()
        places = [array.ctypes.data for array in arrays] + [None] * (8 - len(arrays))
        super().__init__(tree.n, tree.m, len(boxes), fadings, levels, *places, OUTERMOST, closest)

    def query(self, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Distances and numbers of the k nearest of each, ascending; both of shape (n, k)."""
        points = np.ascontiguousarray(points, dtype="float64")
        distance, number = np.empty((len(points), k)), np.empty((len(points), k), np.int32)
        kernel().nearest(ctypes.byref(self), at(points), len(points), k, *self._room, at(distance), at(number))
        return distance, number

    def tell(self, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The levels of each, shape (n, levels), and distances as `query` tells them."""
        points = np.ascontiguousarray(points, dtype="float64")
        distance, told = np.empty((len(points), k)), np.empty((len(points), self.levels))
        kernel().levels(ctypes.byref(self), at(points), len(points), k, *self._room, at(distance), at(told))
        return told, distance

    @property
    def _room(self) -> tuple[ctypes.c_void_p, ...]:
        """Working space of this thread."""
        if not hasattr(self.rooms, "kept"):
            most = self.points + BOX
            self.rooms.kept = np.empty(self.boxes), np.empty(most), np.empty(most, np.int32)
            self.rooms.at = tuple(map(at, self.rooms.kept))
        places: tuple[ctypes.c_void_p, ...] = self.rooms.at
        return places
