"""What each kind of check finds, stops and reports, on tables in memory."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations import drift, suspicious
from expectations.checks import Expected, SuiteError, load_suite, run_suite
from expectations.report import page
from expectations.validation import SUITES, validate
from models.files import write_json
from models.sales import canonical_sales
from pipelines.market_file import load_market
from tests.hamlet import HAMLET, LIMITS, TODAY, hamlet, judge, put
from tests.second_market import write_second_market

ROOT = Path(__file__).parents[1]


def test_a_sale_without_an_id_is_shown_by_its_row() -> None:
    found = judge(put("deed", "")(hamlet()))
    assert [(c.rule, c.examples) for c in found.critical] == [
        ("sale_id is never missing", ("row 7: sale_id = missing",))
    ]


def test_too_many_suspicious_sales_stop_the_line() -> None:
    raw = hamlet()
    found = judge(pd.concat([raw, raw.head(40).assign(deed=[f"X{n}" for n in range(40)])], ignore_index=True))
    assert [c.rule for c in found.critical] == ["at most 5 % of the sales are set aside"]
    assert found.critical[0].failed_count == 40
    assert found.accepted is None
    assert "What would be set aside." in page(found)


def test_half_the_volume_stops_the_line() -> None:
    before = judge(hamlet()).profile
    found = judge(hamlet().tail(200), before)
    assert [(c.rule, c.detail) for c in found.critical] == [
        ("at most 10 % fewer sales than the 400 of the version before", "found 200")
    ]


def test_a_shifted_distribution_and_older_sales_warn() -> None:
    before = judge(hamlet()).profile
    raw = hamlet().assign(quarter="north", sqm=hamlet()["sqm"].astype(int) + 60)
    found = judge(raw.assign(sold="2020-05-05"), before)
    assert found.passed
    warned = {c.rule.split()[0]: float(c.detail.split()[1]) for c in found.warnings if "spread" in c.rule}
    assert set(warned) == {"area", "quarter"}
    assert warned["quarter"] == pytest.approx(0.5, abs=0.1)
    assert any(c.rule.startswith("the newest sale is of") for c in found.warnings)


def test_unchanged_sales_of_a_market_do_not_shift() -> None:
    before = judge(hamlet()).profile
    assert judge(hamlet(), before).checks == judge(hamlet()).checks  # its own profile is no version before
    assert not judge(hamlet(seed=2), before).warnings


def test_profiles_of_other_markets_and_formats_are_no_version_before() -> None:
    current = judge(hamlet()).profile
    assert current is not None
    other = {**current, "rows": 500}
    unfit = ({**other, "market": "seattle"}, {**other, "format": 0}, ["nonsense"], None, dict(current))
    assert drift.version_before(current, unfit) is None
    assert drift.version_before(current, [*unfit, other, {**other, "rows": 1}]) == other
    assert json.loads(json.dumps(current)) == current


def test_an_empty_suite_fails(tmp_path: Path) -> None:
    suites = tmp_path / "suites"
    suites.mkdir()
    for name in ("sales.json", "accepted.json"):
        shutil.copy(SUITES / name, suites / name)
    write_json(suites / "sales.json", {"name": "sales", "expectations": []})
    found = validate(canonical_sales(hamlet(), HAMLET), HAMLET, LIMITS, [], TODAY, suites)
    assert [(c.rule, c.detail) for c in found.critical] == [
        ("the suite 'sales' has rules", "it is empty: nothing was checked")
    ]


@pytest.mark.parametrize("text", ["", "{}", '{"expectations": [{"type": "x", "kwargs": {}, "severity": "critical"}]}'])
def test_a_suite_that_is_none_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "sales.json"
    path.write_text(text)
    with pytest.raises(SuiteError, match=r"sales\.json is not a suite of expectations"):
        load_suite(path)


def test_what_the_library_raises_is_a_failure_of_that_rule() -> None:
    sales = pd.DataFrame({"sale_id": ["a", "b"], "area": ["x", "y"]})
    between = {"column": "area", "min_value": 1, "max_value": 2}
    fine = Expected("expect_column_values_to_be_unique", {"column": "sale_id"}, "unique")
    broken = Expected("expect_column_values_to_be_between", between, "between")
    absent = Expected("expect_column_values_to_be_unique", {"column": "gone"}, "gone")
    checks = run_suite("mixed", sales, [broken, fine, absent])
    assert [(c.rule, c.passed, c.was_run) for c in checks] == [
        ("between", False, True),
        ("unique", True, True),
        ("gone", False, False),
    ]
    assert checks[0].detail.startswith("the check itself failed: ")


def test_the_report_stands_alone_and_escapes_what_the_data_holds() -> None:
    html = page(judge(put("quarter", "<script>alert(1)</script>")(hamlet())))
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "Hamlet &lt;b&gt;&amp; Co&lt;/b&gt;" in html
    assert not any(outside in html for outside in ("http:", "https:", "src=", "@import", "url("))
    assert html.index("The line stops") < html.index("Critical rules that failed") < html.index("All rules")


def test_a_market_whose_deeds_are_its_properties_passes(tmp_path: Path) -> None:
    market = load_market(write_second_market(tmp_path, count=600))
    raw = pd.read_csv(tmp_path / "data/sources/millbrook.csv", sep=";", dtype=str, keep_default_na=False)
    found = validate(canonical_sales(raw, market), market, LIMITS, [], TODAY)
    assert found.passed, found.critical


def test_seattle_has_the_suspicious_sales_that_are_known(seattle_sales: pd.DataFrame) -> None:
    market = load_market(ROOT / "data/markets/seattle.yaml")
    found = validate(seattle_sales, market, LIMITS, [], dt.date.today())
    assert found.passed, found.critical
    assert found.to_dict()["set_aside"] == {
        f"{suspicious.BELOW_LEAST} 50000 USD": 0,
        "the effective age can't exceed the age": 0,
        "the living area can't exceed four times the lot": 2,
        suspicious.REPEATED: 123,
        suspicious.OTHER_PRICE: 13,
        suspicious.RE_RECORDED: 132,
        suspicious.OUT_OF_LINE: 16,
    }
    assert found.accepted is not None
    assert len(found.accepted) == 43_313 - 286


def test_one_years_prices_put_no_sale_of_another_out_of_line() -> None:
    early = hamlet().assign(sold="2020-05-05")
    bargain = early["sqm"].astype("int64") * 540  # far below the usual 3000, but not by as much as 2021 differs
    early = put("paid", str(bargain[7]))(early)
    later = hamlet(seed=2).assign(sold="2021-05-05", deed=[f"L{n}" for n in range(400)])
    wild = later.assign(paid=[str(10000 + 12000 * n) for n in range(400)])

    def marked(raw: pd.DataFrame) -> list[str]:
        sales = canonical_sales(raw, HAMLET)
        found = suspicious.out_of_line(sales, HAMLET["area"], HAMLET["quarter"])
        return sales.loc[found & (sales["sale_date"] < "2021"), "sale_id"].tolist()

    assert marked(early) == ["D00007"]
    for more in (later, wild):
        assert marked(pd.concat([early, more], ignore_index=True)) == ["D00007"]


def test_a_deed_recorded_again_and_again_is_one_sale() -> None:
    days = pd.to_datetime(["2020-01-01", "2020-03-01", "2020-05-01", "2020-07-30"])
    sales = pd.DataFrame({"property_id": "P", "price": 5.0, "sale_date": days})
    assert list(suspicious.re_recorded(sales)) == [False, True, True, False]  # the last after 90 days


def test_equal_prices_put_no_bargain_out_of_line() -> None:
    raw = hamlet().assign(paid="300000", sqm="100")
    assert not suspicious.out_of_line(canonical_sales(put("paid", "200000")(raw), HAMLET), HAMLET["area"], None).any()


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(60)))
def test_the_order_of_the_rows_decides_nothing(order: list[int]) -> None:
    raw = pd.concat([hamlet(40), hamlet(40).head(20).assign(deed=[f"X{n}" for n in range(20)])], ignore_index=True)
    raw.loc[45:50, "paid"] = "222222"
    expected, shuffled = (
        suspicious.find_suspicious(canonical_sales(rows, HAMLET), HAMLET) for rows in (raw, raw.loc[list(order)])
    )
    pd.testing.assert_series_equal(shuffled, expected)
    assert expected.notna().any()


WEIGHTS = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 9), min_size=1)


@given(WEIGHTS, WEIGHTS)
def test_a_shift_lies_between_none_and_all(before: dict[str, int], after: dict[str, int]) -> None:
    earlier, later = ({k: n / sum(w.values()) for k, n in w.items()} for w in (before, after))
    assert drift.distance(earlier, earlier) == 0
    assert 0 <= drift.distance(earlier, later) <= 1
    if not set(before) & set(after):
        assert drift.distance(earlier, later) == 1
