"""How the trees of a forest stand: what hangs on which node, and in which order a walk meets them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.fault import Fault

if TYPE_CHECKING:
    from models.kernel.flat import Splits

BITS = 32  # leaves that fit the bits of `spares`
#: Features on a path up to which quadrature with so many points is exact.
EXACT = ((8, 4), (16, 8), (32, 16))
EDGES = np.dtype([("share", np.float32, 2), ("passed_on", np.float32, 2)])


class Unflattened(Fault):
    """A forest that the kernel does not walk; LightGBM must."""


def tallest_first(
    child: np.ndarray, tree: np.ndarray, within: np.ndarray, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The nodes of each tree anew, those with the longest way below them first; and their children by new numbers.

    Each still stands before its children, but seldom next to them: no walk waits for what it has just worked out.

    Args:
        child: left and right, counted within the tree; negative for a leaf.
        tree, within: of each node its tree, and its number there.
        start: of each tree its first node.
    """
    height, inner = np.ones(len(child), np.int64), child >= 0
    below = np.where(inner, start[tree][:, None] + child, 0)
    for here in reversed(steps_of(within)):
        height[here] += np.where(inner[here], height[below[here]], 0).max(axis=1)
    order = np.lexsort((within, -height, tree))
    number = np.empty_like(order)
    number[order] = within
    return order, np.where(inner, number[below], child)[order]


def steps_of(within: np.ndarray) -> list[np.ndarray]:
    """The first nodes of all trees, then their second ones, and so on: each stands before its children."""
    order = np.argsort(within, kind="stable")
    return np.split(order, np.cumsum(np.bincount(within))[:-1]) if len(within) else []


@dataclass(frozen=True)
class Shape:
    """How the trees stand: see `forest.h`; `place` is each leaf's place in its tree from left to right, absolute."""

    edges: np.ndarray
    earlier: np.ndarray
    spares: np.ndarray
    points: np.ndarray
    place: np.ndarray


def shape(split: Splits, leaves: np.ndarray) -> Shape:
    count, child, start = len(split.feature), split.child, split.start
    node = np.arange(count)
    parent = np.full(count, -1)
    for side in (0, 1):
        inner = np.flatnonzero(child[:, side] >= 0)
        parent[start[split.tree[inner]] + child[inner, side]] = 2 * split.within[inner] + side
    if (parent[split.within > 0] < 0).any():
        raise Unflattened("a node has no parent")

    def up(at: np.ndarray, edge: np.ndarray) -> np.ndarray:
        """The nodes, of all trees, that the edges leave."""
        return start[split.tree[at]] + (edge >> 1)

    earlier, climbing, edge = np.full(count, -1), node, parent
    while (on := edge >= 0).any():
        climbing, edge = climbing[on], edge[on]
        above = up(climbing, edge)
        same = split.feature[above] == split.feature[climbing]
        earlier[climbing[same]] = edge[same]
        climbing, edge = climbing[~same], parent[above[~same]]

    steps = steps_of(split.within)
    edges = np.zeros(count, EDGES)
    edges["share"][:, 0] = split.share
    edges["share"][:, 1] = 1 - edges["share"][:, 0]
    for here in steps:
        above = edges["passed_on"][up(here, np.maximum(earlier[here], 0)), earlier[here] & 1]
        before = np.where(earlier[here] < 0, np.float32(1), above)
        edges["passed_on"][here] = edges["share"][here] * before[:, None]
    distinct = np.zeros(count, np.int64)
    for here in steps:
        above = np.where(parent[here] < 0, 0, distinct[up(here, np.maximum(parent[here], 0))])
        distinct[here] = above + (earlier[here] < 0)
    most = np.zeros(len(leaves), np.int64)
    np.maximum.at(most, split.tree, distinct)
    if most.max(initial=0) > EXACT[-1][0]:
        raise Unflattened(f"a path asks of {most.max()} features; at most {EXACT[-1][0]} are walked")
    points = np.select([most <= limit for limit, _ in EXACT], [n for _, n in EXACT])

    under = np.zeros((count, 2), np.int64)  # leaves under each edge
    for here in reversed(steps):
        for side in (0, 1):
            below = child[here, side]
            inner = start[split.tree[here]] + np.maximum(below, 0)
            under[here, side] = np.where(below < 0, 1, under[inner].sum(axis=1))
    first = np.zeros(count, np.int64)  # the leftmost leaf under each node
    place = np.repeat(split.leaf_start[:-1], leaves)  # right for a tree of one leaf
    for here in steps:
        for side, at in ((0, first[here]), (1, first[here] + under[here, 0])):
            below, tree = child[here, side], split.tree[here]
            inner, leaf = below >= 0, below < 0
            first[start[tree[inner]] + below[inner]] = at[inner]
            place[split.leaf_start[tree[leaf]] + ~below[leaf]] = split.leaf_start[tree[leaf]] + at[leaf]
    spares = np.zeros(count, np.uint32)
    if leaves.max() <= BITS:
        struck = ((np.uint64(1) << under[:, 0].astype(np.uint64)) - np.uint64(1)) << first.astype(np.uint64)
        spares = ~struck.astype(np.uint32)
    return Shape(edges, earlier, spares, points, place)
