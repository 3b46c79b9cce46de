"""The same home has the same value to the last bit: in any batch, from disk, elsewhere, and told again later."""

import json
import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.appraisal import appraise
from models.bundle import read_bundle, write_bundle
from models.drill import records
from models.memory import month_number
from models.split import before
from tests.town import (
    AREA,
    SOUND,
    TRAINED,
    frozen_valuer,
    homes,
    live_valuer,
    mapped_homes,
    mapped_sales,
    mapped_town,
    town,
    town_sales,
    town_valuer,
)

ROOT = Path(__file__).parent.parent
SALES = mapped_sales()
TODAY = date(2020, 1, 15)
ONE_BY_ONE = [pd.Timestamp(f"2019-{month:02}-01") for month in range(2, 13)]


def values(valuer, batch, day):
    return valuer.view(valuer.columns(batch), day).log_value.tolist()


@settings(max_examples=60, deadline=None)
@given(batch=st.lists(mapped_homes, min_size=1, max_size=12), twice=st.booleans())
def test_a_home_has_one_value_alone_in_a_batch_twice_and_in_any_order(batch, twice):
    batch = batch * 2 if twice else batch
    together = values(live_valuer(), batch, TODAY)
    assert together == [values(live_valuer(), [home], TODAY)[0] for home in batch]
    assert together == values(live_valuer(), batch[::-1], TODAY)[::-1]


@settings(max_examples=15, deadline=None)
@given(batch=st.lists(mapped_homes, min_size=1, max_size=6))
def test_so_have_its_ranges_reasons_and_comparables(batch):
    together = appraise(live_valuer(), batch, TODAY, comparables=2)
    assert together == [appraise(live_valuer(), [home], TODAY, comparables=2)[0] for home in batch]
    assert together == appraise(live_valuer(), batch[::-1], TODAY, comparables=2)[::-1]


@settings(max_examples=20, deadline=None)
@given(batch=st.lists(mapped_homes, min_size=2, max_size=8), days=st.lists(st.dates(date(2016, 1, 1), TODAY)))
def test_a_batch_of_many_days_is_each_home_on_its_day(batch, days):
    days = [*days, *[TODAY] * len(batch)][: len(batch)]
    asked = live_valuer().columns(batch)
    together = live_valuer().view(asked, days).log_value.tolist()
    assert together == [values(live_valuer(), [home], day)[0] for home, day in zip(batch, days, strict=True)]


@pytest.fixture(scope="module", params=[(AREA, SOUND), (), (AREA,)], ids=["numbers", "no coordinates", "one number"])
def other(request):
    market = town(*request.param)
    return town_valuer(
        town_sales()[["sale_id", "property_id", "sale_date", "price", *market.field_names]], 20, market=market
    )


@settings(max_examples=20, deadline=None)
@given(batch=st.lists(homes, min_size=2, max_size=12))
def test_it_is_so_in_a_market_that_records_less(other, batch):
    assert values(other, batch, TODAY) == [values(other, [home], TODAY)[0] for home in batch]


def test_a_table_and_plain_homes_have_the_same_values():
    asked = SALES[::10]
    rows = records(asked, live_valuer().market)
    assert live_valuer().value(asked, TODAY).tolist() == [a.value for a in appraise(live_valuer(), rows, TODAY)]


def test_a_value_survives_the_way_to_disk_and_back(tmp_path):
    asked = SALES[SALES["sale_date"] >= "2016-01-01"][::7]
    write_bundle(tmp_path / "bundle", live_valuer())
    again, _ = read_bundle(tmp_path / "bundle")
    for day in (TODAY, asked["sale_date"]):
        first, second = live_valuer().view(asked, day), again.view(asked, day)
        np.testing.assert_array_equal(first.log_value, second.log_value)
        assert {level: np.stack(both).tolist() for level, both in live_valuer().ranges(first).items()} == {
            level: np.stack(both).tolist() for level, both in again.ranges(second).items()
        }
    rows = records(asked[:20], again.market)
    assert appraise(again, rows, TODAY, 3) == appraise(live_valuer(), rows, TODAY, 3)


def test_one_that_grows_after_the_way_to_disk_grows_alike(tmp_path):
    write_bundle(tmp_path / "bundle", frozen_valuer())
    again = read_bundle(tmp_path / "bundle")[0].refreshed(SALES)
    assert_alike(again, live_valuer())


