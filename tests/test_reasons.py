"""Reasons add up to the cent, whatever the parts."""

import math

from hypothesis import given
from hypothesis import strategies as st

from models.reasons import reasons_in_money

parts = st.lists(st.floats(-2, 2), min_size=1, max_size=15)


@given(log_base=st.floats(8, 15), amounts=parts)
def test_base_and_reasons_are_the_value_to_the_cent(log_base, amounts):
    value = float(round(math.exp(log_base + math.fsum(amounts))))
    base, reasons = reasons_in_money(value, log_base, [(f"f{i}", f"F{i}", a) for i, a in enumerate(amounts)])
    assert round(100 * base) + sum(round(100 * r.amount) for r in reasons) == round(100 * value)


@given(log_base=st.floats(8, 15), amounts=parts)
def test_rounding_is_its_own_small_line(log_base, amounts):
    value = float(round(math.exp(log_base + math.fsum(amounts))))
    _, reasons = reasons_in_money(value, log_base, [(f"f{i}", f"F{i}", a) for i, a in enumerate(amounts)])
    assert reasons[-1].name == "rounding"
    assert abs(reasons[-1].amount) <= 0.5 + 0.01 * (len(amounts) + 1)


def test_what_raises_the_log_price_raises_the_money_and_the_largest_comes_first():
    _, reasons = reasons_in_money(
        500_000.0, 13.0, [("a", "A", 0.05), ("b", "B", -0.4), ("c", "C", math.log(500_000) - 12.65)]
    )
    assert [r.name for r in reasons][:2] == ["c", "b"]
    assert {r.name: r.amount > 0 for r in reasons[:3]} == {"a": True, "b": False, "c": True}


def test_parts_that_cancel_out_still_show():
    base, reasons = reasons_in_money(442413.0, 13.0, [("up", "Up", 0.1), ("down", "Down", -0.1)])
    assert reasons[0].amount == -reasons[1].amount != 0
    assert base == 442413.39
