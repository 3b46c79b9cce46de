"""comparison: what a change does to the figures: metrics, parameters, data and plots beside those of a commit.

    python -m pipelines.comparison [BASE]

BASE is the commit to compare with; left out, the one where this branch left `origin/main`. Both sides are what
their authors' runs have committed: nothing is trained here. Writes `data/reports/comparison.md` with the plots
beside it, and adds the text to the file that `$GITHUB_STEP_SUMMARY` names.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dvc.api import DVCFileSystem
from ruamel.yaml import YAML

from models.bundle import MANIFEST
from models.fault import Fault
from models.files import digest, read_json, write_bytes, write_text
from pipelines.comparison_page import Comparison, Output, Plot, page
from pipelines.params import load_params
from pipelines.places import BUNDLE, COMPARISON, METRICS, PLOTS, VERDICT
from pipelines.stage import run

MAIN = "origin/main"
LOCKED = Path("dvc.lock")
PARAMS = Path("params.yaml")


@dataclass(frozen=True)
class Side:
    """A commit, or the working folder where `commit` is None, with what DVC can bring of its data."""

    commit: str | None

    @cached_property
    def files(self) -> Any:
        return DVCFileSystem(rev=self.commit)

    @cached_property
    def lock(self) -> Mapping[str, Any]:
        """The stages as they were run."""
        read = self.read(LOCKED)
        return {} if read is None else YAML(typ="safe").load(read)["stages"]

    def read(self, path: Path) -> bytes | None:
        """From the folder, git, the cache or the remote; None where none of them has it."""
        if self.commit is None and path.is_file():
            return path.read_bytes()
        return _had(lambda: bytes(self.files.read_bytes(path.as_posix())))

    def metrics(self) -> dict[str, float | None] | None:
        read = self.read(METRICS)
        return None if read is None else json.loads(read)

    def plots(self) -> list[str]:
        """Their names; none where the list of them can't be had."""
        if self.commit is None and PLOTS.is_dir():
            return sorted(path.name for path in PLOTS.iterdir())
        return sorted(Path(path).name for path in _had(lambda: self.files.find(PLOTS.as_posix())) or ())

    def output(self, path: Path) -> str | None:
        """The digest that the stage which made it has left in `dvc.lock`."""
        return self.outputs.get(path.as_posix())

    @property
    def outputs(self) -> dict[str, str]:
        return {out["path"]: out["md5"] for stage in self.lock.values() for out in stage.get("outs", ())}


def main() -> None:
    base = commit_of(sys.argv[1] if len(sys.argv) > 1 else None)
    before, now = Side(base), Side(None)
    told = Comparison(
        base=_git("log", "-1", "--format=%h, %s", base),
        before=before.metrics(),
        now=now.metrics(),
        level=load_params().serve.level,
        stale=stale(now),
        verdict=verdict(),
        params=params_changed(base),
        outputs=outputs_changed(before, now),
        plots=plots_changed(before, now),
    )
    text = page(told, pictures=COMPARISON.stem)
    write_text(COMPARISON, text)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(page(told, pictures=None))
    print(text)


def commit_of(base: str | None) -> str:
    """The commit to compare with, in full.

    Raises:
        Fault: when git doesn't know it.
    """
    found = _git("merge-base", MAIN, "HEAD") if base is None else _git("rev-parse", "--verify", f"{base}^{{commit}}")
    if not found:
        raise Fault(
            f"git knows no commit {base or f'where this branch left {MAIN}'}; name one, as in `.ci/compare HEAD~1`, "
            f"and fetch it first (CI services often clone the last commit alone)"
        )
    return found


def stale(now: Side) -> list[str]:
    """What differs from what the line was last run with, so that the figures are not of this change."""
    found = set()
    for stage in now.lock.values():
        for dep in stage.get("deps", ()):
            path = Path(dep["path"])
            here = _md5(path.read_bytes()) if path.is_file() else None
            if here != dep["md5"] and (here or path.suffix == ".py"):  # a clone has no data, but all of the code
                found.add(dep["path"])
        for name, value in stage.get("params", {}).get(PARAMS.name, {}).items():
            if _param(name) != value:
                found.add(f"{PARAMS}: {name}")
    measured = now.read(METRICS)
    if measured is not None and _md5(measured) != now.output(METRICS):
        found.add(str(METRICS))
    return sorted(found)


def verdict() -> Mapping[str, Any] | None:
    """The gate's on the model in `data/model`, where the line has been run in this folder."""
    if not (VERDICT.is_file() and (BUNDLE / MANIFEST).is_file()):
        return None
    told = read_json(VERDICT)
    return told if told.get("model") == digest((BUNDLE / MANIFEST).read_bytes()) else None


def params_changed(base: str) -> str:
    """DVC's own table of them; empty where none has."""
    command = [sys.executable, "-m", "dvc", "params", "diff", "--md", "--targets", PARAMS.name, "--", base[:12]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Fault(f"dvc could not compare the parameters with {base}: {done.stderr.strip()}")
    rows = done.stdout.strip().splitlines()
    return "\n".join(rows) if len(rows) > 2 else ""


def outputs_changed(before: Side, now: Side) -> list[Output]:
    paths = sorted({*before.outputs, *now.outputs})
    told = [Output(path, before.outputs.get(path), now.outputs.get(path)) for path in paths]
    return [one for one in told if one.before != one.now]


def plots_changed(before: Side, now: Side) -> list[Plot] | None:
    """Those that differ or can't be looked at, None where neither side's can; both pictures are laid beside the page,
    as far as they can be had."""
    folder = COMPARISON.with_suffix("")
    if folder.exists():
        shutil.rmtree(folder)
    if before.output(PLOTS) == now.output(PLOTS):
        return []
    found, names = [], sorted({*before.plots(), *now.plots()})
    for name in names:
        old, new = before.read(PLOTS / name), now.read(PLOTS / name)
        if old is None or new is None or old != new:
            for side, picture in (("before", old), ("now", new)):
                if picture is not None:
                    write_bytes(folder / side / name, picture)
            found.append(Plot(name, old is not None, new is not None))
    return found if names else None


def _had(look: Callable[[], Any]) -> Any:
    """What DVC can bring, or None; it has no public error for all the ways in which a cache may lack something."""
    try:
        return look()
    except Exception:
        return None


def _md5(data: bytes) -> str:
    """As `dvc.lock` names files."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _param(name: str) -> Any:
    value: Any = YAML(typ="safe").load(PARAMS)
    for key in name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


if __name__ == "__main__":
    run(main)
