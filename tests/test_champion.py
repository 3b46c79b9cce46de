"""The promoted model is served only when it is what was promoted; and the server stays light and silent."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import bentoml
import pytest
from bentoml._internal.models import ModelStore

from models.appraisal import Appraisal, Range, appraise
from models.bundle import memory_digest, write_bundle
from models.files import read_json, write_bytes, write_json
from models.reasons import Line
from models.valuer import Valuer
from models.version import signature_file
from pipelines import signing
from serving.champion import Champion, NoChampion, load_champion, read_key, read_pointer
from serving.sound import is_sound
from tests.served import (
    HOME,
    ROOT,
    bundle_of,
    environment,
    key_of,
    later_sales,
    memory_of,
    promote,
    refresh,
    tell,
)

FILES = ["forest_00.txt", "market.json", "valuer.json", "manifest.json", "memory/sales.parquet", "memory/manifest.json"]
TRAINING_ONLY = {"dvc", "great_expectations", "mlflow", "model_signing", "optuna", "shap", "sigstore"}


@pytest.fixture
def place(valuer: Valuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    promote(valuer, tmp_path)
    look_in(tmp_path, monkeypatch)
    return tmp_path


def look_in(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BentoML finds its store under `place`."""
    store = ModelStore(place / "bentoml" / "models")
    monkeypatch.setattr(bentoml.models, "get", functools.partial(bentoml.models.get, _model_store=store))


def load(place: Path) -> Champion:
    return load_champion(read_pointer(place / "champion.json"), read_key(key_of(place)))


def test_what_was_promoted_is_loaded(place: Path):
    champion = load(place)
    assert champion.market.name == "harbour"
    assert champion.cited["version"] == "7"
    assert champion.cited["memory"] == memory_digest(bundle_of(place))
    assert champion.cited["memory_end"] == champion.valuer.memory_end.isoformat()
    assert champion.cited["override"] is None


def test_an_override_is_cited_in_every_answer(place: Path):
    said = {"who": "ann", "why": "the area was annexed", "at": "2026-01-02T03:04:05+00:00"}
    tell(place, read_json(bundle_of(place).parent / "card.json") | {"override": said})
    assert load(place).cited["override"] == said


def test_the_memory_that_the_pointer_names_is_loaded_in_place_of_the_bundle_s_own(place: Path, valuer: Valuer):
    own = load(place)
    newer = valuer.refreshed(later_sales())
    digest = refresh(newer, place)
    champion = load(place)
    assert (champion.memory, champion.digest) == (digest, own.digest)
    assert champion.valuer.memory_end == newer.memory_end > own.valuer.memory_end
    assert appraise(champion.valuer, [HOME], newer.current_day, 5) == appraise(newer, [HOME], newer.current_day, 5)


def test_a_memory_that_is_not_there_is_not_served(place: Path):
    name_memory(place, "f" * 64)
    with pytest.raises(NoChampion, match="f" * 64):
        load(place)


@pytest.mark.parametrize("name", ["leaves.parquet", "sales.parquet", "track.parquet", "vintages.parquet"])
def test_a_damaged_file_of_the_memory_is_named(place: Path, valuer: Valuer, name: str):
    path = memory_of(place, refresh(valuer.refreshed(later_sales()), place)) / name
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(NoChampion, match=name):
        load(place)


def test_another_memory_under_the_name_of_the_right_one_is_not_served(place: Path, valuer: Valuer):
    first = refresh(valuer.refreshed(later_sales()[:40]), place)
    second = refresh(valuer.refreshed(later_sales()), place)
    shutil.rmtree(memory_of(place, first))
    memory_of(place, second).rename(memory_of(place, first))
    name_memory(place, first)
    with pytest.raises(NoChampion, match=f"{first} holds {second} .* {first} was promised"):
        load(place)


