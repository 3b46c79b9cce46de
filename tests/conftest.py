"""What all tests share. No test reads or changes the registry, store or champion of the checkout."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import pipelines  # noqa: F401  before numpy: in tests too, sums are added up in the line's order

if TYPE_CHECKING:
    import pandas as pd

    from models.valuer import Valuer

# A shell has what it starts in the background ignore Ctrl-C, and servers under test would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
#: They would point a test at someone's real server, store or run.
FOREIGN = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_RUN_ID",
    "MLFLOW_EXPERIMENT_ID",
    "ASSAY_CHAMPION",
    "ASSAY_KEY",
    "ASSAY_EVENTS",
    "ASSAY_LAYOUTS",
    "PROMETHEUS_MULTIPROC_DIR",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
)


def pytest_configure(config: pytest.Config) -> None:
    """Before any library reads them: a store of this session's own, and nothing that phones home."""
    home = tempfile.mkdtemp(prefix="assay-tests-")
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    for name in [*FOREIGN, *(n for n in os.environ if n.startswith("DVC_"))]:
        os.environ.pop(name, None)
    os.environ |= {
        "BENTOML_HOME": f"{home}/bentoml",
        "DVC_SITE_CACHE_DIR": f"{home}/dvc",
        "BENTOML_DO_NOT_TRACK": "True",
        "DVC_NO_ANALYTICS": "1",
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_WAIT_POLICY": "passive",
    }


@pytest.fixture(scope="session")
def seattle_sales() -> pd.DataFrame:
    """The canonical sales of the real market, from its declared source."""
    from pipelines.ingest import ingest
    from pipelines.market_file import load_market

    return ingest(load_market(ROOT / "data/markets/seattle.yaml"))


@pytest.fixture(scope="module")
def valuer() -> Valuer:
    """The model of the small market."""
    from tests.served import train

    return train()


@pytest.fixture(scope="module")
def place(valuer: Valuer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a BentoML store that holds the promoted model, and the pointer to it."""
    from tests.served import promote

    place = tmp_path_factory.mktemp("promoted")
    promote(valuer, place)
    return place


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables and nothing in them; making one takes seconds, so tests copy it."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with contextlib.chdir(path.parent):  # the artifacts of MLflow's first experiment lie where it is made
        MlflowClient(f"sqlite:///{path}").search_experiments(max_results=1)
    return path


@pytest.fixture
def project(tmp_path: Path, empty_mlflow: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty project folder, made the current one: with an empty registry and store, without a champion."""
    import mlflow

    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / ".assay/bentoml"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    mlflow.set_tracking_uri("")  # MLflow remembers the last one for the whole process


@pytest.fixture
def line(project: Path) -> str:
    """The files of a good candidate for the made-up town, and no champion; the candidate's digest."""
    from tests.line import GOOD, commit_all, lay_line

    shutil.copy(ROOT / "params.yaml", "params.yaml")
    shutil.copytree(ROOT / "data/markets", "data/markets")
    digest = lay_line(GOOD)
    commit_all()
    return digest
