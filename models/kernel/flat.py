"""A LightGBM forest as flat arrays: what the kernel walks.

LightGBM's text is read once, where a model is made ready; the arrays are what serves. Only what the text says is
used, so that the arrays can be compared with LightGBM's own answers before anybody relies on them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.kernel.shape import BITS, EDGES, Unflattened, shape, tallest_first

MISSING_NONE, MISSING_ZERO, MISSING_NAN, CATEGORICAL = range(4)
MOST_RANKS = 65534  # thresholds of one question: a rank is a uint16, and one is kept for what always goes right
MOST_SLOTS = 65536
MOST_NODES, FIRST_LEAF = 1024, 1032
NODE = np.dtype(
    [
        ("slot", np.uint16),
        ("rank", np.uint16),
        ("child", np.uint16, 2),
        ("earlier", np.uint16),
        ("feature", np.uint16),
        ("spares", np.uint32),
    ]
)
#: Name -> type of the arrays, in the order of the struct in `forest.h`.
ARRAYS: Mapping[str, Any] = {
    "slot_feature": np.int32,
    "slot_kind": np.uint8,
    "slot_default_left": np.uint8,
    "slot_start": np.int32,
    "thresholds": np.float64,
    "words": np.uint32,
    "node_start": np.int32,
    "leaf_start": np.int32,
    "nodes": NODE,
    "edges": EDGES,
    "value": np.float64,
    "ordered": np.float64,
    "number": np.uint16,
    "points": np.uint8,
}


@dataclass(frozen=True)
class Flat:
    """One forest; the shapes and meanings of `arrays` are in `forest.h`.

    Attributes:
        small: whether no tree has more leaves than `BITS`.
        base: what contributions start from: the mean of the leaf values over the training rows.
    """

    features: int
    small: bool
    base: float
    arrays: Mapping[str, np.ndarray]

    @property
    def trees(self) -> int:
        return len(self.arrays["node_start"]) - 1

    @property
    def slots(self) -> int:
        return len(self.arrays["slot_feature"])


def flatten(text: str) -> Flat:
    """The forest of a LightGBM model file.

    Raises:
        Unflattened: when it is of a kind, size or depth that the kernel does not walk, or its text is no forest.
    """
    try:
        return _flat(text)
    except (ValueError, IndexError, KeyError) as error:
        raise Unflattened(f"the model file can't be read: {error!r}") from error


def _flat(text: str) -> Flat:
    header, _, body = text.partition("\nTree=0\n")
    body = body.partition("\nend of trees")[0]
    features = _header_number(header, "max_feature_idx") + 1
    if _header_number(header, "num_tree_per_iteration") != 1 or "average_output" in header:
        raise Unflattened("the forest has several outputs, or an average for one")
    if re.search(r"^is_linear=1$", body, re.M):
        raise Unflattened("the forest has linear leaves")
    leaves = _all(body, "num_leaves", np.int64)
    if not len(leaves):
        raise Unflattened("the forest has no trees")
    nodes = leaves - 1
    if nodes.max() > MOST_NODES:
        raise Unflattened(f"a tree has {leaves.max()} leaves; at most {MOST_NODES + 1} are walked")
    start, leaf_start = (np.concatenate([[0], np.cumsum(n)]) for n in (nodes, leaves))
    split = Splits.of(body, nodes, leaves, start, leaf_start)
    slots, slot, rank = _questions(body, split)
    if len(slots["slot_feature"]) > MOST_SLOTS:
        raise Unflattened(f"the trees ask {len(slots['slot_feature'])} questions; at most {MOST_SLOTS} are walked")
    stands = shape(split, leaves)
    value = _all(body, "leaf_value", np.float64)
    ordered = np.empty_like(value)
    ordered[stands.place] = value
    number = np.empty(len(value), np.int64)
    number[stands.place] = np.arange(len(value)) - np.repeat(leaf_start[:-1], leaves)
    counts = split.leaf_count
    weight = np.where(counts.sum() > 0, counts, 1)
    total = np.add.reduceat(weight, leaf_start[:-1])
    base = float((np.add.reduceat(weight * value, leaf_start[:-1]) / total).sum())
    told = np.zeros(len(slot), NODE)
    told["slot"], told["rank"], told["feature"] = slot, rank, split.feature
    told["child"] = np.where(split.child < 0, FIRST_LEAF + ~split.child, split.child)
    told["earlier"], told["spares"] = stands.earlier + 1, stands.spares
    arrays = {
        **slots,
        "node_start": start,
        "leaf_start": leaf_start,
        "nodes": told,
        "edges": stands.edges,
        "value": value,
        "ordered": ordered,
        "number": number,
        "points": stands.points,
    }
    typed = {name: np.ascontiguousarray(arrays[name], dtype=kind) for name, kind in ARRAYS.items()}
    return Flat(features, bool(leaves.max() <= BITS), base, typed)


@dataclass(frozen=True)
class Splits:
    """All nodes of all trees, one after the other; numbers of children count within their tree."""

    feature: np.ndarray
    threshold: np.ndarray
    decision: np.ndarray
    child: np.ndarray
    share: np.ndarray
    tree: np.ndarray
    within: np.ndarray
    start: np.ndarray
    leaf_start: np.ndarray
    leaf_count: np.ndarray

    @classmethod
    def of(cls, body: str, nodes: np.ndarray, leaves: np.ndarray, start: np.ndarray, leaf_start: np.ndarray) -> Splits:
        tree = np.repeat(np.arange(len(nodes)), nodes)
        within = np.arange(start[-1]) - start[tree]
        child = np.column_stack([_all(body, side, np.int64) for side in ("left_child", "right_child")])
        inner, leaf_count = (_all(body, f"{what}_count", np.float64) for what in ("internal", "leaf"))
        feature = _all(body, "split_feature", np.int64)
        if len(leaf_count) != leaf_start[-1]:  # a tree of one leaf has no counts
            leaf_count = _padded(leaf_count, leaves, leaf_start)
        if not len(feature) == len(child) == len(inner) == start[-1]:
            raise Unflattened("the trees' arrays differ in length")
        if ((child >= 0) & (child <= within[:, None])).any():
            raise Unflattened("a node stands before its parent")
        left = np.where(
            child[:, 0] >= 0,
            inner[np.minimum(start[tree] + child[:, 0], start[-1] - 1)] if len(inner) else 0.0,
            leaf_count[leaf_start[tree] + ~np.minimum(child[:, 0], -1)],
        )
        order, child = tallest_first(child, tree, within, start)
        return cls(
            feature=feature[order],
            threshold=_all(body, "threshold", np.float64)[order],
            decision=_all(body, "decision_type", np.int64)[order],
            child=child,
            share=(left / np.maximum(inner, 1.0))[order],
            tree=tree,
            within=within,
            start=start,
            leaf_start=leaf_start,
            leaf_count=leaf_count,
        )


def _questions(body: str, split: Splits) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """The slots' arrays, and each node's slot and rank."""
    kind = (split.decision >> 2) & 3
    categorical = (split.decision & 1).astype(bool)
    kind[categorical] = CATEGORICAL
    default_left = (split.decision >> 1) & 1
    slot, rank = np.zeros(len(kind), np.int64), np.zeros(len(kind), np.int64)
    asks: list[tuple[int, ...]] = []
    starts, thresholds, words = [0], [np.empty(0)], [np.empty(0, np.uint32)]
    numeric = np.column_stack([split.feature, kind, default_left])
    for question in np.unique(numeric[~categorical], axis=0):
        rows = np.flatnonzero(~categorical & (numeric == question).all(axis=1))
        asked, at = np.unique(split.threshold[rows], return_inverse=True)
        if len(asked) > MOST_RANKS:
            raise Unflattened(f"feature {question[0]} has {len(asked)} thresholds; at most {MOST_RANKS} are walked")
        slot[rows], rank[rows] = len(asks), at
        asks.append(tuple(question))
        thresholds.append(asked)
        starts.append(starts[-1] + len(asked))
    first_of_words = starts[-1]
    for (feature, bits), nodes in sorted(_category_questions(body, split, categorical).items()):
        slot[nodes] = len(asks)  # rank 0: left where the answer is 0
        asks.append((feature, CATEGORICAL, 0))
        words.append(np.frombuffer(bits, np.uint32))
        starts.append(starts[-1] + len(words[-1]))
    # Words are found by the same starts as thresholds: they lie behind as many words as there are thresholds.
    told = np.concatenate([np.zeros(first_of_words, np.uint32), *words])
    feature_of, kind_of, left_of = np.array(asks, np.int64).reshape(-1, 3).T
    slots = {
        "slot_feature": feature_of,
        "slot_kind": kind_of,
        "slot_default_left": left_of,
        "slot_start": np.array(starts),
        "thresholds": np.concatenate(thresholds),
        "words": told,
    }
    return slots, slot, rank


def _category_questions(body: str, split: Splits, categorical: np.ndarray) -> dict[tuple[int, bytes], list[int]]:
    """(feature, the bits of what goes left) -> the nodes that ask it."""
    if not categorical.any():
        return {}
    told: dict[tuple[int, bytes], list[int]] = {}
    with_categories = np.flatnonzero(_all(body, "num_cat", np.int64))
    bounds = dict(zip(with_categories, _each(body, "cat_boundaries", np.int64), strict=True))
    bits = dict(zip(with_categories, _each(body, "cat_threshold", np.uint32), strict=True))
    for node in np.flatnonzero(categorical):
        tree, number = split.tree[node], int(split.threshold[node])
        low, high = bounds[tree][number : number + 2]
        told.setdefault((int(split.feature[node]), bits[tree][low:high].tobytes()), []).append(int(node))
    return told


def _header_number(header: str, name: str) -> int:
    found = re.search(rf"^{name}=(\d+)$", header, re.M)
    if found is None:
        raise Unflattened(f"the model file has no {name}")
    return int(found[1])


def _all(body: str, name: str, kind: type) -> np.ndarray:
    """The numbers of every tree's line of that name, one after the other."""
    return np.fromstring(" ".join(re.findall(rf"^{name}=(.*)$", body, re.M)), dtype=kind, sep=" ")


def _each(body: str, name: str, kind: type) -> list[np.ndarray]:
    return [np.fromstring(line, dtype=kind, sep=" ") for line in re.findall(rf"^{name}=(.*)$", body, re.M)]


def _padded(leaf_count: np.ndarray, leaves: np.ndarray, leaf_start: np.ndarray) -> np.ndarray:
    told = np.ones(leaf_start[-1])
    several = np.repeat(leaves > 1, leaves)
    if several.sum() != len(leaf_count):
        raise Unflattened("the trees' leaf counts differ in length from their leaves")
    told[several] = leaf_count
    return told
