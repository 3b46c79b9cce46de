"""`bentoml build` packs the service and the promoted model; the bento serves with nothing of ours beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from models.kernel.build import SOURCES
from pipelines.signing import make_keys
from tests.served import HOME, ROOT, environment, later_sales, promote, refresh, serving, train


def bentoml(*arguments: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bentoml", *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("builder")
    valuer = train()
    env = promote(valuer, place)
    refresh(valuer.refreshed(later_sales()), place)
    for arguments in (("build",), ("export", "valuation:latest", str(place / "valuation.bento"))):
        done = bentoml(*arguments, cwd=ROOT, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
    return place / "valuation.bento"


def test_a_bento_serves_on_a_machine_that_has_nothing_else(archive: Path, tmp_path: Path):
    env = {k: v for k, v in environment(tmp_path).items() if k not in ("ASSAY_CHAMPION", "ASSAY_KEY")}
    done = bentoml("import", str(archive), cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    with serving("valuation:latest", tmp_path, env, tmp_path / "log") as server:
        answer = server.post("/value", {"home": HOME})
        assert answer.status_code == 200
        assert answer.json()["model"]["version"] == "7"
        assert answer.json()["model"]["memory_end"] == f"{later_sales()['sale_date'].max():%Y-%m-%d}"
    code = next((tmp_path / "bentoml" / "bentos" / "valuation").glob("*/src"))
    assert {path.name for path in code.iterdir()} <= {"serving", "models", "bentofile.yaml", "__pycache__"}
    assert {path.name for path in SOURCES} <= {path.name for path in (code / "models" / "kernel").iterdir()}


def test_a_bento_serves_as_a_plain_folder_too(archive: Path, tmp_path: Path):
    folder = tmp_path / "bento"
    folder.mkdir()
    subprocess.run(["tar", "-xf", str(archive), "-C", str(folder)], check=True)
    env = {k: v for k, v in environment(tmp_path).items() if k not in ("ASSAY_CHAMPION", "ASSAY_KEY")}
    with serving(str(folder), tmp_path, env, tmp_path / "log") as server:
        assert server.post("/value", {"home": HOME}).status_code == 200


def test_a_bento_of_somebody_whose_key_is_not_trusted_here_values_nothing(archive: Path, tmp_path: Path):
    (folder := tmp_path / "bento").mkdir()
    subprocess.run(["tar", "-xf", str(archive), "-C", str(folder)], check=True)
    make_keys(tmp_path / ".assay" / "keys")
    with serving(str(folder), tmp_path, environment(tmp_path), tmp_path / "log", wait_for="/livez") as server:
        assert server.get("/readyz").status_code == 503
        assert "the signature is by another key" in server.missing()


def test_without_a_champion_there_is_no_bento(tmp_path: Path):
    done = bentoml("build", cwd=ROOT, env=environment(tmp_path))
    assert done.returncode != 0
    assert "there is no champion to build a bento of" in done.stdout + done.stderr
    assert "make repro" in done.stdout + done.stderr
