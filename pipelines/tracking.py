"""MLflow, so used that everything in it can be made again from files.

Runs are found by the digest of what they record before they are created, so a repeated stage adds
nothing and a lost database fills again. Only the client API is used, never the "active run": under
`mlflow run` every process would otherwise write into the one run named by MLFLOW_RUN_ID. That run
becomes the parent instead.
"""

from __future__ import annotations

import getpass
import logging
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from models.fault import Fault
from models.files import digest, file_digest, json_bytes, read_json, write_bytes
from pipelines.places import BEST, STUDY, TRIALS

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

DIGEST, KIND, LOGGED, KEPT = "assay.digest", "assay.kind", "assay.logged", "assay.kept"
NOTE = "mlflow.note.content"
PLOTS = (".html", ".png")
SETTINGS = {
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # With MLflow's own seven retries, a server that is down holds the line up for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}


class TrackingError(Fault):
    """MLflow can't be used; the text says what was tried and what to do."""


@dataclass(frozen=True)
class Tracking:
    """A connection: the server, the experiment new runs go to, and the run they go under."""

    uri: str
    client: MlflowClient
    experiment_id: str
    parent_run_id: str | None


def home() -> Path:
    """The project folder whose database, store and champion count: the current one.

    DVC runs queued experiments in a copy under the project's `.dvc/tmp`; what they log belongs to the project.
    """
    here = Path.cwd()
    return next((parent.parent for parent in here.parents if parent.name == ".dvc"), here)


def connect(market: str) -> Tracking:
    """The tracking server of MLFLOW_TRACKING_URI, else a SQLite file in the project folder.

    Raises:
        TrackingError: when it can't be reached.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    import mlflow

    chosen = os.environ.get("MLFLOW_TRACKING_URI")
    uri = chosen or f"sqlite:///{home() / 'mlflow.db'}"
    with answering(uri, OSError):
        if not chosen:
            _create_database(home() / "mlflow.db")
        mlflow.set_tracking_uri(uri)
        if not chosen:  # MLflow writes it there, where it would look like the user's choice
            os.environ.pop("MLFLOW_TRACKING_URI", None)
        client = mlflow.MlflowClient(uri)
        parent = _project_run(client)
        if parent is not None:
            return Tracking(uri, client, parent.info.experiment_id, parent.info.run_id)
        artifacts = str(home() / "mlartifacts") if uri.startswith("sqlite") else None
        return Tracking(uri, client, _experiment(client, f"valuation-{market}", artifacts), None)


@contextmanager
def answering(uri: str, *more: type[Exception]) -> Iterator[None]:
    """What MLflow, or its database, raises inside ends as a TrackingError; so does what else is given."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    caught: tuple[type[Exception], ...] = (MlflowException, SQLAlchemyError, *more)
    try:
        yield
    except caught as error:
        raise TrackingError(
            f"MLflow at {uri} can't be used: {error}\nCheck MLFLOW_TRACKING_URI; a damaged local database may be "
            f"deleted, `dvc repro` fills a new one without training"
        ) from error


def _create_database(path: Path) -> None:
    """Made beside its place and renamed: a kill during MLflow's many migrations leaves nothing half made."""
    if path.exists():
        return
    from mlflow import MlflowClient

    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    MlflowClient(f"sqlite:///{fresh}").search_experiments(max_results=1)
    fresh.replace(path)


def _project_run(client: MlflowClient) -> Run | None:
    from mlflow.exceptions import MlflowException

    run_id = os.environ.get("MLFLOW_RUN_ID")
    if not run_id:
        return None
    try:
        return client.get_run(run_id)
    except MlflowException:  # another server's run: there is nothing here to go under
        return None


def _experiment(client: MlflowClient, name: str, artifacts: str | None) -> str:
    from mlflow.exceptions import MlflowException

    if (known := client.get_experiment_by_name(name)) is None:
        try:
            return client.create_experiment(name, artifact_location=artifacts)
        except MlflowException:  # another process was first
            known = client.get_experiment_by_name(name)
            if known is None:
                raise
    if known.lifecycle_stage == "deleted":
        client.restore_experiment(known.experiment_id)
    return known.experiment_id


def find_run(tracking: Tracking, kind: str, found_digest: str) -> Run | None:
    """The run of any experiment that records this, the oldest if several do."""
    experiments = [e.experiment_id for e in tracking.client.search_experiments()]
    runs = tracking.client.search_runs(
        experiments,
        f"tags.`{KIND}` = '{kind}' and tags.`{DIGEST}` = '{found_digest}'",
        order_by=["attributes.start_time ASC"],
        max_results=1,
    )
    return runs[0] if runs else None


def find_or_create_run(tracking: Tracking, kind: str, found_digest: str, name: str, parent: str | None = None) -> Run:
    if (run := find_run(tracking, kind, found_digest)) is not None:
        return run
    tags = {
        KIND: kind,
        DIGEST: found_digest,
        "mlflow.user": getpass.getuser(),
        "mlflow.source.name": f"pipelines.{os.environ.get('DVC_STAGE', kind)}",
        "mlflow.source.type": "LOCAL",
    }
    if parent := parent or tracking.parent_run_id:
        tags["mlflow.parentRunId"] = parent
    return tracking.client.create_run(tracking.experiment_id, run_name=name, tags=tags)


def log(
    tracking: Tracking,
    run: Run,
    *,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    files: Iterable[tuple[Path, str]] = (),
    texts: Mapping[str, str] | None = None,
) -> None:
    """Records it all in the run, unless the run already holds the same.

    Args:
        files: artifacts and the folder of each; those that don't exist are left out.
        texts: artifacts by their path.
    """
    files, texts = [(path, folder) for path, folder in files if path.is_file()], texts or {}
    content = [dict(params), dict(metrics), dict(tags), [[file_digest(p), f, p.name] for p, f in files], texts]
    logged = digest(json_bytes(content))
    if run.data.tags.get(LOGGED) == logged:
        return
    from mlflow.entities import Metric, Param, RunTag

    client, run_id = tracking.client, run.info.run_id
    # MLflow refuses another value for a known parameter: two settings can give the same model.
    fresh = [Param(k, str(v)) for k, v in params.items() if k not in run.data.params]
    client.log_batch(
        run_id,
        metrics=[Metric(k, float(v), _later(client, run, k), 0) for k, v in metrics.items()],
        params=fresh,
        tags=[RunTag(k, str(v)) for k, v in tags.items()],
    )
    for path, folder in files:
        client.log_artifact(run_id, str(path), folder or None)
    for name, text in texts.items():
        client.log_text(run_id, text, name)
    client.set_terminated(run_id)
    client.set_tag(run_id, LOGGED, logged)


def keep_files(tracking: Tracking, run_id: str, files: Mapping[str, bytes]) -> None:
    """Artifacts by their name that are known only after all else is logged, unless the run already holds them."""
    kept = digest(json_bytes({name: digest(content) for name, content in files.items()}))
    if tracking.client.get_run(run_id).data.tags.get(KEPT) == kept:
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            write_bytes(Path(folder) / name, content)
        tracking.client.log_artifacts(run_id, folder)
    tracking.client.set_tag(run_id, KEPT, kept)


def _later(client: MlflowClient, run: Run, metric: str) -> int:
    """Now, in ms, or just after the metric's last value: of two values of one time MLflow shows the larger."""
    known = client.get_metric_history(run.info.run_id, metric) if metric in run.data.metrics else []
    return max([time.time_ns() // 1_000_000, *(m.timestamp + 1 for m in known)])


def record_study(market: str, keep_best: int) -> str:
    """One run for the study: its trials as a table, its plots, its best settings.

    Only the best few trials become runs of their own, under it. Returns the run's id.

    Raises:
        TrackingError: when MLflow can't be used.
    """
    tracking = connect(market)
    with answering(tracking.uri):
        return _record_study(tracking, market, keep_best)


def _record_study(tracking: Tracking, market: str, keep_best: int) -> str:
    best = read_json(BEST)
    trials = pd.read_parquet(TRIALS)
    key = digest((file_digest(BEST) + file_digest(TRIALS)).encode())
    run = find_or_create_run(tracking, "study", key, f"{market} study {best['study'][:8]}")
    complete = trials[trials["state"] == "COMPLETE"].sort_values(["value", "number"])
    states = {f"trials.{str(state).lower()}": n for state, n in trials["state"].value_counts().items()}
    log(
        tracking,
        run,
        params={f"best_{name}": value for name, value in best["searched"].items()} | {"best_rounds": best["rounds"]},
        metrics={"best": best["error"], **states},
        tags={NOTE: _study_note(market, best, len(trials))},
        files=[(BEST, "")] + [(p, "plots") for p in sorted(STUDY.iterdir()) if p.suffix in PLOTS],
        texts={"trials.csv": trials.to_csv(index=False)},
    )
    for trial in complete.head(keep_best).to_dict("records"):
        _record_trial(tracking, run.info.run_id, key, market, trial)
    return run.info.run_id


def _record_trial(tracking: Tracking, study_run: str, key: str, market: str, trial: Mapping[Any, Any]) -> None:
    name = f"{market} trial {trial['number']}"
    run = find_or_create_run(tracking, "trial", f"{key[:40]}-{trial['number']}", name, parent=study_run)
    known = {str(k): v for k, v in trial.items() if not pd.isna(v)}
    log(
        tracking,
        run,
        params={k.removeprefix("params_"): v for k, v in known.items() if k.startswith("params_")},
        metrics={k: v for k, v in known.items() if k in ("value", "rounds") or k.startswith("fold_")},
        tags={},
    )


def _study_note(market: str, best: Mapping[str, Any], count: int) -> str:
    return (
        f"A study of {count} trials for **{market}**; trial **{best['trial']}** is the best, with an error of "
        f"{best['error']:.5f} in log price on the rolling-origin folds.\n\nEvery trial is a row of the artifact "
        f"`trials.csv`; the best few are the runs under this one; `plots/` shows the search."
    )
