"""Reasons add up to the cent, whatever the parts, and are what the model's parts are."""

import math
from datetime import date
from functools import cache

import numpy as np
import pytest
import shap
from hypothesis import given, settings
from hypothesis import strategies as st

from models.appraisal import appraise
from models.evidence import evidence_columns
from models.field import GROUPS
from models.reasons import GROUP_LABELS, cents_of_parts, kinds_of, log_mean, reasons_in_money
from models.start import HEDONIC_SHARE
from tests.town import MAPPED_HOME, homes, live_valuer, mapped_homes, mapped_sales, town_sales, town_valuer

amounts_ = st.lists(st.floats(-2, 2), min_size=1, max_size=15)
groups = st.sampled_from([*GROUPS, "market", "comparables", "history"])
days = st.dates(date(2016, 1, 1), date(2020, 6, 1))


@cache
def unmapped_valuer():
    return town_valuer(town_sales(), rounds=20)


def kinds_in(groups):
    return kinds_of([f"f{i}" for i in range(len(groups))], [f"F{i}" for i in range(len(groups))], groups)


def reasons_of(value, log_base, amounts, groups=None):
    kinds = kinds_in(groups or ["facts"] * len(amounts))
    return reasons_in_money([value], [log_base], np.array([amounts]), kinds)[0]


def lines(reasons):
    return {line.name: line.amount for reason in reasons for line in reason.lines}


@given(log_base=st.floats(8, 15), parts=st.lists(st.tuples(st.floats(-2, 2), groups), min_size=1, max_size=15))
def test_base_and_reasons_are_the_value_to_the_cent(log_base, parts):
    amounts, groups = zip(*parts, strict=True)
    value = float(round(math.exp(log_base + math.fsum(amounts))))
    base, reasons = reasons_of(value, log_base, amounts, groups)
    assert round(100 * base) + sum(round(100 * r.amount) for r in reasons) == round(100 * value)
    for reason in reasons:
        assert round(100 * reason.amount) == sum(round(100 * line.amount) for line in reason.lines)
    assert [r.name for r in reasons[-1:]] == ["rounding"]
    assert {r.name for r in reasons[:-1]} == set(groups)
    told = {line.name: reason.name for reason in reasons[:-1] for line in reason.lines}
    assert told == {f"f{i}": group for i, group in enumerate(groups)}


@given(parts=st.lists(st.tuples(st.floats(-2, 2), groups), min_size=1, max_size=15))
def test_the_largest_come_first_and_of_equals_those_named_first(parts):
    amounts, groups = zip(*parts, strict=True)
    _, reasons = reasons_of(float(round(math.exp(13 + math.fsum(amounts)))), 13.0, amounts, groups)
    for told in (reasons[:-1], *(reason.lines for reason in reasons)):
        assert list(told) == sorted(told, key=lambda one: (-abs(one.amount), one.name))


@given(log_base=st.floats(8, 15), amounts=amounts_)
def test_rounding_is_its_own_small_line(log_base, amounts):
    value = float(round(math.exp(log_base + math.fsum(amounts))))
    _, reasons = reasons_of(value, log_base, amounts)
    assert reasons[-1].name == "rounding"
    assert abs(reasons[-1].amount) <= 0.5 + 0.01 * (len(amounts) + 1)


def test_what_raises_the_log_price_raises_the_money_and_the_largest_comes_first():
    told = {"size": 0.05, "location": -0.4, "quality": math.log(500_000) - 12.65}
    amounts, groups = list(told.values()), list(told)
    _, reasons = reasons_of(500_000.0, 13.0, amounts, groups)
    assert [r.name for r in reasons][:2] == ["quality", "location"]
    assert {r.name: r.amount > 0 for r in reasons[:3]} == {"size": True, "location": False, "quality": True}
    _, (reason, _) = reasons_of(500_000.0, 13.0, amounts)
    assert [line.name for line in reason.lines] == ["f2", "f1", "f0"]


def test_homes_are_told_the_same_together_and_alone():
    values, log_bases = [500_000.0, 320_000.0], [13.0, 12.5]
    parts, kinds = np.array([[0.1, -0.2, 0.3], [-1e-9, 0.05, 0.0]]), kinds_in(["size", "facts", "size"])
    told = [reasons_of(*one, list(kinds.groups[:-1])) for one in zip(values, log_bases, parts.tolist(), strict=True)]
    assert reasons_in_money(values, log_bases, parts, kinds) == told


def test_nothing_is_never_told_as_less_than_nothing():
    _, reasons = reasons_of(442413.0, 13.0, [-1e-12, 0.0])
    assert [math.copysign(1, line.amount) for line in reasons[0].lines] == [1, 1]


def test_parts_that_cancel_out_still_show():
    base, (reason, _) = reasons_of(442413.0, 13.0, [0.1, -0.1])
    assert reason.amount == 0
    assert reason.lines[0].amount == -reason.lines[1].amount != 0
    assert base == 442413.39


