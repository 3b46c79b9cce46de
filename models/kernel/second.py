"""The kernel's second thread from Python: it works on for a caller that does something else meanwhile."""

from __future__ import annotations

import ctypes


class Job(ctypes.Structure):
    """`job` of second.h, a part of whatever is worked on."""

    _fields_ = [("work", ctypes.c_void_p), ("of", ctypes.c_void_p), ("state", ctypes.c_int32)]
