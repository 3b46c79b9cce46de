"""The drills count what is wrong: nothing in a model as it is, something in one that was broken on purpose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.drill import NOISE, directions, mislabelled, reasons_off, waterfalls_off, with_noise, with_typo
from models.fit import Settings
from models.memory import build_memory
from models.split import plan_split
from models.start import starting_point
from models.training import learn, make_fold
from models.valuer import Valuer
from pipelines.variants import ABLATIONS, TRIED, Variant, errors_of
from tests.town import SEARCHED, town, town_sales, town_valuer


@pytest.fixture(scope="module")
def valuer() -> Valuer:
    return town_valuer()


@pytest.fixture(scope="module")
def homes(valuer: Valuer) -> pd.DataFrame:
    return valuer.memory.sales.tail(200)


def test_no_what_if_goes_against_its_direction(valuer: Valuer, homes: pd.DataFrame) -> None:
    asked = directions(valuer, homes, 30, 1)
    assert asked.asked > 4000
    assert (asked.wrong, asked.largest) == (0, 0.0)


def test_a_model_without_directions_is_found_out(valuer: Valuer, homes: pd.DataFrame) -> None:
    """The same model, said to promise the opposite."""
    turned = {"up": "down", "down": "up", None: None}
    fields = tuple(replace(f, direction=turned[f.direction]) for f in valuer.market.fields)
    lying = replace(valuer, features=replace(valuer.features, market=replace(valuer.market, fields=fields)))
    asked = directions(lying, homes, 30, 1)
    assert asked.wrong > asked.asked / 4
    assert asked.largest > 0.05


def test_facts_changed_by_the_short_way_give_the_same_value(valuer: Valuer, homes: pd.DataFrame) -> None:
    view = valuer.view(homes, valuer.current_day)
    larger = homes.assign(area=homes["area"] * 1.3, pool=1.0)
    short, long = valuer.with_facts(view, larger), valuer.view(larger, valuer.current_day)
    np.testing.assert_array_equal(short.matrix, long.matrix)
    np.testing.assert_array_equal(valuer.told(short), valuer.told(long))


def test_all_sums_add_up(valuer: Valuer, homes: pd.DataFrame) -> None:
    assert reasons_off(valuer, homes) == 0
    later = valuer.refreshed(pd.concat([valuer.memory.sales, _later(valuer)], ignore_index=True))
    assert later.memory_end > valuer.memory_end
    assert waterfalls_off(valuer, later, homes.head(60), 1) == 0


def _later(valuer: Valuer) -> pd.DataFrame:
    sold = valuer.memory.sales.tail(100)
    days = sold["sale_date"] + pd.DateOffset(months=2)
    return sold.assign(sale_id=[f"later{i}" for i in range(100)], sale_date=days.sort_values().to_numpy())


def test_poison_is_what_it_says() -> None:
    sales = town_sales()
    typo, where = with_typo(sales, 3)
    changed = typo[typo["price"] != sales["price"]]
    assert changed[["price", "property_id"]].to_numpy().tolist() == [[10_000_000.0, where]]
    swapped = mislabelled(sales, 3)
    assert 10 <= (swapped["price"] != sales["price"]).sum() <= 15
    assert sorted(swapped["price"]) == sorted(sales["price"])
    noisy, market = with_noise(sales, replace(town(), fields=town().fields[:3]), 3)
    assert market.field_names[-1] == NOISE
    assert abs(np.corrcoef(noisy[NOISE], noisy["price"])[0, 1]) < 0.1


def test_every_variant_differs_from_the_model_as_it_is_and_lacks_what_it_says() -> None:
    learnt = learn(build_memory(town_sales(), town()))
    fold = make_fold(learnt, plan_split(learnt.memory.sales["sale_date"], 12, 1, 12).folds[0])
    settings = Settings(SEARCHED, 20, 2, 1)
    base = errors_of(Variant("as it is", ""), fold, settings)
    told = {v.name: errors_of(v, fold, settings) for v in (*ABLATIONS, *TRIED)}
    same = {name for name, errors in told.items() if np.array_equal(errors, base)}
    assert not same
    raw = learnt.memory.terms.raw(fold.later.sales)
    level, facts = starting_point(learnt.memory, raw, fold.later.sales["sale_date"])
    np.testing.assert_array_equal(level + facts.sum(axis=1), fold.later.start)
