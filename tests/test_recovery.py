"""Whatever is lost, damaged or killed, registry, store and pointer find together on one whole champion."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from models.bundle import bundle_digest
from models.files import read_json
from pipelines import store
from pipelines.promote import PromoteError
from pipelines.tracking import connect
from tests.line import BETTER, GOOD, OTHER, WORSE, lay_line
from tests.promotion import agree, run, versions

ROOT = Path(__file__).parents[1]


def lose_registry(place: Path, empty_mlflow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goes on in a copy of the project whose MLflow database is lost: a process keeps a deleted one open."""
    for name in ("data", ".assay", ".git"):
        shutil.copytree(name, place / name)
    for name in (".gitignore", "params.yaml", "requirements.lock"):
        shutil.copy(name, place)
    shutil.copy(empty_mlflow, place / "mlflow.db")
    monkeypatch.setenv("BENTOML_HOME", str(place / ".assay/bentoml"))
    monkeypatch.chdir(place)


def lose_all_but_the_keys() -> None:
    for path in Path(".assay").iterdir():
        if path.is_dir() and path.name != "keys":
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()


@pytest.mark.parametrize("candidate", [GOOD, WORSE, OTHER])
def test_a_lost_registry_is_filled_again(line, candidate, tmp_path_factory, empty_mlflow, monkeypatch):
    run()
    lay_line(OTHER)
    run()
    lay_line(GOOD)
    run()  # the champion is v1 again, and v2 is in the store too
    now = lay_line(candidate)
    lose_registry(tmp_path_factory.mktemp("lost"), empty_mlflow, monkeypatch)
    decision = run()
    assert decision.what == {GOOD: "kept", WORSE: "refused", OTHER: "promoted"}[candidate]
    agree(now if candidate == OTHER else line)
    assert set(versions().values()) == {line, now}


def test_a_lost_registry_gives_no_served_number_to_another_model(line, tmp_path_factory, empty_mlflow, monkeypatch):
    run()
    other = lay_line(OTHER)
    run()
    lose_registry(tmp_path_factory.mktemp("lost"), empty_mlflow, monkeypatch)
    first = Path(".assay/bentoml/models/valuation-town/v1")
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in first.rglob("*") if p.is_file()}
    assert run().what == "kept"
    assert agree(other) == "2"
    worse = lay_line(WORSE)
    assert run().what == "refused"
    assert versions() == {"2": other, "3": worse}
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in first.rglob("*") if p.is_file()} == before
    assert bundle_digest(first / "bundle") == line


