"""What past sales say of a home: found where the home is, of what its directed facts don't move, and told when thin."""

from datetime import date
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evidence import (
    ALIKE,
    AROUND,
    NEAREST,
    NTH_NEAR,
    RECENT,
    RECENT_MONTHS,
    SHRINK,
    Evidence,
    evidence_columns,
)
from models.fault import Fault
from models.memory import build_memory, month_period
from models.near import CLOSEST
from models.place import KM_PER_DEGREE
from tests.town import (
    AREA,
    COORDINATES,
    MAPPED_HOME,
    POOL,
    QUARTER,
    ROOMS,
    SOUND,
    mapped_homes,
    mapped_sales,
    mapped_town,
    town,
    town_memory,
    town_sales,
)

MARKET = mapped_town()
SALES = mapped_sales()
MEMORY = build_memory(SALES, MARKET)
EVIDENCE = Evidence(MEMORY)
NAMES = [column.name for column in evidence_columns(MARKET)]
DAY = date(2018, 7, 10)
MONTH = int(MEMORY.months([DAY])[0])


def of(home, day=DAY, evidence=EVIDENCE):
    columns = {name: [home.get(name)] for name in evidence.memory.market.field_names}
    told = evidence.of(columns, evidence.memory.terms.raw(columns), [home.get("property_id")], [day])[0]
    return dict(zip([c.name for c in evidence_columns(evidence.memory.market)], told, strict=True))


@cache
def once():
    """A memory without a second sale of any home: no two sales are equally far."""
    return build_memory(mapped_sales(3000).drop_duplicates("property_id").reset_index(drop=True), MARKET)


def by_hand(memory, home):
    """The levels near by from first principles: every distance, sorted."""
    known = memory.known(MONTH)
    sold = memory.sales[: known.count]
    middle, unit = memory.places.middle, memory.places.unit
    east = (sold["longitude"] - home["longitude"]) * KM_PER_DEGREE * np.cos(np.radians(middle[0]))
    north = (sold["latitude"] - home["latitude"]) * KM_PER_DEGREE
    distance = np.hypot(east, north).to_numpy() / unit
    every = np.argsort(distance, kind="stable")
    around = known.standing[every][:AROUND].mean()
    order = every[np.isin(every, known.trusted)]
    late = known.trusted[memory.month[known.trusted] >= MONTH - RECENT_MONTHS]
    last = known.trusted[-2 * max(k for k, _ in RECENT) :]
    of_late = order[np.isin(order, late if len(late) >= len(last) else last)]

    def level(among, k, fading):
        first = among[:k]
        weight = np.exp(-(MONTH - memory.month[first]) / 12 / fading) / (distance[first] + CLOSEST)
        return (weight * known.residual[first]).sum() / weight.sum()

    told = [level(order, *asked) for asked in NEAREST] + [level(of_late, *asked) for asked in RECENT]
    return told, distance[order[NTH_NEAR - 1]], around


@settings(max_examples=20, deadline=None)
@given(north=st.floats(-0.02, 0.02), east=st.floats(-0.05, 0.05))
def test_levels_are_those_of_the_nearest_sales(north, east):
    home = MAPPED_HOME | {"latitude": 50.0 + north, "longitude": 8.0 + east}
    told, (levels, thin, around) = of(home, evidence=Evidence(once())), by_hand(once(), home)
    assert [told[name] for name in NAMES[: len(levels)]] == pytest.approx(levels, abs=1e-5)
    assert told["near_distance"] == pytest.approx(thin, abs=1e-5)
    assert told["around_standing"] == pytest.approx(around, abs=1e-9)


def test_of_sales_at_one_spot_the_newest_count_whatever_is_sold_elsewhere():
    """Homes of one building are equally far: without an order, the layout of the tree would choose among them."""
    at = SALES.index[SALES["sale_date"] < pd.Timestamp("2018-06-01")][-40:]
    spot = SALES.assign(latitude=SALES["latitude"].where(~SALES.index.isin(at), 50.05))
    spot = spot.assign(longitude=spot["longitude"].where(~spot.index.isin(at), 8.2))
    home = MAPPED_HOME | {"latitude": 50.05, "longitude": 8.2}
    memory = build_memory(spot, MARKET)
    known = memory.known(MONTH)
    newest = at[np.isin(at, known.trusted)][::-1]
    assert of(home, evidence=Evidence(memory))["around_standing"] == pytest.approx(
        known.standing[at[-AROUND:]].mean(), abs=1e-9
    )
    for k, fading in NEAREST[:2]:
        weight = np.exp(-(MONTH - memory.month[newest[:k]]) / 12 / fading)
        level = (weight * known.residual[newest[:k]]).sum() / weight.sum()
        assert of(home, evidence=Evidence(memory))[f"near_{k}"] == pytest.approx(level, abs=1e-5)


