"""Later errors tell how far the market has moved from a model: enough of them, of earlier months, and no single one."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.conformal import WINDOW_MONTHS
from models.drift import (
    CLIPPED,
    EVEN,
    FADING_MONTHS,
    FADING_STEEPNESS,
    HOLD_LEVEL,
    HOLD_PLACE,
    HOLD_PLACE_STEEPNESS,
    HOLD_STEEPNESS,
    STEEPEST,
    Drift,
    fit_drift,
)
from models.memory import month_number
from models.split import before
from models.track import FEW_SCORES, Track, empty_track, places_of, starting_track
from tests.town import TRAINED, frozen_valuer, live_valuer, mapped_sales

TRAINED_MONTH = int(month_number([TRAINED])[0])
QUARTERS = np.array(["east", "old", "west"], dtype=object)


def errors_of(count, seed=1, level=0.0, spread=0.1, **places):
    """Errors of so many sales, a third in each quarter, with a shift planted in all and in some."""
    draw = np.random.default_rng(seed)
    place = QUARTERS[np.arange(count) % 3]
    shift = np.array([places.get(quarter, 0.0) for quarter in place])
    return place, draw.normal(level, spread, count) + shift


def drift_of(place, errors, months_ago=1, standing=None):
    """Of homes that all stand in the middle, unless told otherwise."""
    standing = np.zeros(len(errors)) if standing is None else standing
    return fit_drift(errors, np.full(len(errors), months_ago), place, standing)


def test_no_sale_tells_nothing():
    assert drift_of(None, np.empty(0)) == Drift()
    assert Drift().of(["east", None], np.array([0.3, -2.0])).tolist() == [0, 0]


def test_a_shift_of_the_whole_market_is_found():
    place, errors = errors_of(20_000, level=0.07)
    told = drift_of(place, errors)
    assert told.level + told.of_places(QUARTERS) == pytest.approx([0.07] * 3, abs=0.005)
    assert drift_of(None, errors).level == pytest.approx(0.07, abs=0.005)


def test_a_shift_of_one_neighbourhood_is_found_there_and_not_elsewhere():
    place, errors = errors_of(20_000, old=0.1)
    told = drift_of(place, errors)
    assert told.level + told.of_places(QUARTERS) == pytest.approx([0, 0.1, 0], abs=0.005)


def test_what_a_neighbourhood_has_never_told_is_nothing():
    assert drift_of(*errors_of(300, old=0.1)).of_places(["harbour", None, ""]).tolist() == [0, 0, 0]


def test_better_homes_that_fetch_more_than_the_model_learnt_are_followed_and_a_little_more():
    place, errors = errors_of(20_000)
    standing = np.random.default_rng(2).normal(0, 0.4, len(errors))
    told = drift_of(place, errors + np.where(place == "old", 0.1, 0.03) * standing, standing=standing)
    steep = told.steepness_of(["east", "old", "west"]) - EVEN
    assert steep == pytest.approx([0.03, 0.1, 0.03], abs=0.01)
    assert 0.03 < told.steepness - EVEN < 0.1  # where a neighbourhood is unknown, what is common
    assert told.steepness_of(["harbour", None, ""]).tolist() == [told.steepness] * 3
    assert told.of(["old"], np.array([1.0])) - told.of(["old"], np.array([0.0])) == pytest.approx(steep[1] + EVEN)


def test_whatever_the_sales_say_a_better_home_stays_worth_more():
    """A share of the standing below -1 would turn every declared direction round."""
    standing = np.linspace(-0.2, 0.2, 5000)
    for sign in (-1, 1):
        told = drift_of(np.full(5000, "old", dtype=object), np.sign(standing) * sign, standing=standing)
        assert told.steepness_of(["old", None]) == pytest.approx([sign * STEEPEST] * 2)


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 400), seed=st.integers(0, 999), level=st.floats(-0.1, 0.1), old=st.floats(-0.1, 0.1))
def test_it_is_the_ridge_regressions_that_it_says_it_is(count, seed, level, old):
    place, errors = errors_of(count, seed, level, old=old)
    draw = np.random.default_rng(seed)
    ago, standing = draw.integers(1, 9, count), draw.normal(0, 0.4, count)
    middle = np.median(errors)
    clipped = np.clip(errors, middle - CLIPPED, middle + CLIPPED)
    member = (place[:, None] == np.unique(place)[None, :]).astype("float64")

    def ridge(of, weight, hold, hold_own, told):
        design = of[:, None] * np.hstack([np.ones((count, 1)), member])
        held = np.diag([hold, *np.full(member.shape[1], hold_own)])
        return np.linalg.solve((design.T * weight) @ design + held, (design.T * weight) @ told)

    weight = np.exp((1 - ago) / FADING_STEEPNESS)
    mean = (member * weight[:, None]).T / (member * weight[:, None]).sum(axis=0)[:, None]
    apart, above = (x - member @ (mean @ x) for x in (standing, clipped + EVEN * standing))
    steep = ridge(apart, weight, HOLD_STEEPNESS, HOLD_PLACE_STEEPNESS, above)
    told = fit_drift(errors, ago, place, standing)
    assert told.steepness == pytest.approx(steep[0], abs=1e-5)
    assert [*told.steep_places.values()] == pytest.approx(steep[0] + steep[1:], abs=1e-5)
    left = clipped - (member @ (steep[0] + steep[1:])) * standing
    levels = ridge(np.ones(count), np.exp((1 - ago) / FADING_MONTHS), HOLD_LEVEL, HOLD_PLACE, left)
    assert [told.level, *told.places.values()] == pytest.approx(levels, abs=1e-5)


def test_few_sales_are_hardly_believed():
    shares = [drift_of(None, np.full(count, 0.1)).level / 0.1 for count in (1, 10, 100, 10_000)]
    assert shares == sorted(shares)
    assert shares == pytest.approx([1 / 101, 10 / 110, 1 / 2, 0.99], abs=0.001)


def test_one_absurd_sale_tells_no_more_than_the_bound():
    place, errors = errors_of(300)
    absurd = errors.copy()
    absurd[7] = 3.0
    told = [drift_of(place, e) for e in (errors, absurd)]
    moved = told[1].level + told[1].of_places(QUARTERS) - told[0].level - told[0].of_places(QUARTERS)
    assert np.abs(moved).max() <= 2 * CLIPPED / HOLD_PLACE


def test_old_errors_are_forgotten():
    errors = np.repeat([0.1, -0.1], 1000)
    middle = np.zeros(2000)
    assert fit_drift(errors, np.repeat([1, 12], 1000), None, middle).level > 0.08
    assert fit_drift(errors, np.repeat([12, 1], 1000), None, middle).level < -0.08


def track_of(months=14, per_month=40, first=TRAINED_MONTH - 8, seed=1, trained=TRAINED_MONTH):
    draw = np.random.default_rng(seed)
    track = empty_track(trained)
    for month in range(first, first + months):
        place, errors = errors_of(per_month, int(draw.integers(1_000_000)), level=0.05)
        track = track.longer(month, place, errors, np.full(per_month, 0.1), draw.normal(0, 0.5, per_month))
    return track


months = st.integers(TRAINED_MONTH - 3, TRAINED_MONTH + 9)


@settings(max_examples=20, deadline=None)
@given(month=months)
def test_a_month_is_corrected_and_calibrated_by_earlier_months_alone(month):
    whole, cut = track_of(), track_of().until(month)
    assert whole.drift(month) == cut.drift(month)
    at = max(month, TRAINED_MONTH)  # what the training has seen calibrates as one
    np.testing.assert_array_equal(
        np.concatenate(whole.calibration(at).scores), np.concatenate(whole.until(at).calibration(at).scores)
    )


def test_a_month_that_the_forests_have_learnt_from_is_not_corrected():
    track = track_of()
    assert track.drift(TRAINED_MONTH) == track.drift(TRAINED_MONTH - 5) == Drift()
    assert track.drift(TRAINED_MONTH + 1).level > 0


def test_past_its_end_a_track_says_what_it_said_last():
    track = track_of()
    assert track.end == TRAINED_MONTH + 6
    assert track.drift(track.end + 20) == track.drift(track.end)
    assert track.calibration(track.end + 20) is track.calibration(track.end)


def test_the_last_year_calibrates_and_all_where_it_has_too_few_sales():
    many, few = track_of(months=30), track_of(months=30, per_month=FEW_SCORES // WINDOW_MONTHS)
    assert sum(map(len, many.calibration(many.end).scores)) == 40 * WINDOW_MONTHS
    assert sum(map(len, few.calibration(few.end).scores)) == len(few.month)


def test_cut_and_continued_it_is_the_same_track():
    whole = track_of()
    again = whole.until(TRAINED_MONTH + 2)
    for month in range(TRAINED_MONTH + 2, whole.end):
        rows = whole.month == month
        spread = np.full(rows.sum(), 0.1)
        again = again.longer(month, whole.place[rows], whole.error[rows], spread, whole.standing[rows])
    pd.testing.assert_frame_equal(again.to_frame(), whole.to_frame())


def test_it_survives_the_way_to_a_table_and_back():
    for track in (track_of(), empty_track(TRAINED_MONTH), live_valuer().track):
        again = Track.from_frame(track.to_frame(), track.trained)
        pd.testing.assert_frame_equal(again.to_frame(), track.to_frame())
        assert again.end == track.end
        assert again.drift(track.end) == track.drift(track.end)


def test_a_score_is_the_error_that_was_left_over_the_spread():
    track = track_of(months=9, first=TRAINED_MONTH)
    last = track.month == track.end - 1
    drift = track.drift(track.end - 1)
    left = track.error[last] - drift.of(track.place[last], track.standing[last])
    np.testing.assert_allclose(track.score[last], left / 0.1)


def test_the_folds_errors_calibrate_and_do_not_correct():
    place, errors = errors_of(360, level=0.1)
    month = np.repeat(np.arange(TRAINED_MONTH - 12, TRAINED_MONTH), 30)
    track = starting_track(TRAINED_MONTH, month, place, errors, np.full(360, 0.1), np.zeros(360))
    assert track.drift(TRAINED_MONTH) == Drift()
    assert len(track.month) == 360
    first, last = month == TRAINED_MONTH - 12, month == TRAINED_MONTH - 1
    assert track.score[first].mean() * 0.1 == pytest.approx(errors[first].mean())
    assert track.score[last].mean() * 0.1 < errors[last].mean() - 0.03  # the months before had told


def test_one_home_of_unknown_neighbourhood_silences_no_other():
    place, errors = errors_of(600, old=0.2)
    place[0] = ""
    track = empty_track(TRAINED_MONTH).longer(TRAINED_MONTH, place, errors, np.full(600, 0.1), np.zeros(600))
    assert track.drift(TRAINED_MONTH + 1).of_places(["old"])[0] > 0.05


def test_homes_of_unknown_neighbourhood_are_corrected_by_the_common_level_alone():
    """In the track, where unknown is an empty text, as in a valuation, where it is None."""
    place, errors = errors_of(600, level=0.2)
    place[::2] = ""
    assert drift_of(place, errors).of_places(["", None]).tolist() == [0, 0]


def test_a_market_without_neighbourhoods_has_one_level():
    _, errors = errors_of(600, level=0.1)
    nowhere = np.full(600, "", dtype=object)
    track = empty_track(TRAINED_MONTH).longer(TRAINED_MONTH, nowhere, errors, np.full(600, 0.1), np.zeros(600))
    assert track.drift(TRAINED_MONTH + 1) == drift_of(None, errors)


def test_a_neighbourhood_is_text_and_empty_where_it_is_unknown():
    homes = pd.DataFrame({"quarter": pd.Series(["old", None, "1"], dtype="str")})
    assert places_of(homes, "quarter").tolist() == ["old", "", "1"]
    assert places_of(homes, None).tolist() == ["", "", ""]


def test_a_quarter_that_rises_after_the_training_is_followed():
    sales = mapped_sales()
    later = sales["sale_date"] >= TRAINED
    risen = later & (sales["quarter"] == "old")
    valuer = frozen_valuer().refreshed(sales.assign(price=sales["price"].where(~risen, sales["price"] * np.exp(0.15))))
    asked = before(sales, TRAINED)[::20]
    moved = np.log(valuer.value(asked, valuer.current_day) / live_valuer().value(asked, valuer.current_day))
    old = (asked["quarter"] == "old").to_numpy()
    assert np.median(moved[old]) > 0.15 / 3  # a hundred sales against eighty that hold the quarter back
    assert 0 < np.median(moved[~old]) < 0.15 / 3  # a third of the sales moves the level of all
    risen_, level = (v.track.drift(v.track.end).places["old"] for v in (valuer, live_valuer()))
    assert risen_ - level > 0.01