@given(start=st.floats(1e4, 1e7), amounts=amounts_)
def test_every_part_keeps_the_sign_and_the_share_it_has_in_log_price(start, amounts):
    total = math.fsum(amounts)
    end = start * math.exp(total)
    cents = cents_of_parts([start], [end], np.array([amounts]), ([start], [end]))[0, :-1].tolist()
    scale = log_mean(end, start)
    assert scale == pytest.approx((end - start) / total if abs(total) > 1e-6 else start, rel=1e-4)
    for cent, amount in zip(cents, amounts, strict=True):
        assert cent == pytest.approx(100 * scale * amount, abs=0.51)
        assert cent * amount >= 0


@settings(max_examples=60, deadline=None)
@given(home=mapped_homes, day=days)
def test_the_reasons_of_a_home_add_up_to_its_value_to_the_cent(home, day):
    told = appraise(live_valuer(), [home], day)[0]
    assert round(100 * told.base) + sum(round(100 * r.amount) for r in told.reasons) == round(100 * told.value)
    for reason in told.reasons:
        assert round(100 * reason.amount) == sum(round(100 * line.amount) for line in reason.lines)
    assert abs(told.reasons[-1].amount) <= 0.5 + 0.01 * (len(lines(told.reasons)) + 1)


@settings(max_examples=20, deadline=None)
@given(home=homes, day=days)
def test_so_they_do_in_a_market_without_a_map(home, day):
    told = appraise(unmapped_valuer(), [home], day)[0]
    assert round(100 * told.base) + sum(round(100 * r.amount) for r in told.reasons) == round(100 * told.value)


def test_every_line_is_told_under_the_group_that_its_fact_declares():
    valuer = live_valuer()
    told = appraise(valuer, [MAPPED_HOME], date(2020, 1, 1))[0]
    under = {line.name: reason.name for reason in told.reasons for line in reason.lines}
    expected = {f.name: f.group for f in valuer.market.fields}
    expected |= {f"sales.{c.name}": c.group for c in evidence_columns(valuer.market)}
    expected |= {"index": "market", "drift": "market", "rounding": "rounding"}
    expected |= {"local_drift": "comparables", "steepness": "comparables"}
    assert under == expected
    assert {under["area"], under["quarter"], under["rooms"]} == {"size", "location", "facts"}  # by role, or none
    assert {under["pool"], under["noise"]} == {"quality", "location"}  # as declared
    assert {r.name: r.label for r in told.reasons} == {r.name: GROUP_LABELS[r.name] for r in told.reasons}


def test_parts_are_hedonic_share_and_an_independent_readers_contributions():
    """Each fact's part is its share of the regression and what SHAP finds in the trees; the rest is index and drift."""
    valuer, asked = live_valuer(), mapped_sales()[::60]
    view = valuer.view(asked, date(2019, 12, 1))
    log_bases, told = valuer.parts(view)
    explained = [shap.TreeExplainer(forest) for forest in valuer.bag.forests]
    seen = [view.matrix + aside for aside in valuer.bag.aside]
    trees = np.mean([e.shap_values(rows) for e, rows in zip(explained, seen, strict=True)], axis=0)
    base = np.mean([e.expected_value for e in explained])
    hedonic = valuer.memory.known(int(view.months[0])).hedonic
    shares = HEDONIC_SHARE * hedonic.terms.by_field(hedonic.terms.design(asked), hedonic.worth)
    trees[:, : shares.shape[1]] += shares
    names = valuer.kinds(date(2019, 12, 1)).names
    assert names == ("index", "drift", "local_drift", "steepness", *valuer.features.names, "rounding")
    np.testing.assert_allclose(told[:, 4:], trees, atol=1e-6)
    year_before = hedonic.index.level([date(2018, 12, 1)])[0]
    np.testing.assert_allclose(log_bases, year_before + base, atol=1e-6)
    np.testing.assert_allclose(told[:, 0], hedonic.index.level([date(2019, 12, 1)])[0] - year_before, atol=1e-9)
    drift = valuer.track.drift(int(view.months[0]))
    np.testing.assert_allclose(told[:, 1], drift.level)
    np.testing.assert_allclose(told[:, 2], drift.of_places(asked["quarter"]))
    steeper = drift.steepness_of(asked["quarter"])
    assert (steeper != 0).all()
    np.testing.assert_allclose(told[:, 3], steeper * (base + trees.sum(axis=1)), atol=1e-6)
    np.testing.assert_allclose(log_bases + told.sum(axis=1), view.log_value, atol=1e-9)


def test_the_base_is_the_same_for_every_home_of_a_day():
    told = appraise(live_valuer(), [MAPPED_HOME, MAPPED_HOME | {"area": 60.0}, {}], date(2020, 1, 1))
    assert len({t.base for t in told}) == 1
    assert {t.base_meaning for t in told} == {"the typical home of The Town on 2019-01-01"}


def test_the_base_is_no_earlier_than_the_first_day():
    valuer = live_valuer()
    told = appraise(valuer, [MAPPED_HOME], valuer.first_day)[0]
    assert told.base_meaning.endswith(str(valuer.first_day))
    assert lines(told.reasons)["index"] == 0