def test_what_is_no_memory_is_not_served(place: Path, valuer: Valuer):
    bundle = bundle_of(place).parent / "memory" / "other"
    digest = write_bundle(bundle, valuer)
    bundle.rename(bundle.with_name(digest))
    name_memory(place, digest)
    with pytest.raises(NoChampion, match=f"{digest}.json is not there: what it would vouch for was .* never signed"):
        load(place)
    with contextlib.chdir(place):
        write_bytes(signature_file(bundle_of(place).parent, digest), signing.sign(bundle.with_name(digest)))
    with pytest.raises(NoChampion, match="is not a memory of sales"):
        load(place)


@pytest.mark.parametrize("memory", [None, "", "../bundle/memory", "F" * 64, 7])
def test_a_memory_that_no_digest_names_is_not_looked_for(place: Path, memory: object):
    name_memory(place, memory)
    with pytest.raises(NoChampion, match=r"champion\.json can't be read"):
        load(place)


def name_memory(place: Path, memory: object) -> None:
    pointer = json.loads((place / "champion.json").read_text())
    write_json(place / "champion.json", pointer | {"memory": memory})


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


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_of_the_bundle_is_named(place: Path, name: str):
    path = bundle_of(place) / name
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(NoChampion, match=name):
        load(place)


def test_a_card_that_does_not_say_all_that_answers_cite_is_not_served(place: Path):
    card = read_json(bundle_of(place).parent / "card.json")
    tell(place, {k: v for k, v in card.items() if k != "commit"})
    with pytest.raises(NoChampion, match="commit"):
        load(place)


def test_a_model_that_values_nonsense_is_not_served(valuer: Valuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its ranges are turned inside out."""
    promote(replace(valuer, spread=replace(valuer.spread, typical=-0.1)), tmp_path)
    look_in(tmp_path, monkeypatch)
    with pytest.raises(NoChampion, match="unsoundly"):
        load(tmp_path)


@pytest.fixture(scope="module")
def appraisal(valuer: Valuer) -> Appraisal:
    return appraise(valuer, [HOME], valuer.current_day, 5)[0]


#: A promise of an appraisal -> what breaks it.
BROKEN: dict[str, Callable[[Appraisal], dict[str, Any]]] = {
    "reasons make the value": lambda a: {"base": a.base + 0.01},
    "comparables make the value": lambda a: {
        "comparables": (*a.comparables[:-1], a.comparables[-1]._replace(price=a.comparables[-1].price + 1))
    },
    "lines make a reason": lambda a: {
        "reasons": (a.reasons[0]._replace(lines=(Line("x", "X", 0.01), *a.reasons[0].lines)), *a.reasons[1:])
    },
    "no reason is left out": lambda a: {"reasons": a.reasons[1:]},
    "the value is a number": lambda a: {"value": float("nan")},
    "the base is finite": lambda a: {"base": float("inf")},
    "the deviation is a number": lambda a: {"deviation": float("nan")},
    "the confidence is a share": lambda a: {"confidence": 1.01},
    "the level is of a range": lambda a: {"level": 0.7},
    "ranges ascend": lambda a: {"ranges": a.ranges[::-1]},
    "ranges nest": lambda a: {"ranges": (*a.ranges, Range(0.95, a.ranges[-1].low + 1, a.ranges[-1].high))},
    "the value lies in its ranges": lambda a: {"ranges": (a.ranges[0]._replace(low=a.value + 1), *a.ranges[1:])},
    "no price is nothing": lambda a: {"ranges": (*a.ranges[:-1], a.ranges[-1]._replace(low=0.0))},
}


@pytest.mark.parametrize("promise", BROKEN)
def test_what_an_answer_promises_is_checked(appraisal: Appraisal, promise: str):
    assert is_sound(appraisal)
    assert not is_sound(replace(appraisal, **BROKEN[promise](appraisal)))


def test_the_server_loads_no_training_package(place: Path):
    program = (
        "import sys, serving.service as s; s.holder.look(); assert s.holder.champion, s.holder.missing;"
        f"print(sorted({{m.split('.')[0] for m in sys.modules}} & {TRAINING_ONLY | {'lightgbm', 'sklearn'}!r}))"
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
