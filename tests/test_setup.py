"""Setting up on a machine that lacks something: said plainly, and nothing of the user's is touched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def make_env(*arguments: str, path: str) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", ".ci/make-env", *arguments]
    return subprocess.run(command, cwd=ROOT, env={"PATH": path}, capture_output=True, text=True)


def test_without_a_fitting_python_it_says_which_ones_fit(tmp_path: Path) -> None:
    shim = tmp_path / "python3.12"  # stands on the PATH, as version managers leave them, and can't start
    shim.write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    shim.chmod(0o755)
    done = make_env(str(tmp_path / "new"), path=str(tmp_path))
    assert done.returncode == 1
    assert "No Python 3.11, 3.12 or 3.13 was found" in done.stderr
    assert "make env PYTHON=" in done.stderr


def test_a_named_python_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    done = make_env(str(tmp_path / "new"), "python2.7", path=str(tmp_path))
    assert done.returncode == 1
    assert "PYTHON=python2.7 is not a Python 3.11, 3.12 or 3.13 that starts" in done.stderr


def test_a_folder_that_is_no_environment_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    done = make_env(str(tmp_path), sys.executable, path="/usr/bin:/bin")
    assert done.returncode == 1
    assert "is left alone" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
