"""What users rely on in a value: it is the same every time, obeys its directions, and explains itself."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bundle import read_bundle, write_bundle
from models.evaluation import evaluation, reference_values, valued_holdout
from models.hedonic import fit_hedonic
from models.market import Market
from models.references import last_sale_indexed, median_per_area
from models.split import before, plan_split, within
from models.valuer import AsOfError
from tests.town import SEARCHED, town, town_sales, town_valuer

HOME = {"area": 120.0, "quarter": "old", "rooms": 4, "pool": True, "noise": 50.0}
TODAY = date(2019, 12, 1)

homes = st.fixed_dictionaries(
    {
        "area": st.floats(10, 1000),
        "quarter": st.sampled_from(["east", "old", "west", "new"]),
        "rooms": st.one_of(st.none(), st.integers(1, 20)),
        "pool": st.booleans(),
        "noise": st.floats(0, 120),
    }
)


@pytest.fixture(scope="module")
def valuer():
    return town_valuer()


def one(valuer, home, as_of=TODAY):
    return valuer.appraise([home], as_of)[0]


@settings(max_examples=50, deadline=None)
@given(batch=st.lists(homes, min_size=1, max_size=12))
def test_a_home_has_one_value_alone_in_a_batch_and_in_any_order(valuer, batch):
    together = valuer.appraise(batch, TODAY)
    assert together == [one(valuer, home) for home in batch]
    assert together == valuer.appraise(batch[::-1], TODAY)[::-1]


@settings(max_examples=100, deadline=None)
@given(home=homes, more=st.floats(1, 500), louder=st.floats(1, 60))
def test_declared_directions_hold(valuer, home, more, louder):
    value = one(valuer, home).value
    assert one(valuer, home | {"area": home["area"] + more}).value >= value
    assert one(valuer, home | {"pool": True}).value >= value
    assert one(valuer, home | {"noise": home["noise"] + louder}).value <= value


@settings(max_examples=100, deadline=None)
@given(home=homes, day=st.dates(date(2015, 1, 1), date(2020, 12, 1)))
def test_reasons_add_up_and_the_range_holds_the_value(valuer, home, day):
    appraisal = one(valuer, home, day)
    cents = round(100 * appraisal.base) + sum(round(100 * r.amount) for r in appraisal.reasons)
    assert cents == round(100 * appraisal.value)
    assert appraisal.low <= appraisal.value <= appraisal.high
    assert abs(appraisal.reasons[-1].amount) < 1


def test_the_frame_and_the_single_home_roads_agree(valuer):
    sales = town_sales()[:50]
    frame = valuer.value(sales, TODAY)
    rows = [
        {k: (None if v != v else v) for k, v in row.items()}
        for row in sales[list(town().field_names)].to_dict("records")
    ]
    assert frame.tolist() == [a.value for a in valuer.appraise(rows, TODAY)]


def test_the_same_sales_give_the_same_bytes(tmp_path):
    assert write_bundle(tmp_path / "a", town_valuer()) == write_bundle(tmp_path / "b", town_valuer())


def test_a_value_survives_the_way_to_disk_and_back(valuer, tmp_path):
    digest = write_bundle(tmp_path / "bundle", valuer)
    again, found = read_bundle(tmp_path / "bundle")
    assert found == digest
    assert one(again, HOME) == one(valuer, HOME)
    assert (again.memory_end, again.horizon_days, again.support, again.typical) == (
        valuer.memory_end,
        valuer.horizon_days,
        valuer.support,
        valuer.typical,
    )


def test_a_date_it_cannot_speak_for_is_refused_with_the_allowed_ones(valuer):
    for day in (date(2014, 12, 31), date(2022, 1, 1)):
        with pytest.raises(AsOfError, match=f"as_of is {day}; allowed: 2015-01-01 to {valuer.last_day}"):
            one(valuer, HOME, day)


def test_a_market_of_small_units_is_told_to_the_cent(valuer):
    raw = town().to_dict() | {"price": {"range": [1, 9000]}}
    appraisal = one(replace(valuer, market=Market.from_dict(raw)), HOME)
    whole = one(valuer, HOME)
    assert appraisal.value != whole.value == round(appraisal.value)
    assert (appraisal.value, appraisal.low) == (round(appraisal.value, 2), round(appraisal.low, 2))
    cents = round(100 * appraisal.base) + sum(round(100 * r.amount) for r in appraisal.reasons)
    assert cents == round(100 * appraisal.value)


def test_a_later_date_moves_the_value_by_the_market_alone(valuer):
    then, now = one(valuer, HOME, valuer.memory_end), one(valuer, HOME, date(2020, 6, 1))
    market = {r.name: r.amount for r in now.reasons}["market"]
    assert {r.name: r.amount for r in then.reasons}["market"] == 0
    assert now.value > then.value
    assert market > 0


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"area": 900.0}, "Living area 900 is outside the sales the model has seen"),
        ({"quarter": "harbour"}, "Quarter 'harbour' is not among the sales the model has seen"),
        ({"rooms": None}, "Rooms is missing"),
    ],
)
def test_what_the_model_has_not_seen_is_said(valuer, change, warning):
    assert any(warning in w for w in one(valuer, HOME | change, valuer.memory_end).warnings)


def test_an_ordinary_home_on_an_ordinary_day_needs_no_warning(valuer):
    assert one(valuer, HOME, valuer.memory_end).warnings == ()


def test_the_candidate_beats_every_reference_model_and_its_range_covers():
    sales = town_sales(3000)
    split = plan_split(sales["sale_date"], 12, 2, 12)
    train, holdout = before(sales, split.train_end), within(sales, split.holdout)
    valuer = town_valuer(train, rounds=120)
    valued = valued_holdout(valuer, holdout)
    judged = evaluation(valuer, holdout, valued, reference_values(train, holdout, town(), SEARCHED, 120, 1), train)
    assert all(judged["figures"]["mdape"] < figures["mdape"] for figures in judged["references"].values())
    assert judged["range"]["coverage"] == pytest.approx(0.9, abs=0.06)
    for groups in judged["segments"].values():
        assert sum(figures["n"] for figures in groups.values()) == len(holdout)


def test_an_empty_holdout_gives_no_figure():
    sales = town_sales()
    valuer = town_valuer(sales)
    nothing = sales[:0]
    judged = evaluation(valuer, nothing, valued_holdout(valuer, nothing), {}, sales)
    assert judged["figures"]["n"] == 0
    assert judged["figures"]["mdape"] is None
    assert judged["range"]["coverage"] is None


def test_the_last_sale_is_carried_by_the_index():
    sales = town_sales()
    hedonic = fit_hedonic(sales, town())
    home = (
        sales[sales["property_id"] == sales["property_id"].iloc[-1]]
        .tail(1)
        .assign(sale_date=np.datetime64("2020-06-01"))
    )
    move = np.diff(hedonic.index.level([sales["sale_date"].iloc[-1].date(), date(2020, 6, 1)]))[0]
    assert last_sale_indexed(sales, home, town(), hedonic)[0] == pytest.approx(home["price"].iloc[0] * np.exp(move))
    stranger = home.assign(property_id="never sold")
    np.testing.assert_allclose(
        last_sale_indexed(sales, stranger, town(), hedonic), median_per_area(sales, stranger, town())
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
