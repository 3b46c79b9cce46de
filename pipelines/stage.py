"""How a stage runs: timed; what a person can mend ends it with one message, anything else with its traceback."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from models.fault import Fault


def run(stage: Callable[[], None]) -> None:
    name = Path(sys.argv[0]).stem
    began = time.monotonic()
    try:
        stage()
    except Fault as fault:
        sys.exit(f"{name}: {fault}")
    except FileNotFoundError as error:
        sys.exit(f"{name}: {error.filename or error} isn't there; `dvc repro` runs the stages that make it")
    print(f"{name} took {time.monotonic() - began:.1f} s")
