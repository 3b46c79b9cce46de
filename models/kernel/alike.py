"""The sales that weigh most beside a home, from Python."""

from __future__ import annotations

import ctypes
from threading import local

import numpy as np

from models.kernel.second import Job
from models.kernel.walk import kernel

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


class Choice(ctypes.Structure):
    """The sales that weigh most beside one home, once they are chosen, and all that is written to meanwhile."""

    _fields_ = [
        *((name, _pointer) for name in ("alike", "home", "own")),
        *((name, ctypes.c_int32) for name in ("owned", "most")),
        *((name, _pointer) for name in ("weight", "rivals", "shares", "each", "chosen", "shared")),
        ("found", ctypes.c_int32),
        ("second", Job),
    ]

    def __init__(self, alike: Alike, home: np.ndarray, own: np.ndarray, count: int) -> None:
        """As `Grid.choice` has them."""
        home, own = np.ascontiguousarray(home, np.uint16), np.ascontiguousarray(own, np.uint32)
        self.told = np.empty(count, np.uint32), np.empty(count)
        self.kept = alike, home, own, alike.room
        self.begun = False
        rooms = [array.ctypes.data for array in (*alike.room, *self.told)]
        super().__init__(ctypes.addressof(alike), home.ctypes.data, own.ctypes.data, len(own), count, *rooms)

    def begin(self) -> None:
        """Lets the kernel's second thread choose; until it is `made`, this thread makes no other."""
        self.begun = True
        kernel().begin_to_choose(ctypes.byref(self))

    def made(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the sales, and the share of trees that can't tell each from the home."""
        kernel().choose(ctypes.byref(self), self.begun)
        self.begun = False
        chosen, shared = (array[: self.found] for array in self.told)
        return chosen.astype(np.int64), shared

    def __del__(self) -> None:
        if self.begun:  # nobody asked for it: the thread must not write where others do by then
            kernel().taken(ctypes.byref(self.second))