def test_the_facts_of_a_sale_that_is_not_believed_still_tell_of_the_surroundings():
    home = {
        **MAPPED_HOME,
        "latitude": float(SALES["latitude"].iloc[500]),
        "longitude": float(SALES["longitude"].iloc[500]),
    }
    typo = Evidence(build_memory(SALES.assign(price=SALES["price"].where(SALES.index != 500, 1e8)), MARKET))
    assert 500 not in typo.memory.known(MONTH).trusted
    told = of(home, evidence=typo)
    for name in (n for n in NAMES if n.startswith("around_") and n != "around_standing"):
        assert told[name] == of(home)[name]


def test_the_level_of_a_category_is_the_held_back_mean_of_its_sales():
    known = MEMORY.known(MONTH)
    old = known.residual[known.trusted][(SALES["quarter"].iloc[known.trusted] == "old").to_numpy()]
    assert of(MAPPED_HOME)["level_quarter"] == pytest.approx(old.sum() / (len(old) + SHRINK), abs=1e-12)
    assert of(MAPPED_HOME | {"quarter": "new"})["level_quarter"] == 0
    assert of(MAPPED_HOME | {"quarter": None})["level_quarter"] == 0


def test_a_homes_own_last_sale_is_the_last_before_the_month():
    known = MEMORY.known(MONTH)
    sold = SALES[: known.count]
    twice = sold[sold["property_id"].duplicated()]["property_id"].unique()[:20]
    for name in twice:
        position = int(np.flatnonzero(sold["property_id"] == name)[-1])
        told = of(MAPPED_HOME | {"property_id": name})
        assert told["last_sale"] == known.residual[position]
        days = (pd.Timestamp(DAY) - sold["sale_date"].iloc[position]).days
        assert told["last_sale_age"] == pytest.approx(days / 365.25)


@pytest.mark.parametrize("name", [None, "never sold"])
def test_a_home_not_known_to_have_been_sold_has_no_last_sale(name):
    told = of(MAPPED_HOME | {"property_id": name})
    assert np.isnan([told["last_sale"], told["last_sale_age"]]).all()


directed = st.fixed_dictionaries(
    {
        "area": st.none() | st.floats(0, 1e6),
        "pool": st.none() | st.booleans(),
        "noise": st.none() | st.floats(-100, 1e6),
    }
)


@settings(max_examples=60, deadline=None)
@given(home=mapped_homes, facts=directed, day=st.dates(date(2016, 1, 1), date(2020, 6, 1)))
def test_no_fact_with_a_direction_has_a_say_in_it(home, facts, day):
    np.testing.assert_array_equal([*of(home, day).values()], [*of(home | facts, day).values()])


def test_facts_without_a_direction_have():
    few, many = (of(MAPPED_HOME | {"property_id": SALES["property_id"].iloc[0], "rooms": rooms}) for rooms in (1, 8))
    assert {name for name in NAMES if few[name] != many[name]} == {n for n in NAMES if n.startswith("alike_")}


@pytest.mark.parametrize("missing", ["latitude", "longitude"])
def test_a_home_without_a_place_has_no_neighbours(missing):
    told = of(MAPPED_HOME | {missing: None, "property_id": "p1"})
    nowhere = {n for n in NAMES if n.startswith(("near_", "recent_", "alike_", "around_"))}
    assert {name for name in NAMES if np.isnan(told[name])} - {"last_sale", "last_sale_age"} == nowhere


def test_the_farther_the_home_the_thinner_its_evidence():
    distances = [of(MAPPED_HOME | {"latitude": 50.0 + north})["near_distance"] for north in (0, 0.05, 0.1, 1)]
    assert distances == sorted(distances)
    assert distances[-1] > 50 * distances[0]


def test_a_premium_that_no_fact_tells_of_is_found_on_the_map():
    inside = np.hypot(SALES["latitude"] - 50.005, SALES["longitude"] - 8.05) < 0.007
    assert inside.sum() > 50
    dearer = SALES.assign(price=SALES["price"].where(~inside, SALES["price"] * np.exp(0.3)))
    evidence = Evidence(build_memory(dearer, MARKET))
    home = MAPPED_HOME | {"quarter": "east"}
    there = of(home | {"latitude": 50.005, "longitude": 8.05}, evidence=evidence)
    elsewhere = of(home | {"latitude": 49.985, "longitude": 8.05}, evidence=evidence)
    for name in ("near_5", "near_15", "recent_15", "alike_5"):
        assert there[name] - elsewhere[name] > 0.15


