"""A model is judged by figures that its rows bear out, beside reference models that say what they say they do."""

from datetime import date
from functools import cache

import numpy as np
import pandas as pd
import pytest

from models.evaluation import evaluation, range_columns, valued_holdout
from models.hedonic import fit_hedonic
from models.memory import build_memory
from models.references import last_sale_indexed, median_per_area, reference_values
from models.split import Window, before, within
from models.training import learn
from tests.town import TRAINED, frozen_valuer, live_valuer, mapped_sales, mapped_town, town, town_sales, town_valuer

SALES = mapped_sales()
YEAR = Window(TRAINED, pd.Timestamp("2020-01-01"))


@cache
def judged():
    """A town with dear and cheap corners that no fact names, its model and all reference models on the next year."""
    sales, market = mapped_sales(3000), mapped_town()
    corner = np.sign(np.sin(np.pi * sales["latitude"] / 0.008) * np.sin(np.pi * sales["longitude"] / 0.012))
    sales = sales.assign(price=sales["price"] * np.exp(0.2 * corner))
    valuer = town_valuer(before(sales, TRAINED), bags=4, market=market)
    train, holdout = before(sales, TRAINED), within(sales, YEAR)
    live = valuer.refreshed(sales)
    valued = valued_holdout(valuer, live, holdout, train)
    references = reference_values(learn(build_memory(sales, market)), YEAR, 1)
    return valued, holdout, evaluation(live, valued, references, 1)


def test_the_candidate_beats_every_reference_model_and_its_range_covers():
    _, holdout, told = judged()
    assert len(told["references"]) == 5
    assert all(told["figures"]["mdape"] < figures["mdape"] for figures in told["references"].values())
    spread = np.sqrt(0.9 * 0.1) * (1 / np.sqrt(len(holdout)) + 1 / np.sqrt(500))
    assert told["range"]["coverage"] == pytest.approx(0.9, abs=4 * spread)
    for groups in told["segments"].values():
        assert sum(figures["n"] for figures in groups.values()) == len(holdout)


def test_the_figures_of_a_holdout_are_those_of_its_rows():
    valued, holdout, told = judged()
    assert valued["sale_id"].tolist() == holdout["sale_id"].tolist()
    assert told["figures"]["mdape"] == pytest.approx(np.median(np.abs(valued["value"] / valued["price"] - 1)))
    low, high = range_columns(0.5)
    inside = (valued[low] <= valued["price"]) & (valued["price"] <= valued[high])
    assert told["ranges"]["0.5"]["coverage"] == inside.mean()
    bands = told["confidence"].values()
    assert sum(band["n"] for band in bands) == len(valued)
    right = np.abs(valued["value"] / valued["price"] - 1) <= 0.1
    assert sum(band["n"] * band["kept"] for band in bands) == pytest.approx(right.sum())


def test_an_empty_holdout_gives_no_figure():
    nothing = SALES[:0]
    valued = valued_holdout(frozen_valuer(), live_valuer(), nothing, SALES)
    told = evaluation(live_valuer(), valued, {}, 1)
    assert told["figures"]["n"] == 0
    assert told["figures"]["mdape"] is None
    assert told["range"]["coverage"] is None


def test_the_last_sale_is_carried_by_the_index():
    sales = town_sales()
    index = fit_hedonic(sales, town()).index
    last = sales[sales["property_id"] == sales["property_id"].iloc[-1]].tail(1)
    home = last.assign(sale_date=np.datetime64("2020-06-01"))
    move = np.diff(index.level([sales["sale_date"].iloc[-1].date(), date(2020, 6, 1)]))[0]
    assert last_sale_indexed(sales, home, town(), index)[0] == pytest.approx(home["price"].iloc[0] * np.exp(move))
    stranger = home.assign(property_id="never sold")
    np.testing.assert_allclose(
        last_sale_indexed(sales, stranger, town(), index), median_per_area(sales, stranger, town())
    )


@pytest.mark.parametrize("area", [np.nan, 0.0, -5.0])
def test_a_home_without_a_living_area_counts_as_one_of_the_usual_size(area):
    """A value of 0, or of no size at all, would end the evaluation."""
    sales = town_sales()
    home = sales.tail(1)
    recent = sales[sales["sale_date"] > sales["sale_date"].max() - np.timedelta64(365, "D")]
    unknown = median_per_area(sales, home.assign(area=area), town())
    np.testing.assert_allclose(unknown, median_per_area(sales, home.assign(area=recent["area"].median()), town()))
    odd = sales.assign(area=sales["area"].where(sales.index % 7 > 0, area))
    assert (median_per_area(odd, odd, town()) > 0).all()
    nowhere = median_per_area(sales.assign(area=area), home.assign(area=area), town())
    assert np.isfinite(nowhere).all()
    assert (nowhere > 0).all()
