"""Nothing that is sold in a month or after it reaches what is said of that month, and the check would see it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.appraisal import appraise
from models.drill import records
from models.evidence import Evidence
from models.features import fit_features
from models.fit import Settings, judge_folds
from models.memory import SaleMemory, build_memory, month_number, month_period
from models.split import Window
from models.start import starting_point
from models.training import fit, learn, make_fold
from tests.town import SEARCHED, TRAINED, frozen_valuer, mapped_sales, mapped_town

MARKET = mapped_town()
SALES = mapped_sales(800)
MONTH = month_number(SALES["sale_date"])
FIRST, LAST = build_memory(SALES, MARKET).first_month, int(MONTH[-1])
ASKED = SALES.iloc[::20]

Seen = dict[str, np.ndarray]
Look = Callable[[pd.DataFrame, int], Seen]
Spoil = Callable[[pd.DataFrame, np.ndarray], pd.DataFrame]


def dearer(sales: pd.DataFrame, later: np.ndarray) -> pd.DataFrame:
    return sales.assign(price=sales["price"].where(~later, sales["price"] * 3))


def other_homes(sales: pd.DataFrame, later: np.ndarray) -> pd.DataFrame:
    changed = sales.copy()
    for name in MARKET.field_names:
        changed.loc[later, name] = sales.loc[later, name].to_numpy()[::-1]
    changed.loc[later, "property_id"] = "p1"
    return changed


def more(sales: pd.DataFrame, later: np.ndarray) -> pd.DataFrame:
    added = sales[later].assign(price=lambda s: s["price"] * 2, sale_id=lambda s: s["sale_id"] + "b")
    return pd.concat([sales, added]).sort_values(["sale_date", "sale_id"], ignore_index=True)


def fewer(sales: pd.DataFrame, later: np.ndarray) -> pd.DataFrame:
    return sales[~later | (np.arange(len(sales)) % 3 == 0)].reset_index(drop=True)


spoils = pytest.mark.parametrize("spoil", [dearer, other_homes, more, fewer])


def month_start(month: int) -> pd.Timestamp:
    return month_period(month).start_time


def last_day(month: int) -> date:
    return month_period(month).end_time.date()


def days_of(day: date) -> np.ndarray:
    """One for each home that is asked for."""
    return np.full(len(ASKED), np.datetime64(day))


def start(memory: SaleMemory, days: np.ndarray) -> np.ndarray:
    level, by_field = starting_point(memory, memory.terms.raw(ASKED), days)
    return np.column_stack([level, by_field])


def evidence(memory: SaleMemory, days: np.ndarray) -> np.ndarray:
    return Evidence(memory).of(ASKED, memory.terms.raw(ASKED), ASKED["property_id"].tolist(), days)


def what_training_sees(sales: pd.DataFrame, month: int) -> Seen:
    """Of the sales before a month, row by row."""
    learnt = learn(build_memory(sales, MARKET)).rows(None, month_start(month))
    return {
        "matrix": learnt.matrix(fit_features(learnt.sales, MARKET)),
        "stale": learnt.stale,
        "target": learnt.target,
        "start": learnt.start,
    }


def what_a_value_rests_on(sales: pd.DataFrame, month: int) -> Seen:
    """On the last day of a month, and on that of the month before."""
    memory = build_memory(sales, MARKET)
    seen: Seen = {}
    for at in (month, max(month - 1, FIRST)):
        known, days = memory.known(at), days_of(last_day(at))
        told = {"evidence": evidence(memory, days), "start": start(memory, days), "level": memory.level(days)}
        told |= {"worth": known.hedonic.worth, "residual": known.residual, "trusted": known.trusted}
        seen |= {f"{name} {at - month}": array for name, array in told.items()}
    return seen


@cache
def honest_look(look: Look, month: int) -> Seen:
    return look(SALES, month)


def leaks(look: Look, spoil: Spoil, month: int) -> list[str]:
    """What differs, by a bit, when all that is sold from the month on is spoilt."""
    honest, other = honest_look(look, month), look(spoil(SALES, month <= MONTH), month)
    return [name for name in honest if not np.array_equal(honest[name], other[name], equal_nan=True)]


months = st.integers(FIRST, LAST)


@spoils
@settings(max_examples=3, deadline=None)
@given(month=months)
def test_training_sees_nothing_of_what_is_sold_later(spoil, month):
    assert leaks(what_training_sees, spoil, month) == []


@spoils
@settings(max_examples=4, deadline=None)
@given(month=months)
def test_a_value_rests_on_nothing_sold_in_its_month_or_later(spoil, month):
    assert leaks(what_a_value_rests_on, spoil, month) == []


@pytest.mark.parametrize("month", [FIRST + 5, LAST - 3])
def test_a_regression_of_later_sales_would_be_found_out(month):
    def look(sales: pd.DataFrame, at: int) -> Seen:
        memory = build_memory(sales, MARKET)
        memory.vintages[at] = memory.vintages[at + 1]
        return {"start": start(memory, days_of(last_day(at)))}

    assert leaks(look, dearer, month) == ["start"]


@pytest.mark.parametrize("month", [FIRST + 5, LAST - 3])
def test_evidence_of_the_month_itself_would_be_found_out(month):
    def look(sales: pd.DataFrame, at: int) -> Seen:
        return {"evidence": evidence(build_memory(sales, MARKET), days_of(last_day(at + 1)))}

    assert [leaks(look, spoil, month) for spoil in (dearer, other_homes, more, fewer)] == [["evidence"]] * 4


def test_an_average_over_all_sales_would_be_found_out():
    def look(sales: pd.DataFrame, month: int) -> Seen:
        levels = sales.groupby("quarter")["price"].mean()
        return {"planted": levels.loc[sales["quarter"][month_number(sales["sale_date"]) < month]].to_numpy()}

    assert leaks(look, dearer, LAST) == ["planted"]


def own_price_reaches(matrix_of: Callable[[pd.DataFrame], np.ndarray], row: int) -> bool:
    """Whether any sale up to the month of this one is seen differently for its price."""
    early = MONTH[MONTH >= FIRST] <= MONTH[row]
    dear = SALES.assign(price=SALES["price"].where(SALES.index != row, SALES["price"] * 1.5))
    return not np.array_equal(matrix_of(SALES)[early], matrix_of(dear)[early], equal_nan=True)


@settings(max_examples=4, deadline=None)
@given(row=st.integers(int(np.searchsorted(MONTH, FIRST)), len(SALES) - 1))
def test_a_sales_own_price_never_reaches_its_own_features(row):
    def matrix_of(sales):
        learnt = learn(build_memory(sales, MARKET))
        return np.column_stack([learnt.matrix(fit_features(learnt.sales, MARKET)), learnt.stale, learnt.start])

    assert not own_price_reaches(matrix_of, row)


def test_an_own_price_among_the_features_would_be_found_out():
    def matrix_of(sales):
        learnt = learn(build_memory(sales, MARKET))
        return np.column_stack([learnt.evidence, learnt.target > 0.1])

    row = int(np.flatnonzero(np.isin(MONTH, [LAST - 1]))[0])
    assert own_price_reaches(matrix_of, row)


@spoils
def test_the_forests_of_a_fold_are_the_same_whatever_its_window_sells_for(spoil):
    window = Window(month_start(LAST - 5), month_start(LAST + 1))
    folds = [
        make_fold(learn(build_memory(sales, MARKET)), window)
        for sales in (SALES, spoil(SALES, month_number([window.first])[0] <= MONTH))
    ]
    bags = [fit(fold.known, fold.features, SEARCHED, 10, 2, 7) for fold in folds]
    assert [f.model_to_string() for f in bags[0].forests] == [f.model_to_string() for f in bags[1].forests]


def test_a_fold_judges_each_month_by_what_was_known_before_it():
    learnt = learn(build_memory(SALES, MARKET))
    window = Window(month_start(LAST - 5), month_start(LAST + 1))
    spoilt = learn(build_memory(dearer(SALES, MONTH >= LAST - 2), MARKET))
    how = Settings(SEARCHED, 10, 2, 7)
    (honest,), (other,) = (judge_folds([make_fold(one, window)], how) for one in (learnt, spoilt))
    np.testing.assert_array_equal(honest.errors[honest.month < LAST - 2], other.errors[other.month < LAST - 2])
    later = other.month == LAST - 2
    np.testing.assert_allclose(other.errors[later] - honest.errors[later], np.log(3), rtol=1e-9)


LIVE = mapped_sales()
LIVE_MONTH = month_number(LIVE["sale_date"])
LIVE_FIRST = int(month_number([TRAINED])[0])


@spoils
@settings(max_examples=3, deadline=None)
@given(month=st.integers(LIVE_FIRST, int(LIVE_MONTH[-1])), back=st.integers(0, 3))
def test_an_appraisal_is_the_same_whatever_is_sold_in_its_month_or_later(spoil, month, back):
    homes = records(LIVE.iloc[::90], MARKET)
    honest, other = (frozen_valuer().refreshed(s) for s in (LIVE, spoil(LIVE, month <= LIVE_MONTH)))
    day = last_day(month - back)
    assert appraise(honest, homes, day) == appraise(other, homes, day)


def test_an_appraisal_that_looked_ahead_would_differ():
    valuer = frozen_valuer().refreshed(LIVE)
    spoilt = frozen_valuer().refreshed(dearer(LIVE, LIVE_MONTH >= LIVE_FIRST + 6))
    ahead = replace(valuer, memory=spoilt.memory, track=spoilt.track)
    day = last_day(LIVE_FIRST + 7)
    assert (np.abs(ahead.value(ASKED, day) / valuer.value(ASKED, day) - 1) > 0.01).any()