def test_a_sale_that_is_not_believed_is_nobodys_neighbour():
    row = 900
    typo = SALES.assign(price=SALES["price"].where(SALES.index != row, SALES["price"] * 20))
    gone = SALES.drop(index=row).reset_index(drop=True)
    home = {name: SALES[name].iloc[row] for name in MARKET.field_names} | {"pool": bool(SALES["pool"].iloc[row])}
    poisoned, without = (of(home, evidence=Evidence(build_memory(s, MARKET))) for s in (typo, gone))
    for name in ("near_distance", "alike_distance"):
        assert poisoned[name] == without[name]
    for name in (n for n in NAMES if n.startswith(("near_", "alike_", "recent_", "level_"))):
        assert poisoned[name] == pytest.approx(without[name], abs=0.01)


def test_in_a_frozen_memory_neighbours_stay_and_ages_grow():
    frozen = Evidence(MEMORY.before(month_period(MONTH).start_time))
    home = MAPPED_HOME | {"property_id": SALES["property_id"].iloc[500]}
    now, later = of(home, DAY, frozen), of(home, date(2019, 7, 10), frozen)
    assert now == of(home, DAY)
    for name in NAMES:
        older = {"last_sale_age": 1.0, "months_behind": 12.0}.get(name, 0.0)
        assert later[name] - now[name] == pytest.approx(older, abs=0.002)


def test_the_first_month_has_evidence_already():
    told = of(MAPPED_HOME, MEMORY.first_day)
    assert np.isfinite([told[n] for n in NAMES if not n.startswith("last_sale")]).all()


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ((AREA, QUARTER, ROOMS, POOL, SOUND), True),
        ((AREA, *COORDINATES), True),
        ((QUARTER,), True),
        ((AREA, ROOMS, SOUND), False),
        ((QUARTER | {"role": "property_type"},), False),
    ],
)
def test_a_market_that_does_not_say_where_homes_are_has_fewer_columns(fields, place):
    market = town(*fields)
    sales = mapped_sales(600)[["sale_id", "property_id", "sale_date", "price", *market.field_names]]
    evidence = Evidence(town_memory(sales, market))
    names = [column.name for column in evidence_columns(market)]
    assert market.says_where == place == ("near_distance" in names)
    homes = sales[:7]
    told = evidence.of(homes, evidence.memory.terms.raw(homes), homes["property_id"].tolist(), [DAY] * 7)
    assert told.shape == (7, len(names))
    assert names[-3:] == ["last_sale", "last_sale_age", "months_behind"]
    assert np.isfinite(told[:, :-3]).all()


def test_without_coordinates_sales_of_the_own_neighbourhood_come_first():
    sales = town_sales()
    memory = town_memory(sales)
    dearer = sales.assign(quarter=sales["quarter"], price=sales["price"])
    months = memory.month
    risen = (sales["quarter"] == "west") & (months >= memory.end_month - 4)
    dearer["price"] = sales["price"].where(~risen, sales["price"] * np.exp(0.2))
    evidence = Evidence(town_memory(dearer))
    west, east = (of({"quarter": quarter}, date(2020, 1, 1), evidence) for quarter in ("west", "east"))
    assert west["near_15"] - east["near_15"] > 0.1


def test_a_market_where_hardly_any_home_has_a_place_still_has_evidence():
    rare = np.arange(len(SALES)) % 100 > 0
    sales = SALES.assign(latitude=SALES["latitude"].mask(rare), longitude=SALES["longitude"].mask(rare))
    try:
        evidence = Evidence(build_memory(sales, MARKET))
    except Fault:
        pytest.fail("a market with few places is a market")
    told = of(MAPPED_HOME, evidence=evidence)
    assert np.isfinite([told["near_5"], told["level_quarter"]]).all()


def test_every_column_says_what_it_is_and_under_what_it_is_told():
    columns = evidence_columns(MARKET)
    assert len({c.name for c in columns}) == len({c.label for c in columns}) == len(columns)
    assert {c.group for c in columns} == {"comparables", "history", "location", "market"}
    assert [c.name for c in columns if c.name.startswith("alike_")][:-1] == [n for n in NAMES if n in _alike()]


def _alike():
    return {f"alike_{k}" if fading >= 2 else f"alike_{k}_in_{round(12 * fading)}_months" for k, fading in ALIKE}
