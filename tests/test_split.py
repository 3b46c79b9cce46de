"""Training, folds and hold-out never share a sale, and nothing later is known earlier."""

from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.split import Split, before, plan_split, within
from tests.town import town_sales


def monthly(months: int, first: str = "2010-01-15") -> pd.Series:
    return pd.Series(pd.date_range(first, periods=months, freq="MS"))


def test_seven_years_hold_out_the_whole_last_year():
    split = plan_split(monthly(84, "2010-01-01"), holdout_months=12, fold_count=3, fold_months=12)
    assert str(split.holdout) == "2016-01 to 2016-12"
    assert [str(f) for f in split.folds] == ["2013-01 to 2013-12", "2014-01 to 2014-12", "2015-01 to 2015-12"]


@given(months=st.integers(30, 200), holdout=st.integers(1, 24), folds=st.integers(1, 3), fold_months=st.integers(1, 24))
def test_windows_follow_each_other_up_to_the_last_sale(months, holdout, folds, fold_months):
    dates = monthly(months)
    split = plan_split(dates, holdout, folds, fold_months)
    windows = [*split.folds, split.holdout]
    assert all(earlier.end == later.first for earlier, later in pairwise(windows))
    assert windows[0].first > dates.min()
    assert split.holdout.end > dates.max()
    assert Split.from_dict(split.to_dict()) == split


def test_a_short_history_gets_shorter_windows():
    split = plan_split(monthly(24, "2020-01-01"), holdout_months=12, fold_count=3, fold_months=12)
    assert str(split.holdout) == "2021-09 to 2021-12"


@given(months=st.integers(3, 200), folds=st.integers(1, 8), fold_months=st.integers(1, 24))
def test_of_the_folds_only_as_many_are_left_as_have_a_window_to_train_on(months, folds, fold_months):
    dates = monthly(months, "2010-01-01")
    split = plan_split(dates, 1, folds, fold_months)
    first = split.folds[0]
    window = (first.end.to_period("M") - first.first.to_period("M")).n
    trained = (first.first.to_period("M") - dates.min().to_period("M")).n
    assert trained >= window
    assert len(split.folds) == folds or (len(split.folds) < folds and trained < 2 * window)


def test_a_history_too_short_says_so_and_what_to_do():
    with pytest.raises(ValueError, match=r"history of 2 months \(2010-02 to 2010-03\).*too short.*bring earlier sales"):
        plan_split(monthly(2), 1, 3, 1)


def test_no_sales_can_not_be_split():
    with pytest.raises(ValueError, match="there are no sales to split"):
        plan_split(monthly(0), 1, 3, 1)


def test_every_sale_is_in_training_or_in_the_holdout_never_in_both():
    sales = town_sales()
    split = plan_split(sales["sale_date"], 12, 3, 12)
    train, holdout = before(sales, split.train_end), within(sales, split.holdout)
    assert len(train) + len(holdout) == len(sales)
    assert train["sale_date"].max() < holdout["sale_date"].min()
