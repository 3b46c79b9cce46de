"""Good on average and bad somewhere is found, and chance alone condemns nobody."""

import numpy as np
import pandas as pd
import pytest

from models.gate.check import CANNOT_TELL, FAIL, PASS, Check
from models.gate.segments import holm, segment_check
from models.segments import groups, labelled
from tests.line import BOUNDS
from tests.town import town, town_sales

N = 2000
GROUPS = {"area": 20, "tier": 5}


def sales(seed: int) -> tuple[pd.DataFrame, dict[str, pd.Series], np.ndarray]:
    """Sound values: errors of 8 % in every group, ranges that hold, and a champion that is as good."""
    draw = np.random.default_rng(seed)
    price = np.exp(draw.normal(13, 0.5, N))
    value = price * np.exp(draw.normal(0, 0.1, N))
    told = pd.DataFrame({"price": price, "value": value, "low": value * 0.85, "high": value / 0.85})
    labels = {name: pd.Series(draw.integers(0, count, N).astype(str)) for name, count in GROUPS.items()}
    return told, labels, draw.normal(0, 0.02, N)


def check(told: pd.DataFrame, labels: dict[str, pd.Series], difference: np.ndarray) -> Check:
    return segment_check(told, labels, difference, 0.9, BOUNDS)


def test_sound_values_pass_however_often_they_are_asked():
    refused = [check(*sales(seed)).outcome != PASS for seed in range(200)]
    assert sum(refused) <= 10


def bad_error(told, rows, difference):
    told.loc[rows, "value"] *= np.exp(np.random.default_rng(1).normal(0, 0.5, int(rows.sum())))
    told["low"], told["high"] = told["value"] * 0.01, told["value"] * 100


def bad_level(told, rows, difference):
    told.loc[rows, ["value", "low", "high"]] *= 0.84
    told["high"] *= 100


def bad_ranges(told, rows, difference):
    told.loc[rows, "low"], told.loc[rows, "high"] = told["value"] * 0.97, told["value"] * 1.03


def worse_than_the_champion(told, rows, difference):
    difference[rows] += 0.04


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (bad_error, "area 7: typical error"),
        (bad_level, "area 7: median value / price 0.8"),
        (bad_ranges, "within the 90 % range, allowed 75.0 %"),
        (worse_than_the_champion, "above the champion's, allowed 2.00 points"),
    ],
)
def test_one_bad_group_among_many_is_named(spoil, said):
    told, labels, difference = sales(1)
    rows = (labels["area"] == "7").to_numpy()
    spoil(told, rows, difference)
    found = check(told, labels, difference)
    assert (found.outcome, found.figure, found.told) == (FAIL, 1.0, "1 of 25")
    assert said in found.reason
    assert [row["group"] for row in found.rows if row["says"]] == ["7"]


def test_every_group_is_in_the_table_and_small_ones_are_not_judged():
    told, labels, difference = sales(1)
    labels["area"][:10] = "annexed"
    told.loc[:9, "value"] *= 3
    found = check(told, labels, difference)
    assert found.outcome == PASS
    assert len(found.rows) == 26
    row = next(row for row in found.rows if row["group"] == "annexed")
    assert (row["n"], row["says"]) == (10, "too few to judge")


def test_where_no_group_is_large_enough_nothing_can_be_told():
    told, _, difference = sales(1)
    labels = {"area": pd.Series(np.arange(N).astype(str))}
    assert check(told, labels, difference).outcome == CANNOT_TELL
    assert check(told.head(0), {}, difference[:0]).outcome == CANNOT_TELL


def test_sales_that_the_champion_has_seen_are_not_compared():
    told, labels, _ = sales(1)
    found = check(told, labels, np.full(N, np.nan))
    assert found.outcome == PASS
    assert {row["against_champion"] for row in found.rows} == {None}


def test_the_correction_is_the_one_that_holm_gave():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([]).shape == (0,)
    assert holm([np.nan, 0.5])[0] == 0


def test_each_sale_is_labelled_once_in_every_way():
    bought = town_sales(600)
    train, holdout = bought.iloc[:400], bought.iloc[400:]
    values = np.linspace(1, 2, len(holdout))
    told = groups(pd.concat([holdout, labelled(town(), holdout, values, train)], axis=1))
    assert {"neighbourhood", "price_tier", "history"} <= set(told)
    assert all(of.notna().all() and len(of) == len(holdout) for of in told.values())
    assert told["price_tier"].value_counts().tolist() == [40] * 5
    assert told["price_tier"].tolist() == sorted(told["price_tier"])
    known = told["history"] == "sold before"
    assert known.tolist() == holdout["property_id"].isin(train["property_id"]).tolist()
