"""A pull request is told what it does to the figures, by what both sides have committed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models.better import HIGHER, LOWER, NEAR, gain
from models.fault import Fault
from models.files import read_json, write_json, write_text
from models.ratio_study import FIGURES
from pipelines.comparison import main

ROOT = Path(__file__).resolve().parent.parent
PAGE = Path("data/reports/comparison.md")
LINE = """\
stages:
  evaluate:
    cmd: python measure.py
    deps: [measure.py]
    params: [seed]
    metrics:
      - data/reports/metrics.json: {cache: false}
    plots: [data/reports/plots]
"""
#: Stands for the line: what it writes follows from the seed.
MEASURE = """\
import json, pathlib, yaml
seed = yaml.safe_load(open("params.yaml"))["seed"]
reports = pathlib.Path("data/reports")
(reports / "plots").mkdir(parents=True, exist_ok=True)
told = {"n": 100, "mdape": seed / 1000, "r2": 0.9, "prb": -seed / 1000, "coverage": 0.9 + seed / 1000, "cod": None}
(reports / "metrics.json").write_text(json.dumps(told))
(reports / "plots/errors.png").write_text(f"a picture of {seed}")
(reports / "plots/map.png").write_text("a map")
"""
GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "init.defaultBranch=main", "-c", "gc.auto=0"]


def git(*words: str) -> None:
    subprocess.run([*GIT, *words], check=True, capture_output=True)


def measured(seed: int) -> None:
    """The line run with that seed, and what it wrote committed."""
    lines = (ROOT / "params.yaml").read_text().splitlines()
    write_text("params.yaml", "\n".join(f"seed: {seed}" if x.startswith("seed:") else x for x in lines))
    here = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], check=True, env=here)
    git("add", "--all")
    git("commit", "-qm", f"seed {seed}")


@pytest.fixture(scope="module")
def two_commits(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("compared") / "project"
    with pytest.MonkeyPatch.context() as patch:
        folder.mkdir()
        patch.chdir(folder)
        shutil.copytree(ROOT / "data/markets", "data/markets")
        write_text("dvc.yaml", LINE)
        write_text("measure.py", MEASURE)
        write_text(".gitignore", "/data/reports/*\n!/data/reports/metrics.json\n")
        git("init", "-q")
        subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], check=True)
        measured(80)
        measured(90)
    return folder


@pytest.fixture
def project(two_commits, tmp_path, monkeypatch) -> Path:
    shutil.copytree(two_commits, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return tmp_path


def compared(monkeypatch, *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["comparison", *words])
    main()
    return PAGE.read_text()


def test_metrics_parameters_and_plots_are_laid_side_by_side(project, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project / "summary.md"))
    told = compared(monkeypatch, "HEAD~1")
    assert "seed 80. Both sides" in told
    assert "not the figures of this change" not in told
    for row in (
        "| mdape | 0.0800 | 0.0900 | +0.0100 | ▼ worse |",
        "| prb | -0.0800 | -0.0900 | -0.0100 | ▼ worse |",
        "| r2 | 0.9000 | 0.9000 | +0.0000 | = |",
        "| n | 100 | 100 | +0 | = |",
        "| coverage | 0.9800 | 0.9900 | +0.0100 | ▼ worse |",
        "| cod |  |  |  |  |",
        "| errors.png | ![errors.png, before](comparison/before/errors.png) "
        "| ![errors.png, now](comparison/now/errors.png) |",
    ):
        assert row in told.splitlines()
    assert "| params.yaml | seed    | 80" in told
    assert "map.png" not in told
    pictures = [Path(f"data/reports/comparison/{side}/errors.png").read_text() for side in ("before", "now")]
    assert pictures == ["a picture of 80", "a picture of 90"]
    summary = (project / "summary.md").read_text()
    assert "Changed: errors.png." in summary
    assert "![" not in summary
    assert compared(monkeypatch, "HEAD~1") == told


def test_the_base_is_where_the_branch_left_main(project, monkeypatch):
    with pytest.raises(Fault, match="git knows no commit where this branch left origin/main"):
        compared(monkeypatch)
    git("update-ref", "refs/remotes/origin/main", "HEAD~1")
    assert "seed 80. Both sides" in compared(monkeypatch)
    with pytest.raises(Fault, match="git knows no commit nowhere"):
        compared(monkeypatch, "nowhere")


def test_figures_of_other_code_parameters_or_metrics_are_called_so(project, monkeypatch):
    write_text("measure.py", MEASURE + "# another model\n")
    write_text("params.yaml", Path("params.yaml").read_text().replace("seed: 90", "seed: 91"))
    write_json("data/reports/metrics.json", read_json("data/reports/metrics.json") | {"mdape": 0.01})
    told = compared(monkeypatch, "HEAD~1")
    assert "**These are not the figures of this change.**" in told
    for name in ("measure.py", "params.yaml: seed", "data/reports/metrics.json"):
        assert f"> - `{name}`" in told
    Path("measure.py").unlink()
    assert "> - `measure.py`" in compared(monkeypatch, "HEAD~1")


def test_a_clone_without_the_cache_knows_the_metrics_and_says_which_plots_it_lacks(project, monkeypatch):
    git("clone", "-q", ".", str(project / "clone"))
    monkeypatch.chdir(project / "clone")
    told = compared(monkeypatch, "HEAD~1")
    assert "| mdape | 0.0800 | 0.0900 | +0.0100 | ▼ worse |" in told
    assert "| data/reports/plots |" in told
    assert "They differ, and neither side's are in a cache that can be reached" in told


def test_pictures_of_one_side_alone_are_called_so(project, monkeypatch):
    shutil.rmtree(".dvc/cache")
    told = compared(monkeypatch, "HEAD~1")
    assert "Only one side's picture, or none, is in a cache that can be reached: errors.png, map.png." in told
    assert "| errors.png | not here | ![errors.png, now](comparison/now/errors.png) |" in told


def test_metrics_that_cannot_be_had_are_not_made_up(project, monkeypatch):
    git("rm", "-q", "--cached", "data/reports/metrics.json")
    git("commit", "-qm", "metrics out of git")
    assert "The metrics of before are neither in git nor in a cache" in compared(monkeypatch, "HEAD")


def test_every_figure_has_a_direction_or_none_is_meant():
    assert set(FIGURES) <= {"n", *LOWER, *HIGHER, *NEAR}
    for name, old, new in (
        ("mdape", 0.09, 0.08),
        ("r2", 0.8, 0.9),
        ("prd", 1.03, 0.98),
        ("churn_seed_p99", 0.02, 0.01),
    ):
        gained, lost = gain(name, old, new, 0.9), gain(name, new, old, 0.9)
        assert gained is not None
        assert lost is not None
        assert lost < 0 < gained
    assert gain("coverage", 0.85, 0.91, 0.9) == pytest.approx(0.04)
    assert gain("n", 1, 2, 0.9) is None
