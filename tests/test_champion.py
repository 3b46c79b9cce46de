"""The promoted model is served only when it is what was promoted; and the server stays light and silent."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

import bentoml
import pytest
from bentoml._internal.models import ModelStore

from models.files import write_json
from serving.champion import Champion, NoChampion, load_champion, read_pointer
from tests.served import ROOT, bundle_of, environment, promote, train

TRAINING_ONLY = {"dvc", "great_expectations", "mlflow", "optuna", "shap"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    promote(train(), tmp_path)
    store = ModelStore(tmp_path / "bentoml" / "models")
    monkeypatch.setattr(bentoml.models, "get", functools.partial(bentoml.models.get, _model_store=store))
    return tmp_path


def load(place: Path) -> Champion:
    return load_champion(read_pointer(place / "champion.json"))


def test_what_was_promoted_is_loaded(place: Path):
    champion = load(place)
    assert champion.market.name == "harbour"
    assert champion.cited["version"] == "7"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tag": "valuation-harbour:v7"}', "\x00"])
def test_a_pointer_that_cannot_be_read_is_named(place: Path, text: str):
    (place / "champion.json").write_text(text)
    with pytest.raises(NoChampion, match=r"champion\.json"):
        load(place)


@pytest.mark.parametrize("tag", ["valuation-harbour:v8", "other:v7", "not a tag", ""])
def test_a_pointer_to_a_model_that_is_not_in_the_store_is_named(place: Path, tag: str):
    pointer = json.loads((place / "champion.json").read_text())
    write_json(place / "champion.json", pointer | {"tag": tag})
    with pytest.raises(NoChampion, match=r"BentoML store.*make repro"):
        load(place)


def test_another_bundle_than_the_promoted_one_is_not_served(place: Path):
    pointer = json.loads((place / "champion.json").read_text())
    write_json(place / "champion.json", pointer | {"digest": "f" * 64})
    with pytest.raises(NoChampion, match="f" * 64):
        load(place)


@pytest.mark.parametrize("name", ["model.txt", "market.json", "index.parquet", "valuer.json", "manifest.json"])
def test_a_damaged_file_of_the_bundle_is_named(place: Path, name: str):
    path = bundle_of(place) / name
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(NoChampion, match=name):
        load(place)


def test_a_card_that_does_not_say_all_that_answers_cite_is_not_served(place: Path):
    card = bundle_of(place).parent / "card.json"
    write_json(card, {k: v for k, v in json.loads(card.read_text()).items() if k != "commit"})
    with pytest.raises(NoChampion, match="commit"):
        load(place)


def test_a_model_that_values_nonsense_is_not_served(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("models.valuer.Valuer.interval", lambda self, values: (values * float("nan"), values))
    with pytest.raises(NoChampion, match="unsoundly"):
        load(place)


def test_the_server_loads_no_training_package(place: Path):
    program = (
        "import sys, serving.service as s; v = s.Valuation(); assert v.champion, v.missing;"
        f"print(sorted({{m.split('.')[0] for m in sys.modules}} & {TRAINING_ONLY!r}))"
    )
    assert run(program, environment(place)) == "[]"


def test_usage_figures_are_off_even_when_bentoml_asked_before_us(tmp_path: Path):
    program = (
        "from bentoml._internal.utils.analytics import usage_stats; before = usage_stats.do_not_track();"
        "import serving; print(before, usage_stats.do_not_track())"
    )
    env = {k: v for k, v in environment(tmp_path).items() if k != "BENTOML_DO_NOT_TRACK"}
    assert run(program, env) == "False True"


def run(program: str, env: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
