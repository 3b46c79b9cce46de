"""Sealed memory: shared while somebody has it, and safe from whatever becomes of the file."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.files import digest
from models.sealed import LARGE, sealed
from tests.served import ROOT

DATA = bytes(range(256)) * 4096


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "arrays.bin").write_bytes(DATA)
    return tmp_path / "arrays.bin"


def inode(path: Path) -> int:
    """Which memory is said to be shared."""
    process, descriptor = path.with_suffix(".where").read_text().split()
    return Path(f"/proc/{process}/fd/{descriptor}").stat().st_ino


def is_mapped(memory: int) -> bool:
    """Whether this process has it mapped, by its inode: what other tests share is not asked for."""
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if "memfd:assay" in line]
    return str(memory) in (line[4] for line in maps)


def test_it_is_the_file_s_bytes_and_nobody_can_write_them(file: Path):
    told = sealed(file, digest(DATA))
    assert told.tobytes() == DATA
    with pytest.raises(ValueError, match="WRITEABLE"):
        told.flags.writeable = True
    process, descriptor = file.with_suffix(".where").read_text().split()
    with open(f"/proc/{process}/fd/{descriptor}", "r+b", buffering=0) as memory:  # noqa: PTH123
        with pytest.raises(PermissionError):
            memory.write(b"x")
        with pytest.raises(PermissionError):
            memory.truncate(0)


def test_what_becomes_of_the_file_changes_nothing(file: Path):
    told = sealed(file, digest(DATA))
    file.write_bytes(b"")
    assert told.tobytes() == DATA
    again = sealed(file, digest(DATA))
    assert again.tobytes() == DATA


def test_another_process_shares_it(file: Path):
    told = sealed(file, digest(DATA))
    program = """
import sys, os
from pathlib import Path
from models.sealed import sealed
told = sealed(Path(sys.argv[1]), sys.argv[2])
line = next(l for l in open("/proc/self/maps") if "memfd:assay" in l)
print(line.split()[4], len(told))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(file), digest(DATA)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.split() == [str(inode(file)), str(len(told))]


def test_it_is_freed_with_the_last_array_of_it(file: Path):
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    part = sealed(file, digest(DATA))[256:512].view(np.uint16)
    memory = inode(file)
    assert part[1] == 0x0302
    assert is_mapped(memory)
    del part
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert not is_mapped(memory)


def test_it_begins_where_a_large_page_can(file: Path):
    file.write_bytes(DATA * 5)
    told = sealed(file, digest(DATA * 5))
    assert told.ctypes.data % LARGE == 0
    assert told.tobytes() == DATA * 5


def test_nothing_is_not_shared(file: Path):
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="empty"):
        sealed(file, digest(b""))


def test_other_bytes_than_promised_are_not_given(file: Path):
    with pytest.raises(ValueError, match="was promised"):
        sealed(file, digest(b"other"))
    file.write_bytes(b"other")
    assert sealed(file, digest(b"other")).tobytes() == b"other"


@pytest.mark.parametrize("said", ["", "x y", "1 0", "999999999 3", f"{os.getpid()} 0"])
def test_who_says_nonsense_of_where_it_is_is_not_believed(file: Path, said: str):
    file.with_suffix(".where").write_text(said)
    assert sealed(file, digest(DATA)).tobytes() == DATA
