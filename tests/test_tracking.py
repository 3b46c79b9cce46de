"""What is logged is logged once, found again, and goes under the project's run."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from pipelines import tracking
from pipelines.tracking import connect, find_or_create_run, find_run, home, record_study
from tests.line import GOOD, lay_line, lay_study

ROOT = Path(__file__).parents[1]


def runs(kind: str) -> list:
    client = connect("town").client
    experiments = [e.experiment_id for e in client.search_experiments()]
    return client.search_runs(experiments, f"tags.`assay.kind` = '{kind}'", order_by=["attributes.run_name ASC"])


def recorded(rounds: int = GOOD, keep_best: int = 1) -> str:
    lay_study(rounds)
    return record_study("town", keep_best)


def test_a_study_is_one_run_and_its_best_trials_lie_under_it(project):
    study = recorded(keep_best=2)
    found = connect("town").client.get_run(study)
    assert found.info.run_name == "town study 01234567"
    assert found.info.status == "FINISHED"
    assert found.data.params["best_num_leaves"] == "15"
    assert found.data.metrics == {"best": 0.1, "trials.complete": 3, "trials.pruned": 1}
    trials = runs("trial")
    assert [t.info.run_name for t in trials] == ["town trial 1", "town trial 3"]
    assert {t.data.tags["mlflow.parentRunId"] for t in trials} == {study}
    assert trials[0].data.params == {"num_leaves": "15"}
    assert trials[0].data.metrics == {"value": 0.1, "fold_2018_01": 0.1, "rounds": 80}
    table = connect("town").client.download_artifacts(study, "trials.csv")
    assert len(pd.read_csv(table)) == 4


def test_the_same_study_is_recorded_once(project):
    first = recorded(keep_best=2)
    assert recorded(keep_best=2) == first
    assert (len(runs("study")), len(runs("trial"))) == (1, 2)


def test_a_grown_study_is_another_run(project):
    assert recorded(80) != recorded(81)


def test_the_study_folder_is_left_as_it_was(project):
    study = lay_study()
    before = sorted(study.iterdir())
    record_study("town", keep_best=1)
    assert sorted(study.iterdir()) == before


def test_what_a_killed_process_left_half_logged_is_completed(project, monkeypatch):
    honest = MlflowClient.log_artifact
    monkeypatch.setattr("mlflow.MlflowClient.log_artifact", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        recorded()
    monkeypatch.setattr("mlflow.MlflowClient.log_artifact", honest)
    run_id = recorded()
    assert len(runs("study")) == 1
    assert connect("town").client.get_run(run_id).info.status == "FINISHED"
    assert [a.path for a in connect("town").client.list_artifacts(run_id, "plots")] == ["plots/history.png"]


def test_what_was_logged_last_is_shown(project):
    here = connect("town")
    for figure in (3, 0, 2, 2):
        run = find_or_create_run(here, "candidate", "0" * 64, "town")
        tracking.log(here, run, params={}, metrics={"gate.not_passed": figure}, tags={})
        assert here.client.get_run(run.info.run_id).data.metrics == {"gate.not_passed": figure}


def test_a_clock_set_back_hides_nothing(project, monkeypatch):
    here = connect("town")
    for figure, clock in ((3, 2_000_000_000), (0, 1_000_000_000)):
        monkeypatch.setattr("pipelines.tracking.time.time_ns", lambda clock=clock: clock * 1_000_000_000)
        run = find_or_create_run(here, "candidate", "0" * 64, "town")
        tracking.log(here, run, params={}, metrics={"gate.not_passed": figure}, tags={})
    assert here.client.get_run(run.info.run_id).data.metrics == {"gate.not_passed": 0}


def test_under_a_project_run_everything_is_its_child_in_its_experiment(project, monkeypatch):
    client = connect("town").client
    experiment = client.create_experiment("somewhere else", artifact_location=str(project / "elsewhere"))
    parent = client.create_run(experiment)
    monkeypatch.setenv("MLFLOW_RUN_ID", parent.info.run_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    study = client.get_run(recorded())
    assert study.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert study.info.experiment_id == experiment
    assert client.get_run(parent.info.run_id).data.metrics == {}
    monkeypatch.delenv("MLFLOW_RUN_ID")
    assert recorded() == study.info.run_id


def test_a_project_run_of_another_server_is_no_parent(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    assert connect("town").parent_run_id is None


def test_a_deleted_experiment_comes_back(project):
    here = connect("town")
    here.client.delete_experiment(here.experiment_id)
    assert connect("town").experiment_id == here.experiment_id
    recorded()


def test_another_server_is_taken_from_the_environment(project, monkeypatch, tmp_path):
    (tmp_path / "other").mkdir()
    (project / "mlflow.db").rename(tmp_path / "other" / "team.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other/team.db")
    recorded()
    assert not (project / "mlflow.db").exists()
    assert len(runs("study")) == 1


def test_a_database_that_is_none_is_named(project):
    (project / "mlflow.db").write_text("not a database, and long enough to be looked at " * 100)
    with pytest.raises(tracking.TrackingError, match=r"mlflow.db can't be used"):
        connect("town")


@pytest.mark.parametrize("error", [MlflowException("the disk is full"), SQLAlchemyError("the disk is full")])
def test_a_database_that_fails_later_is_named(project, monkeypatch, error):
    monkeypatch.setattr("mlflow.MlflowClient.log_batch", lambda *_, **__: (_ for _ in ()).throw(error))
    with pytest.raises(tracking.TrackingError, match=r"mlflow.db can't be used: the disk is full"):
        recorded()


def test_a_server_that_is_down_is_named(project, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(tracking.TrackingError, match=f"MLflow at {uri} can't be used"):
            connect("town")


def test_a_queued_experiment_logs_to_its_project(project, monkeypatch):
    inside = project / ".dvc" / "tmp" / "exps" / "standalone" / "tmpabc"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert home() == project
    recorded()
    assert not (inside / "mlflow.db").exists()
    monkeypatch.chdir(project)
    assert len(runs("study")) == 1


def test_the_mlproject_nests_a_stage_under_its_run(project):
    """`mlflow run` sets MLFLOW_RUN_ID for the stage; promote stands for all that log."""
    lay_line()
    script = "from pipelines.promote import promote; from tests.line import BOUNDS; promote(BOUNDS, False)"
    (project / "stage.py").write_text(script)
    (project / "MLproject").write_text("name: town\nentry_points:\n  promote:\n    command: 'python stage.py'\n")
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "MLFLOW_TRACKING_URI": f"sqlite:///{project}/mlflow.db",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [sys.executable, "-m", "mlflow", "run", ".", "-e", "promote", "--env-manager", "local"]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    client = connect("town").client
    child = runs("candidate")[0]
    parent = client.get_run(child.data.tags["mlflow.parentRunId"])
    assert parent.data.tags["mlflow.project.entryPoint"] == "promote"
    assert "mdape" not in parent.data.metrics
    assert child.data.metrics["mdape"] > 0


def test_a_run_is_found_by_what_it_records(project):
    assert find_run(connect("town"), "study", "0" * 64) is None
