"""The whole line, as a data scientist runs it, on a market that no code has seen: one file, one word in params.yaml."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from models.files import digest, read_json
from models.ratio_study import study
from pipelines.market_file import load_market
from tests.conftest import ROOT
from tests.second_market import NAME, SOURCE, write_second_market
from tests.served import serving

EVERY_STAGE = ["ingest", "validate", "split", "tune", "train", "evaluate", "promote"]


class Project:
    """A checkout of its own, with its own git, DVC cache, registry and store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        kept = {k: v for k, v in os.environ.items() if k not in ("BENTOML_HOME", "MLFLOW_TRACKING_URI")}
        self.env = kept | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "SHELL": "/bin/sh"}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=self.root, env=self.env, capture_output=True, text=True, check=False)

    def repro(self) -> tuple[list[str], str]:
        """The stages that ran, and all that was printed."""
        done = self.run("dvc", "repro")
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        return [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")], said

    def edit(self, path: str, old: str, new: str) -> None:
        text = (self.root / path).read_text()
        assert old in text, f"{path} no longer says {old!r}"
        (self.root / path).write_text(text.replace(old, new))

    def json(self, path: str) -> Any:
        return read_json(self.root / path)

    def champion(self) -> tuple[str, str]:
        """The digest that the registry's alias names, and the one that the server would load."""
        client = mlflow.MlflowClient(f"sqlite:///{self.root}/mlflow.db")
        version = client.get_model_version_by_alias(f"valuation-{NAME}", "champion")
        return str(version.tags["assay.digest"]), str(self.json(".assay/champion.json")["digest"])


@pytest.fixture(scope="module")
def project_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("line") / "assay"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        if name != "dvc.lock" and (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    write_second_market(root)
    yield root
    mlflow.set_tracking_uri("")


@pytest.fixture(scope="module")
def line(project_folder: Path) -> Project:
    """The line, run from nothing to its first champion."""
    project = Project(project_folder)
    project.edit("params.yaml", "market: seattle", f"market: {NAME}")
    project.edit("params.yaml", "trials: 32 ", "trials: 6 ")
    project.edit("params.yaml", "bags: 32 ", "bags: 4 ")
    project.run("git", "init", "--quiet")
    project.run("git", "add", "--all")
    who = ("-c", "user.name=A tester", "-c", "user.email=tester@assay.invalid")
    project.run("git", *who, "commit", "--quiet", "--message", "A market")
    stages, said = project.repro()
    assert stages == EVERY_STAGE
    assert "PROMOTED" in said
    return project


@pytest.fixture
def changing(line: Project) -> Iterator[Project]:
    """The line for a test that changes it: parameters, data and champion are afterwards as before."""
    params, sales = (line.root / "params.yaml").read_text(), (line.root / SOURCE).read_bytes()
    declaration = line.root / f"data/markets/{NAME}.yaml"
    declared = declaration.read_text()
    champion = line.champion()
    yield line
    (line.root / "params.yaml").write_text(params)
    (line.root / SOURCE).write_bytes(sales)
    declaration.write_text(declared)
    line.repro()
    assert line.champion() == champion


def test_one_file_takes_a_market_to_a_served_value(line: Project, tmp_path: Path) -> None:
    env = line.env | {"BENTOML_HOME": str(line.root / ".assay/bentoml")}
    with serving("serving.service:Valuation", line.root, env, tmp_path / "log") as server:
        card = server.get("/model").json()
        answer = server.post("/value", card["example"]).json()
    assert answer["currency"] == "EUR"
    assert answer["range"]["low"] < answer["value"] < answer["range"]["high"]
    assert answer["model"]["digest"] == line.champion()[1]
    assert {reason["name"] for reason in answer["reasons"]} >= {"location", "market", "rounding"}


def test_it_beats_the_forest_on_the_declared_columns_and_every_other_reference_model(line: Project) -> None:
    evaluation = line.json("data/reports/evaluation.json")
    ours = evaluation["figures"]["mdape"]
    assert "raw_forest" in evaluation["references"]
    assert [name for name, figures in evaluation["references"].items() if figures["mdape"] <= ours] == []


def test_the_memory_takes_in_new_sales_without_training(changing: Project, tmp_path: Path) -> None:
    before = changing.json(".assay/champion.json")
    assert changing.run("python", "-m", "pipelines.refresh").returncode == 0
    pointer = changing.json(".assay/champion.json")
    assert pointer == before | {"memory": pointer["memory"]}
    again = changing.run("python", "-m", "pipelines.refresh")
    assert "nothing to do" in again.stdout
    assert changing.json(".assay/champion.json") == pointer
    assert changing.repro()[0] == ["promote"]
    assert changing.json(".assay/champion.json") == pointer
    env = changing.env | {"BENTOML_HOME": str(changing.root / ".assay/bentoml")}
    with serving("serving.service:Valuation", changing.root, env, tmp_path / "log") as server:
        answer = server.post("/value", server.get("/model").json()["example"]).json()
    assert answer["model"]["memory"] == pointer["memory"]
    sales = pd.read_parquet(changing.root / "data/validated/sales.parquet")
    assert answer["model"]["memory_end"] == f"{sales['sale_date'].max():%Y-%m-%d}"


def test_what_changed_between_two_days_and_two_versions_adds_up_to_the_cent(changing: Project) -> None:
    home = str(pd.read_parquet(changing.root / "data/validated/sales.parquet")["property_id"].iloc[-1])
    for sides in (["--from", "2019-02-01", "--to", "2019-09-15"], ["--from", "v1@2019-02-01", "--to", "v1"]):
        done = changing.run("python", "-m", "pipelines.changed", home, *sides)
        assert done.returncode == 0, done.stderr
        amounts = [float(line.split()[-1].replace(",", "")) for line in done.stdout.splitlines()[1:9] if "  " in line]
        before, *steps, after = amounts[:7]
        assert before > 0 < after
        assert any(steps)
        assert round(100 * before) + sum(round(100 * step) for step in steps) == round(100 * after)
    for wrong, says in (
        (["--from", "v7"], "no whole"),
        (["--to", "soon"], "is no side"),
        (["--to", "2019-13-01"], "no day"),
    ):
        refused = changing.run("python", "-m", "pipelines.changed", home, *wrong)
        assert refused.returncode == 1
        assert says in refused.stderr
    assert "has no sale of 'nobody'" in changing.run("python", "-m", "pipelines.changed", "nobody").stderr


def test_all_places_that_tell_a_figure_tell_the_same(line: Project) -> None:
    assert line.run("python", "-m", "pipelines.scorecard").returncode == 0
    scorecard, evaluation = line.json("data/reports/scorecard.json"), line.json("data/reports/evaluation.json")
    valued = pd.read_parquet(line.root / "data/reports/holdout.parquet")
    again = study(valued["value"].to_numpy(), valued["price"].to_numpy())
    assert {k: scorecard[k] for k in again} == again == evaluation["figures"]
    for name, figures in evaluation["references"].items():
        assert scorecard[name] == figures
    client = mlflow.MlflowClient(f"sqlite:///{line.root}/mlflow.db")
    metrics = client.get_run(scorecard["model"]["run"]).data.metrics
    assert {k: metrics[k] for k in again} == pytest.approx(again)


def test_nothing_changed_means_nothing_done_but_a_look_at_the_registry(line: Project) -> None:
    stages, said = line.repro()
    assert stages == ["promote"]
    assert "NOTHING NEW" in said


def test_a_changed_parameter_runs_what_hangs_on_it_and_no_more(changing: Project) -> None:
    changing.edit("params.yaml", "level: 0.9 ", "level: 0.8 ")
    assert changing.repro()[0] == ["train", "evaluate", "promote"]
    changing.edit("params.yaml", "margin: 0.002", "margin: 0.003")
    assert changing.repro()[0] == ["promote"]


def test_a_worse_model_is_refused_in_words_and_the_champion_stays(changing: Project) -> None:
    champion = changing.champion()
    changing.edit("params.yaml", "max_rounds: 400", "max_rounds: 3")
    _, said = changing.repro()
    assert "REFUSED" in said
    assert "typical error" in said
    assert "The champion stays v1" in said
    assert changing.champion() == champion


def test_an_experiment_is_logged_and_never_moves_the_champion(changing: Project) -> None:
    champion = changing.champion()
    done = changing.run("dvc", "exp", "run", "--name", "shallow", "--set-param", "tune.max_rounds=600")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "EXPERIMENT" in done.stdout
    assert changing.champion() == champion


def test_a_lost_registry_comes_back_without_training(changing: Project) -> None:
    champion = changing.champion()
    (changing.root / "mlflow.db").unlink()
    shutil.rmtree(changing.root / "mlartifacts")
    stages, _ = changing.repro()
    assert stages == ["promote"]
    assert changing.champion() == champion


def test_a_bad_row_stops_the_line_and_the_champion_goes_on(changing: Project) -> None:
    champion = changing.champion()
    rows = (changing.root / SOURCE).read_text().splitlines()
    head = rows[0].split(";")
    cells = rows[5].split(";")
    old = digest((changing.root / SOURCE).read_bytes())
    cells[head.index(load_market(changing.root / f"data/markets/{NAME}.yaml").columns["price"])] = ""
    planted = "\n".join([*rows[:5], ";".join(cells), *rows[6:]]) + "\n"
    (changing.root / SOURCE).write_text(planted)
    changing.edit(f"data/markets/{NAME}.yaml", old, digest(planted.encode()))
    done = changing.run("dvc", "repro")
    assert done.returncode != 0
    assert "price" in done.stderr
    assert (changing.root / "data/reports/validation.html").is_file()
    assert changing.champion() == champion