TELL = """
import json, sys
from datetime import date
import pandas as pd
from models.bundle import read_bundle
from tests.town import mapped_sales

valuer = read_bundle(sys.argv[1])[0]
view = valuer.view(mapped_sales()[::5], date(2020, 1, 15))
ranges = [[low.tolist(), high.tolist()] for low, high in valuer.ranges(view).values()]
print(json.dumps([view.log_value.tolist(), ranges]))
"""


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_another_process_with_other_threads_tells_the_same(threads, tmp_path):
    write_bundle(tmp_path / "bundle", live_valuer())
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    told = subprocess.run(
        [sys.executable, "-c", TELL, str(tmp_path / "bundle")],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | dict.fromkeys(names, str(threads)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    view = live_valuer().view(SALES[::5], TODAY)
    ranges = [[low.tolist(), high.tolist()] for low, high in live_valuer().ranges(view).values()]
    assert json.loads(told.stdout) == [view.log_value.tolist(), ranges]


def test_the_same_sales_give_the_same_bytes(tmp_path):
    few = town_sales(900)
    digests = {write_bundle(tmp_path / name, town_valuer(few, rounds=10)) for name in ("a", "b")}
    assert len(digests) == 1


@settings(max_examples=15, deadline=None)
@given(home=mapped_homes, day=st.dates(date(2016, 1, 1), date(2019, 1, 31)), until=st.sampled_from(ONE_BY_ONE))
def test_a_value_told_for_a_past_day_is_told_again_when_later_sales_have_come_in(home, day, until):
    """All sales of the day's month and later may be missing; only what was known before the month may not."""
    then = frozen_valuer().refreshed(before(SALES, until))
    (first,), (again,) = (appraise(v, [home], day, comparables=3) for v in (then, live_valuer()))
    assert first == again


def test_it_is_told_again_month_by_month_too():
    asked = SALES[::40]
    valuer, told = frozen_valuer(), {}
    for end in (*ONE_BY_ONE, pd.Timestamp("2020-01-01")):
        valuer = valuer.refreshed(before(SALES, end))
        told[valuer.current_day] = valuer.view(asked, valuer.current_day).log_value
    assert len(told) == 12
    for day, first in told.items():
        np.testing.assert_array_equal(live_valuer().view(asked, day).log_value, first)


def assert_alike(one, two):
    """The whole memory of two valuers, bit for bit."""
    pd.testing.assert_frame_equal(one.memory.sales, two.memory.sales)
    pd.testing.assert_frame_equal(one.track.to_frame(), two.track.to_frame())
    np.testing.assert_array_equal(one.leaves, two.leaves)
    assert [*one.memory.vintages] == [*two.memory.vintages]
    for month, hedonic in one.memory.vintages.items():
        np.testing.assert_array_equal(hedonic.worth, two.memory.vintages[month].worth)
        np.testing.assert_array_equal(hedonic.index.levels, two.memory.vintages[month].index.levels)
    asked = SALES[::20]
    np.testing.assert_array_equal(one.view(asked, TODAY).log_value, two.view(asked, TODAY).log_value)


def test_growing_in_one_step_equals_growing_month_by_month():
    valuer = frozen_valuer()
    for end in (*ONE_BY_ONE, pd.Timestamp("2020-01-01")):
        valuer = valuer.refreshed(before(SALES, end))
    assert_alike(valuer, live_valuer())


@settings(max_examples=8, deadline=None)
@given(days=st.sets(st.integers(1, 340), min_size=1, max_size=3))
def test_half_a_month_that_is_completed_later_equals_the_whole_at_once(days):
    valuer = frozen_valuer()
    for day in sorted(days):
        valuer = valuer.refreshed(before(SALES, TRAINED + timedelta(days=day)))
    assert_alike(valuer.refreshed(SALES), live_valuer())


@pytest.mark.parametrize("end", ["2019-06-01", "2019-06-16"])
def test_the_sales_since_the_last_time_are_enough(end):
    """As many sales of the past as one likes: none of those that are known already must be sent again."""
    cut = pd.Timestamp(end)
    then = frozen_valuer().refreshed(before(SALES, cut))
    assert_alike(then.refreshed(SALES[SALES["sale_date"] >= cut]), live_valuer())


def test_nothing_new_changes_nothing():
    assert live_valuer().refreshed(SALES) is live_valuer()
    assert live_valuer().refreshed(before(SALES, TRAINED)) is live_valuer()


def test_growth_leaves_the_valuer_that_grew_as_it_was():
    asked, day = SALES[::20], date(2019, 12, 1)
    first = frozen_valuer().view(asked, day).log_value
    frozen_valuer().refreshed(SALES)
    np.testing.assert_array_equal(frozen_valuer().view(asked, day).log_value, first)
    assert frozen_valuer().memory.end_month == month_number([TRAINED])[0]


def test_a_training_that_ended_within_a_month_keeps_its_ranges_when_the_month_is_completed():
    valuer = town_valuer(before(SALES, pd.Timestamp("2018-12-16")), 10, market=mapped_town())
    grown = valuer.refreshed(SALES)
    assert len(grown.memory.sales) == len(SALES)
    fold = grown.track.month < grown.track.trained
    np.testing.assert_array_equal(grown.track.score[fold], valuer.track.score)
