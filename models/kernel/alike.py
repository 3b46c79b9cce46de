"""The sales that weigh most beside a home, from Python."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from itertools import chain
from threading import local

import numpy as np

from models.kernel.second import Job
from models.kernel.walk import at, kernel

LANES = 32  # trees that the kernel weighs at once
BLOCK = 64  # sales that it looks over at once
_pointer = ctypes.c_void_p


class Alike(ctypes.Structure):
    """Believed sales by the leaves in which they lie; safe from many threads."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("trees", "wide", "known", "most_leaves", "sales")),
        *((name, _pointer) for name in ("leaves", "starts", "order", "fading", "faded")),
    ]

    def __init__(self, starts: np.ndarray, order: np.ndarray, by_sale: np.ndarray, fading: np.ndarray) -> None:
        """As `Grid` has them; sales are in the order of time."""
        if (np.diff(fading) < 0).any():
            raise ValueError("a sale counts less for its age than an earlier one; sales must be in the order of time")
        faded = np.pad(fading, (0, -len(fading) % BLOCK)).astype(np.float32)
        self.kept = by_sale, starts, order, fading, faded
        self.rooms = local()
        (trees, known), (_, wide) = order.shape, by_sale.shape
        places = [array.ctypes.data for array in self.kept]
        super().__init__(trees, wide, known, starts.shape[1] - 1, len(faded), *places)

    @property
    def room(self) -> tuple[np.ndarray, ...]:
        """Working space of this thread."""
        if not hasattr(self.rooms, "kept"):
            weight, rivals = np.empty(self.sales, np.float32), np.empty(self.sales + 1, np.uint32)
            self.rooms.kept = weight, rivals, np.empty((2 * self.trees, 3)), np.empty(self.wide, np.float32)
        kept: tuple[np.ndarray, ...] = self.rooms.kept
        return kept


class _Choice(ctypes.Structure):
    _fields_ = [
        *((name, _pointer) for name in ("alike", "home", "own")),
        *((name, ctypes.c_int32) for name in ("owned", "most")),
        *((name, _pointer) for name in ("weight", "rivals", "shares", "each", "chosen", "shared")),
        ("found", ctypes.c_int32),
        ("second", Job),
    ]


_CHOICE = np.dtype(_Choice)


class Choices:
    """The sales that weigh most beside each of some homes, once they are chosen, and all that is written meanwhile."""

    def __init__(self, alike: Alike, homes: np.ndarray, own: Sequence[Sequence[int]], count: int) -> None:
        """As `Grid.choices` has them."""
        numbers = np.array([len(sales) for sales in own])
        owned, told = np.array([*chain(*own)], np.uint32), np.zeros(len(homes), _CHOICE)
        self._chosen, self._shared = np.zeros((len(homes), count), np.uint32), np.zeros((len(homes), count))
        told["alike"], told["owned"], told["most"] = ctypes.addressof(alike), numbers, count
        told["own"] = owned.ctypes.data + owned.itemsize * (numbers.cumsum() - numbers)
        for name, array in zip(("weight", "rivals", "shares", "each"), alike.room, strict=True):
            told[name] = array.ctypes.data
        for name, array in (("home", homes), ("chosen", self._chosen), ("shared", self._shared)):
            told[name] = array.ctypes.data + array.strides[0] * np.arange(len(homes))
        self._told, self._kept, self._begun = told, (alike, homes, owned, alike.room), False

    def begin(self) -> None:
        """Lets the kernel's second thread choose for the first home; until all are `made`, this one makes no other."""
        self._begun = True
        kernel().begin_to_choose(at(self._told))

    def made(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """How many were chosen for each home; home by home the positions of the sales, and the share of trees that
        can't tell each from the home."""
        kernel().choose(at(self._told), len(self._told), self._begun)
        self._begun = False
        numbers = self._told["found"]
        found = np.arange(self._chosen.shape[1]) < numbers[:, None]
        return numbers, self._chosen[found].astype(np.int64), self._shared[found]

    def __del__(self) -> None:
        if self._begun:  # nobody asked for them: the thread must not write where others do by then
            kernel().taken(ctypes.c_void_p(self._told.ctypes.data + _Choice.second.offset))
