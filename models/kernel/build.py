"""The kernel compiled, once for each machine: `python -m models.kernel.build`."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from models.fault import Fault

SOURCES = tuple(sorted(Path(__file__).parent.glob("*.[ch]")))
#: Nothing that changes a result: no fused multiplication, no reordered sums.
FLAGS = ("-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-shared", "-fPIC", "-pthread")


class NoKernel(Fault):
    """The kernel can't be compiled or loaded here; LightGBM answers in its place."""


def library() -> Path:
    """The compiled kernel, made if it is not there yet.

    Raises:
        NoKernel: when there is no compiler, or it fails.
    """
    compiler = _compiler()
    told = b"\0".join([*(s.read_bytes() for s in SOURCES), *map(str.encode, (*FLAGS, *compiler, _processor()))])
    name = f"kernel-{sha256(told).hexdigest()[:16]}.so"
    for folder in (SOURCES[0].parent / "__pycache__", Path(tempfile.gettempdir()) / f"assay-kernel-{os.getuid()}"):
        if (folder / name).is_file() and _ours(folder / name):
            return folder / name
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            return _compile(compiler, folder / name)
        except OSError:
            continue  # an installation that nobody may write to
    raise NoKernel(f"no folder to keep {name} in can be written to")


def _compiler() -> list[str]:
    if "CC" in os.environ:
        return shlex.split(os.environ["CC"])
    if find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "cc"]
    if (found := shutil.which("cc")) is not None:
        return [found]
    raise NoKernel("there is no C compiler: install the package ziglang, or let CC name one")


def _compile(compiler: list[str], target: Path) -> Path:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    try:
        command = [*compiler, *FLAGS, "-o", name, *(str(s) for s in SOURCES if s.suffix == ".c"), "-lm"]
        caches = dict.fromkeys(("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"), str(target.parent / "zig"))
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | caches)
        if done.returncode:
            raise NoKernel(f"{' '.join(compiler)} can't compile {SOURCES[0].parent}: {done.stderr.strip()[-500:]}")
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)
    return target


def _ours(path: Path) -> bool:
    """Whether nobody else could have put it there."""
    return path.stat().st_uid == os.getuid() and path.parent.stat().st_uid == os.getuid()


def _processor() -> str:
    """What -march=native is native to: a library of another processor would die of an illegal instruction."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        import platform

        return " ".join(platform.uname()[3:])
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def main() -> int:
    try:
        print(f"Kernel: {library()}")
    except NoKernel as error:
        print(f"No kernel: {error}. LightGBM explains values in its place, many times slower.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
