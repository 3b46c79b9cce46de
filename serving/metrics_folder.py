"""The folder in which the metrics of all workers lie, so that any one of them can tell the sum.

Nothing here imports `prometheus_client`: it decides once, on its first import and by the environment,
whether values live in files.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from serving.logs import tell

FOLDER = Path(".assay/metrics")
SETTING = "PROMETHEUS_MULTIPROC_DIR"
#: Bytes a file: several times what all our labels need, so that none has to grow.
SIZE = 256 << 10


def prepare(folder: Path = FOLDER) -> dict[str, str]:
    """An empty folder for the workers about to be started, and the environment they need; empty where it can't be.

    Counts begin anew with a server; those of a worker that ended stay, for a sum must not fall.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in folder.glob("*.db"):
            file.unlink()
    except OSError as error:
        tell("metrics-local", logging.WARNING, why=str(error))
        return {}
    return {SETTING: str(folder.absolute())}


def reserve(kinds: Sequence[str]) -> OSError | None:
    """Room on the disk for this process's metrics; where there is none, they stay in memory, and the error says why.

    The files are mapped, and a first write to a page that a full disk has no room for kills the process.
    """
    if SETTING not in os.environ:
        return None
    folder = Path(os.environ[SETTING])
    made = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for kind in kinds:
            path = folder / f"{kind}_{os.getpid()}.db"
            made.append(path)
            with path.open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, SIZE)
    except OSError as error:
        for path in made:
            path.unlink(missing_ok=True)
        del os.environ[SETTING]
        return error
    return None
