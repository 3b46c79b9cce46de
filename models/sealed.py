"""A file's bytes in memory that nobody can change any more, shared by all processes that ask for the same file.

A mapped file is only as sound as the disk under it: cut short, it kills whoever reads on; written over, it changes
what was checked. So the first process copies it into memory of its own and seals that; the others open it through
/proc, where the first says it is. Each checks what it got, so nobody has to be believed.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import weakref
from pathlib import Path

import numpy as np

from models.files import digest

#: Nobody may write, cut or lengthen it, or take these back.
SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
#: Bytes of a large page; and `MADV_COLLAPSE` of Linux, which Python has no name for.
LARGE, _COLLAPSE = 2 << 20, 25
#: Beside the file: where the sealed memory is, as process and file descriptor.
WHERE = ".where"


def sealed(path: Path, promised: str) -> np.ndarray:
    """The bytes of the file, uint8, shape (n,), not writeable.

    Args:
        promised: the SHA-256 that they must have.

    Raises:
        OSError: when the file can't be read.
        ValueError: when its bytes have another digest.
    """
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # of several that start at once, one copies
        if (shared := _shared(path)) is not None and digest((told := _mapped(shared)).data) == promised:
            return told
        memory = _copied(file.read())
        told = _mapped(memory)
        if (found := digest(told.data)) != promised:
            raise ValueError(f"{path} has digest {found}, and {promised} was promised")
        _say_where(path, memory)
        return told


def _shared(path: Path) -> int | None:
    """What another process has sealed of the file, if it still lives and says where."""
    with contextlib.suppress(OSError, ValueError):
        process, descriptor = (int(number) for number in path.with_suffix(WHERE).read_text().split())
        memory = os.open(f"/proc/{process}/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        with contextlib.suppress(OSError):
            if fcntl.fcntl(memory, fcntl.F_GET_SEALS) & SEALS == SEALS and os.fstat(memory).st_size:
                return memory
        os.close(memory)
    return None


def _copied(data: bytes) -> int:
    memory = os.memfd_create("assay", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(memory, view) :]
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, SEALS)
    except BaseException:
        os.close(memory)
        raise
    return memory


def _mapped(memory: int) -> np.ndarray:
    """Its bytes; raises ValueError where there are none. The descriptor stays open, for others to find, while they are
    in use.

    They begin where a large page can, and lie in large pages where the system has some: what is read of them lies far
    apart, and each small page would have to be looked up first.
    """
    try:
        if not (size := os.fstat(memory).st_size):
            raise ValueError("the memory is empty")
        room = mmap.mmap(-1, size + LARGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ)
        begin = -np.frombuffer(room, dtype=np.uint8).ctypes.data % LARGE
        told = np.frombuffer(room, dtype=np.uint8, count=size, offset=begin)
        _map_over(told, memory)
    except BaseException:
        os.close(memory)
        raise
    weakref.finalize(room, os.close, memory)
    _lay_large(told)
    return told


def _lay_large(place: np.ndarray) -> None:
    """Python's own `madvise` would hold up all other threads meanwhile: a second, where free memory is in pieces."""
    call = ctypes.CDLL(None).madvise
    call.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    call(place.ctypes.data, len(place) // LARGE * LARGE, _COLLAPSE)


def _map_over(place: np.ndarray, memory: int) -> None:
    """Maps the memory where the array's bytes have been; they go together."""
    call = ctypes.CDLL(None, use_errno=True).mmap
    call.restype = ctypes.c_void_p
    call.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
    fixed = mmap.MAP_SHARED | 0x10  # MAP_FIXED
    if call(place.ctypes.data, len(place), mmap.PROT_READ, fixed, memory, 0) != place.ctypes.data:
        raise OSError(ctypes.get_errno(), "the memory can't be mapped")


def _say_where(path: Path, memory: int) -> None:
    with contextlib.suppress(OSError):  # a folder that can't be written to: then everybody copies
        path.with_suffix(WHERE).write_text(f"{os.getpid()} {memory}")
