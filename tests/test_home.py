"""One home against a declaration: strict, complete in its faults, and never coerced."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.home import parse_home
from serving.home_columns import parse_homes
from tests.served import HOME, MARKET, train


def faults(**changed: Any) -> dict[str, str]:
    """The fields refused in the sample home after `changed`, with their suggestions."""
    return {e.field: str(e.suggestion) for e in parse_home(MARKET, HOME | changed)[1]}


def test_a_good_home_comes_through_typed_and_in_declared_order():
    home, errors = parse_home(MARKET, dict(reversed(HOME.items())))
    assert errors == []
    assert home == HOME
    assert list(home) == list(MARKET.field_names)
    assert [type(home[name]) for name in ("living_area", "rooms", "lift", "kind")] == [float, int, bool, str]


@pytest.mark.parametrize("value", [True, "3", [3], {"a": 3}, math.nan, math.inf, -math.inf])
def test_what_is_not_a_finite_number_is_no_number(value):
    assert set(faults(plot=value)) == {"plot"}
    assert set(faults(rooms=value)) == {"rooms"}


@pytest.mark.parametrize(
    ("name", "value"), [("living_area", 9.99), ("living_area", 1000.01), ("rooms", 0), ("plot", -1)]
)
def test_a_number_outside_the_declared_range_is_refused_with_the_range(name, value):
    errors = parse_home(MARKET, HOME | {name: value})[1]
    assert [(e.field, e.value, e.allowed) for e in errors] == [(name, value, MARKET[name].allowed)]


def test_an_integer_field_takes_whole_numbers_only():
    assert "whole number" in faults(rooms=2.5)["rooms"]
    assert parse_home(MARKET, HOME | {"rooms": 3.0})[0]["rooms"] == 3


@pytest.mark.parametrize("value", [0, 1, "true", "yes"])
def test_a_flag_takes_true_and_false_only(value):
    assert set(faults(lift=value)) == {"lift"}


def test_a_near_category_is_suggested():
    assert faults(kind="House") == {"kind": "did you mean 'house'?"}
    assert faults(kind="flta") == {"kind": "did you mean 'flat'?"}
    assert faults(kind=1) == {"kind": 'send it as text: "1"'}


@pytest.mark.parametrize("text", ["", " ", "a\nb", "a\x00", "\ud800", "a\u202eb", "x" * 201, 5, True])
def test_an_open_category_takes_short_printable_text_only(text):
    assert set(faults(quarter=text)) == {"quarter"}


def test_the_property_id_is_optional_text_and_comes_last():
    assert list(parse_home(MARKET, {"property_id": "p3"} | HOME)[0]) == [*MARKET.field_names, "property_id"]
    assert parse_home(MARKET, HOME | {"property_id": None}) == (HOME, [])


@pytest.mark.parametrize("text", ["", " ", "a\nb", "a\x00", "\ud800", "a\u202eb", "x" * 201, 5, True, ["p3"]])
def test_a_property_id_is_short_printable_text_only(text):
    assert set(faults(property_id=text)) == {"property_id"}


@pytest.mark.parametrize("wrong", ["propertyid", "parcel", "Property"])
def test_a_property_id_under_another_name_is_answered_with_the_right_one(wrong):
    assert faults(**{wrong: "p3"}) == {wrong: "did you mean 'property_id'?"}


def test_a_missing_field_is_refused_unless_declared_to_may_be_missing():
    home, errors = parse_home(MARKET, {k: v for k, v in HOME.items() if k not in ("energy", "plot")})
    assert [e.field for e in errors] == ["plot"]
    assert home["energy"] is None
    assert faults(energy=None) == {}
    assert set(faults(plot=None)) == {"plot"}


@pytest.mark.parametrize("wrong", ["livng_area", "Living area", "M2"])
def test_an_unknown_name_is_answered_with_the_field_that_was_meant(wrong):
    raw = {k: v for k, v in HOME.items() if k != "living_area"} | {wrong: 80}
    said = {e.field: e.suggestion for e in parse_home(MARKET, raw)[1]}
    assert said[wrong] == "did you mean 'living_area'?"


def test_contradictory_fields_name_the_rule():
    error = parse_home(MARKET, HOME | {"living_area": 20, "rooms": 5})[1][0]
    assert (error.field, error.rule) == ("rooms", "rooms_fit")
    assert "a room needs five square metres" in str(error.suggestion)


def test_swapped_coordinates_are_recognised():
    assert faults(lat=HOME["lon"], lon=HOME["lat"]) == {
        "lat": "lat and lon look swapped",
        "lon": "lat and lon look swapped",
    }


def test_all_faults_are_told_at_once():
    assert set(faults(rooms="3", lift=1, kind="castle", colour="red")) == {"rooms", "lift", "kind", "colour"}


def test_a_thousand_unknown_fields_are_not_all_looked_up():
    assert len(parse_home(MARKET, HOME | {f"x{i}": 1 for i in range(1000)})[1]) == 100


@pytest.mark.parametrize("raw", [None, [], "home", 3])
def test_a_home_must_be_an_object(raw):
    assert [e.field for e in parse_home(MARKET, raw)[1]] == ["home"]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from([*MARKET.field_names, "property_id"]) | st.text(max_size=8), ANYTHING))
def test_whatever_is_sent_is_refused_or_comes_out_as_declared(raw):
    home, errors = parse_home(MARKET, HOME | raw)
    assert errors or all(name in MARKET or name == "property_id" for name in raw)
    if not errors:
        assert all(home[name] == (HOME | raw).get(name) for name in MARKET.field_names)
        assert home.get("property_id") == raw.get("property_id")
        assert parse_home(MARKET, home) == (home, [])


def test_the_typical_home_is_one_that_the_api_takes():
    home = dict(train().typical)
    assert parse_home(MARKET, home) == (home, [])


def test_many_homes_come_through_as_each_alone():
    """`parse_homes` vouches for a good home with what `parse_home` gives, and for no other."""
    draw = random.Random(11)
    spoilt: dict[str, list[Any]] = {
        "living_area": [9.9, 10, 1000.0, 1e999, float("nan"), True, "80", None, 10**39],
        "plot": [-0.0, 0, 2**60 + 1, -1],
        "rooms": [3.0, 3.5, 1, 21, 2**53 + 1, "3", None],
        "lift": [False, None, 1, "true"],
        "kind": ["flat", "1", 1, "hous", None, ["flat"]],
        "quarter": ["hill", "", "a\u202eb", "x" * 300, 3],
        "energy": [None, 0, 900.5, float("nan")],
        "property_id": ["p3", None, 7, ""],
        "romms": [3],
    }
    homes: list[Any] = ["no home", None, {}, HOME]
    for _ in range(3000):
        home = dict(HOME)
        for name in draw.sample(sorted(spoilt), draw.choice([0, 1, 1, 2])):
            home[name] = draw.choice(spoilt[name])
        if draw.random() < 0.1:
            home.pop(draw.choice(sorted(home)))
        homes.append(home)
    good = 0
    for start in range(0, len(homes), 7):  # one of another type sends its slice to be read one by one
        some = homes[start : start + 7]
        for raw, quick in zip(some, parse_homes(MARKET, some), strict=True):
            home, faults = parse_home(MARKET, raw)
            if quick is not None:
                good += 1
                assert (repr(quick), faults) == (repr(home), [])
    assert good > 500
    assert parse_homes(MARKET, [HOME] * 3) == [parse_home(MARKET, HOME)[0]] * 3
