"""The layouts of this machine: found, or made by a child process, one at a time among all workers."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from models.kernel.build import NoKernel
from models.kernel.walk import kernel
from models.layout import LayoutError, code_digest
from serving.champion import (
    Champion,
    NoChampion,
    Pointer,
    folder_of,
    key_path,
    pointer_path,
    prove,
    read_champion,
    read_key,
    read_laid_out,
    read_pointer,
)
from serving.logs import tell

#: The last few stay, so that a rollback is as quick as a look.
KEPT = 4
#: Seconds after which a child that lays out is given up.
PATIENCE = 900
ROOT = Path(__file__).resolve().parent.parent


def layouts_path() -> Path:
    """Where they are kept; relative to the directory the server was started in."""
    return Path(os.environ.get("ASSAY_LAYOUTS", ".assay/layouts"))


class Layouts:
    """Kept in one folder, each under the digests of bundle and memory and of the code that made it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    def of(self, pointer: Pointer) -> Path:
        memory = pointer.memory or "own"
        return self.folder / f"{pointer.digest[:16]}-{memory[:16]}-{self._code[:8]}"

    def load(self, pointer: Pointer, key: bytes) -> Champion:
        """The version laid out, made so first where it is not yet, and proven.

        Raises:
            NoChampion: when it was refused.
        """
        champion = self._found(pointer, key) or self._made(pointer, key)
        prove(champion.valuer, pointer.tag)
        return champion

    def _found(self, pointer: Pointer, key: bytes) -> Champion | None:
        place = self.of(pointer)
        if not place.is_dir():
            return None
        try:
            kernel()  # nothing else walks a layout
            champion = read_laid_out(place, pointer, key)
        except LayoutError:
            shutil.rmtree(place, ignore_errors=True)
            return None
        except NoKernel:
            return None
        except NoChampion:  # signed with another key by now, perhaps: the version itself will tell
            return None
        with contextlib.suppress(OSError):
            os.utime(place)  # in use
        return champion

    def _made(self, pointer: Pointer, key: bytes) -> Champion:
        with self._alone():
            if (found := self._found(pointer, key)) is not None:  # by another worker, meanwhile
                return found
            folder = folder_of(pointer.tag)
            told = self._ask_child(folder, pointer, key)
            if "refused" in told:
                raise NoChampion(told["refused"])
            if "plain" in told:  # the child has read the bundle and lived
                tell("kernel-missing", logging.WARNING, tag=pointer.tag, why=told["plain"])
                return read_champion(folder, pointer, key)
            self._prune()
        if (champion := self._found(pointer, key)) is None:
            raise NoChampion(f"the layout of {pointer.tag} was damaged as soon as it was made; look at the disk")
        return champion

    def _ask_child(self, folder: Path, pointer: Pointer, key: bytes) -> dict[str, str]:
        with tempfile.NamedTemporaryFile(suffix=".pem") as key_file:
            key_file.write(key)
            key_file.flush()
            told = json.dumps({"tag": pointer.tag, "digest": pointer.digest, "memory": pointer.memory})
            options = [str(folder.absolute()), str(self.of(pointer)), "--pointer", told, "--key", key_file.name]
            paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
            try:
                done = subprocess.run(
                    [sys.executable, "-m", "serving.prepare", *options],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=PATIENCE,
                    env=os.environ | {"PYTHONPATH": paths},
                )
            except subprocess.TimeoutExpired:
                raise NoChampion(f"laying {pointer.tag} out did not end within {PATIENCE} s") from None
        if done.returncode:
            how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
            last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
            raise NoChampion(f"the process that read {pointer.tag} ended with {how}: {last[0]}")
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def _prune(self) -> None:
        places = [path for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
        for path in sorted(places, key=lambda path: path.stat().st_mtime)[:-KEPT]:
            shutil.rmtree(path, ignore_errors=True)  # a worker that still serves it keeps its pages

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """While another worker lays out, this one waits."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self.folder / ".lock").open("w")
        except OSError as error:
            raise NoChampion(f"layouts can't be kept in {self.folder}: {error}; ASSAY_LAYOUTS names another") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @cached_property
    def _code(self) -> str:
        return code_digest()


def main() -> int:
    """`python -m serving.layouts`: the promoted version laid out, so that a server that starts now is ready at once."""
    try:
        pointer, key = read_pointer(pointer_path()), read_key(key_path())
        layouts = Layouts(layouts_path())
        if not layouts.of(pointer).is_dir():
            print(f"Laying {pointer.tag} out for serving: up to a minute, once for each version.", flush=True)
        layouts.load(pointer, key)
    except NoChampion as error:
        print(f"Nothing to lay out: {error}", file=sys.stderr)
        return 1
    print(f"Laid out: {layouts.of(pointer)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
