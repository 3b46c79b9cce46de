"""Sales as points: which are nearest to a home, and what level they were paid."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from models.kernel.build import NoKernel
from models.kernel.nearest import OUTERMOST, Known, Nearest

CLOSEST = 0.3  # distance units below which nearer is not heavier
HAIR = 1e-9  # distance units that each later sale lets an older one at the same spot stand back
LEAF = 32  # points of a tree's leaf: hundreds are asked for at once
#: Of each level over how many of the nearest sales, and in how many years the weight of one falls to 1/e.
Asked = tuple[tuple[int, float], ...]


class Placed:
    """Points that can be looked for, by the kernel or, where there is none, by scipy; with the same bits."""

    def __init__(self, points: np.ndarray, known: Known | None = None) -> None:
        """In the order of time; those that have no place are put where nobody looks.

        Of two at the same spot the newer is nearer by a hair: else the tree's layout, and with it any other sale,
        would decide which of them counts.
        """
        older = np.arange(len(points), 0, -1)[:, None]
        there = np.clip(points + HAIR * older, -OUTERMOST, OUTERMOST)
        self.tree = cKDTree(np.where(np.isfinite(points), there, 1e9), leafsize=LEAF)
        try:
            self.boxes: Nearest | None = Nearest(self.tree, known) if len(points) else None
        except NoKernel:
            self.boxes = None

    def nearest(self, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Distances and positions of the k nearest, fewer where there are fewer; both of shape (n, k)."""
        k = min(k, self.tree.n)
        if self.boxes is not None:
            return self.boxes.query(points, k)
        points = np.clip(points, -OUTERMOST, OUTERMOST)
        distance, position = self.tree.query(points, k=k if k > 1 else [1])  # a list, for one alone, keeps the shape
        return distance, position


class Sold(Placed):
    """Believed sales, with the residual of each and its age in years; shape (n,)."""

    def __init__(self, points: np.ndarray, residual: np.ndarray, years: np.ndarray, asked: Asked) -> None:
        fadings, rows = np.unique([fading for _, fading in asked], return_inverse=True)
        counts = np.array([count for count, _ in asked], np.int32)
        self.known = Known(residual, np.exp(-years / fadings[:, None]), rows.astype(np.int32), counts, CLOSEST)
        super().__init__(points, self.known)

    def levels(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean residuals of the first so many of the nearest sales, the nearer and the newer counting more; shape
        (points, asked). Then the distances of all that were looked at, ascending.

        Each fading is added up once: a home's nearest sales are a part of its many nearest.
        """
        known = self.known
        most = min(int(known.count.max()), self.tree.n)
        if self.boxes is not None:
            return self.boxes.tell(points, most)
        distance, position = self.nearest(points, most)
        weights = known.fresh.take(position, axis=1) * (1 / (distance + CLOSEST))
        sums = (weights * known.value[position]).cumsum(axis=2)
        last = np.minimum(known.count, most) - 1
        return (sums[known.fading, :, last] / weights.cumsum(axis=2)[known.fading, :, last]).T, distance