def test_a_number_that_a_killed_process_left_with_the_wrong_model_is_not_taken(
    line, tmp_path_factory, empty_mlflow, monkeypatch
):
    run()
    other = lay_line(OTHER)
    run()
    lose_registry(tmp_path_factory.mktemp("lost"), empty_mlflow, monkeypatch)
    with monkeypatch.context() as killing:
        killing.setattr("mlflow.MlflowClient.delete_model_version", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run()
    assert versions() == {"1": other}
    assert run().what == "kept"
    assert agree(other) == "2"


def test_a_model_gets_the_number_it_served_under(line, tmp_path_factory, empty_mlflow, monkeypatch):
    run()
    other = lay_line(OTHER)
    run()
    lay_line(GOOD)
    lose_registry(tmp_path_factory.mktemp("lost"), empty_mlflow, monkeypatch)
    assert run(experiment=True).what == "experiment"
    assert versions() == {"1": line}
    assert run().what == "promoted"
    assert agree(line) == "1"
    assert versions() == {"1": line, "2": other}


def test_a_store_of_another_registry_is_left_alone(line):
    run()
    folder = Path(".assay/bentoml/models/valuation-town/v1")
    other = lay_line(OTHER)
    card = read_json(folder / "card.json") | {"digest": other}
    with pytest.raises(store.StoreError, match="one version can't be two models"):
        store.put(card, Path("data/model"))
    assert agree(line) == "1"


@pytest.mark.parametrize("candidate", [GOOD, WORSE])
@pytest.mark.parametrize("lost", ["all but the keys", ".assay/champion.json", ".assay/bentoml"])
def test_a_lost_store_is_filled_from_the_registry(line, lost, candidate):
    run()
    verdict = read_json(".assay/bentoml/models/valuation-town/v1/card.json")
    lay_line(candidate)
    if lost == "all but the keys":
        lose_all_but_the_keys()
    elif Path(lost).is_dir():
        shutil.rmtree(lost)
    else:
        Path(lost).unlink()
    assert run().what == {GOOD: "kept", WORSE: "refused"}[candidate]
    assert agree(line) == "1"
    found = read_json(".assay/bentoml/models/valuation-town/v1/card.json")
    if lost == "all but the keys":  # the ledger told when it was promoted
        found["promoted_at"] = verdict["promoted_at"]
    assert found == verdict


@pytest.mark.parametrize("pointer", ["", '{"tag": "valua', "[]", "[" * 100_000])
def test_a_damaged_pointer_is_written_anew(line, pointer):
    run()
    Path(".assay/champion.json").write_text(pointer)
    assert run().what == "kept"
    assert agree(line) == "1"


@pytest.mark.parametrize("damaged", ["card.json", "model.yaml", "bundle/forest_00.txt", "bundle/manifest.json"])
def test_a_damaged_store_is_repaired(line, damaged):
    run()
    lay_line(WORSE)
    path = Path(".assay/bentoml/models/valuation-town/v1") / damaged
    path.write_bytes(path.read_bytes()[:-20])
    if damaged == "model.yaml":
        path.unlink()
    assert run().what == "refused"
    assert agree(line) == "1"


def test_a_half_copied_version_is_replaced(line):
    """What a kill in the middle of BentoML's copy leaves."""
    folder = Path(".assay/bentoml/models/valuation-town/v1")
    (folder / "bundle").mkdir(parents=True)
    (folder / "bundle/forest_00.txt").write_text("tree")
    assert run().what == "promoted"
    assert agree(line) == "1"


def test_a_damaged_registry_is_repaired_from_the_store(line):
    run()
    for model in Path("mlartifacts").rglob("forest_00.txt"):
        model.write_text("no trees")
    run()
    lose_all_but_the_keys()
    lay_line(WORSE)
    run()
    assert agree(line) == "1"


def test_a_champion_lost_everywhere_is_made_again_by_its_own_candidate(line):
    run()
    shutil.rmtree(".assay")
    shutil.rmtree("mlartifacts")
    assert run().what == "promoted"
    assert agree(line) == "1"


def test_a_champion_lost_everywhere_stops_another_candidate(line):
    run()
    shutil.rmtree(".assay")
    shutil.rmtree("mlartifacts")
    lay_line(OTHER)
    with pytest.raises(PromoteError, match=f"bundle {line}, is neither whole in the store nor in MLflow"):
        run()


KILLED = [
    ("mlflow.MlflowClient.create_logged_model", "after"),
    ("mlflow.MlflowClient.create_model_version", "before"),
    ("mlflow.MlflowClient.create_model_version", "after"),
    ("mlflow.MlflowClient.set_registered_model_alias", "before"),
    ("mlflow.MlflowClient.set_registered_model_alias", "after"),
    ("bentoml._internal.models.model.Model.save", "before"),
    ("pipelines.store.point_to", "before"),
    ("pipelines.promote.write_json", "before"),
]
KILLER = """
import os, signal, sys
import mlflow, bentoml._internal.models.model, pipelines.promote, pipelines.store
from pkgutil import resolve_name
from tests.line import BOUNDS

path, when = sys.argv[1:]
owner = resolve_name(path.rpartition(".")[0])
name = path.rpartition(".")[2]
real = getattr(owner, name)

def deadly(*args, **kwargs):
    if when == "after":
        real(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(owner, name, deadly)
pipelines.promote.promote(BOUNDS, False)
"""


@pytest.mark.parametrize(("point", "when"), KILLED)
def test_killed_anywhere_the_old_or_the_new_champion_serves_and_the_next_run_ends_it(line, point, when):
    run()
    new = lay_line(BETTER)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", KILLER, point, when], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    served = store.serving()
    assert served is not None
    assert served.card["digest"] in (line, new)
    assert run().what in ("promoted", "kept")
    agree(new)
    assert versions() == {"1": line, "2": new}
    here = connect("town")
    logged = here.client.search_logged_models([here.experiment_id])
    assert {m.tags["assay.digest"] for m in logged} == {line, new}
    assert len(logged) == 2
