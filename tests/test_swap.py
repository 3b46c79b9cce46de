"""Another version takes the place of the champion while it serves, or is refused and the old one serves on."""

from __future__ import annotations

import contextlib
import functools
import gc
import re
import shutil
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import bentoml
import lightgbm as lgb
import pytest
from bentoml._internal.models import ModelStore

from models.appraisal import appraise
from models.bundle import write_bundle
from models.files import read_json, write_json
from models.kernel.build import NoKernel
from models.valuer import Valuer
from pipelines import signing
from serving import holder as holding
from serving import layouts as laying
from serving.champion import read_key, read_pointer
from serving.holder import Holder
from serving.layouts import Layouts
from tests.cents import same_to_a_cent
from tests.served import HOME, bundle_of, key_of, later_sales, promote, refresh, tell


@pytest.fixture(scope="module")
def promoted(valuer: Valuer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a promoted version, already laid out."""
    place = tmp_path_factory.mktemp("promoted")
    promote(valuer, place)
    with pytest.MonkeyPatch.context() as patch:
        holder = holder_of(place, patch)
        holder.look()
        assert holder.champion is not None, holder.missing
    return place


@pytest.fixture
def place(promoted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(promoted, tmp_path / "place"))


def holder_of(place: Path, monkeypatch: pytest.MonkeyPatch) -> Holder:
    store = ModelStore(place / "bentoml" / "models")
    monkeypatch.setattr(bentoml.models, "get", functools.partial(bentoml.models.get, _model_store=store))
    return Holder(lambda: (read_pointer(place / "champion.json"), read_key(key_of(place))), Layouts(place / "layouts"))


@pytest.fixture
def holder(place: Path, monkeypatch: pytest.MonkeyPatch) -> Holder:
    """One that serves the promoted version."""
    holder = holder_of(place, monkeypatch)
    holder.look()
    assert holder.champion is not None, holder.missing
    return holder


def resign(place: Path, valuer: Valuer) -> None:
    """The version as whoever holds the key would sign it with another model in it."""
    digest = write_bundle(bundle_of(place), valuer)
    tell(place, read_json(bundle_of(place).parent / "card.json") | {"digest": digest})  # golden answers stay
    write_json(place / "champion.json", read_json(place / "champion.json") | {"digest": digest})


def rewritten(change: Callable[[str], str]) -> Callable[[Valuer], Valuer]:
    """A model whose first forest's text was changed."""

    class Evil:
        def __init__(self, forest: lgb.Booster) -> None:
            self.text = change(forest.model_to_string(num_iteration=-1))

        def model_to_string(self, num_iteration: int = -1) -> str:
            return self.text

    def evil(valuer: Valuer) -> Valuer:
        first, *others = valuer.bag.forests
        return replace(valuer, bag=replace(valuer.bag, forests=(Evil(first), *others)))  # type: ignore[arg-type]

    return evil


def test_a_refreshed_memory_takes_over_without_a_restart(holder: Holder, place: Path, valuer: Valuer):
    before = holder.champion
    newer = valuer.refreshed(later_sales())
    memory = refresh(newer, place)
    holder.look()
    champion = holder.champion
    assert champion is not None
    assert champion is not before
    assert champion.memory == memory
    day = newer.current_day
    same_to_a_cent(appraise(champion.valuer, [HOME], day, 5), appraise(newer, [HOME], day, 5))
    assert (holder.swaps.done, holder.swaps.refused) == (1, 0)


def test_going_back_needs_neither_store_nor_child(
    holder: Holder, place: Path, valuer: Valuer, monkeypatch: pytest.MonkeyPatch
):
    pointer = (place / "champion.json").read_bytes()
    first = holder.champion
    refresh(valuer.refreshed(later_sales()), place)
    holder.look()
    shutil.rmtree(place / "bentoml")
    monkeypatch.setattr("subprocess.run", None)
    (place / "champion.json").write_bytes(pointer)
    holder.look()
    assert first is not None
    assert holder.champion is not None
    assert holder.champion.memory == first.memory
    assert holder.swaps.done == 2


def test_a_look_that_finds_nothing_new_changes_nothing(holder: Holder):
    champion = holder.champion
    holder.look()
    assert holder.champion is champion


@pytest.mark.parametrize("text", ["", "{", '{"tag": "valuation-harbour:v9", "digest": "0"}'])
def test_a_pointer_to_nothing_leaves_what_serves(holder: Holder, place: Path, text: str):
    champion = holder.champion
    (place / "champion.json").write_text(text)
    holder.look()
    holder.look()
    assert holder.champion is champion
    assert holder.swaps.refused == 1
    assert "make repro" in holder.swaps.why


def test_a_version_that_was_refused_is_taken_once_it_is_mended(
    holder: Holder, place: Path, valuer: Valuer, monkeypatch: pytest.MonkeyPatch
):
    digest = refresh(valuer.refreshed(later_sales()), place)
    path = bundle_of(place).parent / "memory" / digest / "sales.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    champion = holder.champion
    holder.look()
    assert holder.champion is champion
    assert "sales.parquet" in holder.swaps.why
    path.write_bytes(whole)
    monkeypatch.setattr(holding, "AGAIN", 0.0)
    holder.look()
    assert holder.champion is not None
    assert holder.champion.memory == digest


#: What a stolen key could sign, or a bug write: it parses, or kills or hangs whoever parses it.
EVIL = {
    "a circle": lambda text: re.sub(r"left_child=\S+", "left_child=0", text, count=1),
    "a child that is not there": lambda text: re.sub(r"left_child=\S+", "left_child=99999999", text, count=1),
    "a feature that is not there": lambda text: re.sub(r"split_feature=\S+", "split_feature=999999", text, count=1),
    "too many leaves": lambda text: re.sub(r"num_leaves=\d+", "num_leaves=100000000", text, count=1),
    "no number": lambda text: re.sub(r"leaf_value=\S+", "leaf_value=nan", text, count=1),
    "half of it": lambda text: text[: len(text) // 2],
    "nothing": lambda text: "",
}


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
def test_a_signed_model_that_harms_its_reader_harms_a_child_alone(
    holder: Holder, place: Path, valuer: Valuer, evil: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(laying, "PATIENCE", 30)
    champion = holder.champion
    resign(place, rewritten(evil)(valuer))
    holder.look()
    assert holder.champion is champion
    assert (holder.swaps.done, holder.swaps.refused) == (0, 1)


def test_a_model_that_values_nonsense_never_takes_traffic(holder: Holder, place: Path, valuer: Valuer):
    champion = holder.champion
    resign(place, replace(valuer, spread=replace(valuer.spread, typical=-0.1)))
    holder.look()
    assert holder.champion is champion
    assert "unsoundly" in holder.swaps.why


def test_another_model_under_the_judged_one_s_card_never_takes_traffic(holder: Holder, place: Path, valuer: Valuer):
    """Sound, signed and whole, but not what was judged."""
    champion = holder.champion
    resign(place, replace(valuer, bag=replace(valuer.bag, reach=valuer.bag.reach + 0.01)))
    holder.look()
    assert holder.champion is champion
    assert "is not what was judged" in holder.swaps.why


@pytest.mark.parametrize("text", ["", "{", "\t: [", "name: 3", "- a", "\0", "name: !!python/object:os.system x"])
def test_a_damaged_page_of_bentoml_s_own_refuses_the_version(holder: Holder, place: Path, valuer: Valuer, text: str):
    champion = holder.champion
    (bundle_of(place).parent / "model.yaml").write_text(text)
    refresh(valuer.refreshed(later_sales()), place)
    holder.look()
    assert holder.champion is champion
    assert (holder.swaps.refused, "BentoML store" in holder.swaps.why) == (1, True)


def test_a_damaged_layout_is_made_again(place: Path, monkeypatch: pytest.MonkeyPatch):
    """By whoever starts when nobody has it in memory any more."""
    (arrays,) = (place / "layouts").glob("*/arrays.bin")
    data = bytearray(arrays.read_bytes())
    data[100] ^= 255
    arrays.unlink()
    arrays.write_bytes(data)
    again = holder_of(place, monkeypatch)
    again.look()
    assert again.champion is not None, again.missing
    assert arrays.read_bytes() != data


def test_the_layout_of_another_key_is_not_served(holder: Holder, place: Path, valuer: Valuer, tmp_path: Path):
    other = tmp_path / "other"
    promote(valuer, other)
    stranger = Holder(
        lambda: (read_pointer(place / "champion.json"), read_key(key_of(other))), Layouts(place / "layouts")
    )
    stranger.look()
    assert stranger.champion is None
    assert "not as it was signed" in stranger.missing


def test_after_everything_was_signed_anew_the_layout_is_made_anew(
    holder: Holder, place: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.rmtree(place / ".assay" / "keys")
    with contextlib.chdir(place):
        signing.make_keys(signing.key_folder())
    tell(place, read_json(bundle_of(place).parent / "card.json"))
    again = holder_of(place, monkeypatch)
    again.look()
    assert again.champion is not None, again.missing


def test_old_layouts_go(holder: Holder, place: Path, valuer: Valuer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(laying, "KEPT", 1)
    refresh(valuer.refreshed(later_sales()), place)
    holder.look()
    assert len(list((place / "layouts").glob("[0-9a-f]*"))) == 1


def test_without_a_kernel_lightgbm_answers(place: Path, valuer: Valuer, monkeypatch: pytest.MonkeyPatch):
    shutil.rmtree(place / "layouts")
    monkeypatch.setenv("CC", "false")
    holder = holder_of(place, monkeypatch)
    holder.look()
    assert holder.champion is not None, holder.missing
    assert holder.champion.valuer.bag.walk is None
    day = valuer.current_day
    assert appraise(holder.champion.valuer, [HOME], day, 5) == appraise(valuer, [HOME], day, 5)


def test_without_a_kernel_lightgbm_answers_though_there_is_a_layout(place: Path, monkeypatch: pytest.MonkeyPatch):
    def none() -> None:
        raise NoKernel("no compiler any more")

    monkeypatch.setattr(laying, "kernel", none)
    monkeypatch.setenv("CC", "false")
    holder = holder_of(place, monkeypatch)
    holder.look()
    assert holder.champion is not None, holder.missing
    assert holder.champion.valuer.bag.walk is None


def test_what_served_before_is_freed_without_the_garbage_collector(holder: Holder, place: Path, valuer: Valuer):
    """Its memory is large, and a collection that finds it holds every caller up."""
    assert holder.champion is not None
    gone = weakref.ref(holder.champion.valuer.memory), weakref.ref(holder.champion.valuer.evidence)
    gc.disable()
    try:
        refresh(valuer.refreshed(later_sales()), place)
        holder.look()
        assert [one() for one in gone] == [None, None]
    finally:
        gc.enable()
