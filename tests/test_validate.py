"""The stage: a planted bad row of each kind is caught, named and shown; good rows go on untouched."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from expectations import suspicious
from models.files import file_digest, read_json, write_json, write_parquet
from models.sales import canonical_sales
from pipelines import places
from pipelines import validate as stage
from tests.hamlet import HAMLET, again, hamlet, put

ROOT = Path(__file__).parents[1]


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run the stage in, with this project's params and the hamlet's declaration."""
    monkeypatch.chdir(tmp_path)
    params = YAML().load(ROOT / "params.yaml")
    params["market"] = "hamlet"
    del params["gate"]["markets"]  # their declarations aren't here
    YAML().dump(params, tmp_path / "params.yaml")
    write_json("data/markets/hamlet.yaml", HAMLET.to_dict())  # JSON is YAML
    return tmp_path


def run_stage(raw: pd.DataFrame) -> str | None:
    """Run the stage on these rows; what it refuses with, or None."""
    write_parquet(places.RAW, canonical_sales(raw, HAMLET))
    try:
        stage.main()
    except SystemExit as stop:
        return str(stop.code)  # a text: Python prints it to stderr and exits with 1
    return None


FITS_TODAY = "sale_date is from 1900-01-01 up to today"
#: What is planted, the rule that must fail, what it finds, and the row it shows.
CRITICAL: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str, str, str]] = {
    "missing column": (
        lambda raw: raw.drop(columns="sqm"), "the table has exactly the declared columns", "missing: area (", ""),
    "text in a number column": (put("sqm", "roomy"), "area reads as a number", "1 of 400 sales", "area = roomy"),
    "infinite": (put("baths", "inf"), "baths reads as a number", "1 of 400 sales", "baths = inf"),
    "no flag": (put("lift", "maybe"), "lift reads as true or false", "1 of 400 sales", "lift = maybe"),
    "no date": (
        put("sold", "soon"), "sale_date reads as a date written YYYY-MM-DD", "1 of 400 sales", "sale_date = soon"),
    "null": (put("quarter", ""), "quarter is never missing", "1 of 400 sales", "quarter = missing"),
    "null price": (put("paid", ""), "price is never missing", "1 of 400 sales", "price = missing"),
    "out of range": (put("sqm", "7"), "area is a number from 20 to 500 sqm", "1 of 400 sales", "area = 7"),
    "price out of range": (
        put("paid", "-1"), "price is a number from 0 to 5000000 EUR", "1 of 400 sales", "price = -1"),
    "price above the most": (
        put("paid", "5000001"), "price is a number from 0 to 5000000 EUR", "1 of 400 sales", "price = 5000001"),
    "long text": (
        put("street", "x" * 201), "street is text of at most 200 printable characters", "1 of 400 sales", "street = x"),
    "unprintable text": (
        put("street", "a\u200bb"), "street is text of at most 200 printable characters", "1 of 400 sales",
        "street = a"),
    "year for a date": (
        put("sold", "2020"), "sale_date reads as a date written YYYY-MM-DD", "1 of 400 sales", "sale_date = 2020"),
    "duplicate sale id": (
        put("deed", "D00007", 8), "sale_id belongs to one sale", "2 of 400 sales", "sale_id = D00007"),
    "not allowed": (put("quarter", "west"), "quarter is one of north, south", "1 of 400 sales", "quarter = west"),
    "fraction": (put("rooms", "3.5"), "rooms has no fraction", "1 of 400 sales", "rooms = 3.5"),
    "future": (put("sold", "2999-01-01"), FITS_TODAY, "1 of 400 sales", "sale_date = 2999-01-01"),
    "before 1900": (put("sold", "1899-12-31"), FITS_TODAY, "1 of 400 sales", "sale_date = 1899-12-31"),
    "empty table": (lambda raw: raw.head(0), "there is at least one sale", "found 0", ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", CRITICAL)
def test_a_critical_fault_stops_the_line_and_is_shown(
    kind: str, line: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plant, rule, found, shown = CRITICAL[kind]
    refused = run_stage(plant(hamlet()))
    assert refused is not None
    assert f"- {rule}: {found}" + (f"; e.g. sale D00007: {shown}" if shown else "") in refused
    assert "report: data/reports/validation.html" in refused
    assert not any(Path(output).exists() for output in (places.SALES, places.SET_ASIDE, places.PROFILE))
    html = Path(places.VALIDATION_PAGE).read_text()
    assert rule in html
    assert found in html
    assert shown in html
    findings = read_json(places.VALIDATION)
    assert not findings["passed"]
    assert findings["sales"] is None
    assert next(check["rule"] for check in findings["checks"] if not check["passed"]) == rule
    assert capsys.readouterr() == ("", "")  # no bars, no noise of the library


def test_the_refusal_counts_the_rules_that_could_not_be_checked(line: Path) -> None:
    refused = run_stage(hamlet().drop(columns="sqm"))
    assert refused is not None
    assert "missing: area ('sqm' in the source)" in refused
    assert "1 critical rule failed" in refused
    assert "further rules could not be checked" in refused


def test_a_refusal_leaves_nothing_of_an_earlier_run(line: Path) -> None:
    assert run_stage(hamlet()) is None
    assert Path(places.SALES).is_file()
    assert run_stage(put("sqm", "7")(hamlet())) is not None
    assert not Path(places.SALES).exists()


def test_good_sales_go_on_untouched_and_the_same_bytes_every_time(
    line: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_stage(hamlet()) is None
    printed, noise = capsys.readouterr()
    assert "400 of 400 sales go on" in printed
    assert "no earlier version: nothing to compare" in printed
    assert noise == ""
    pd.testing.assert_frame_equal(pd.read_parquet(places.SALES), canonical_sales(hamlet(), HAMLET))
    assert pd.read_parquet(places.SET_ASIDE).empty
    outputs = (places.SALES, places.SET_ASIDE, places.VALIDATION, places.VALIDATION_PAGE, places.PROFILE)
    first = [Path(output).read_bytes() for output in outputs]
    assert run_stage(hamlet()) is None
    assert [Path(output).read_bytes() for output in outputs] == first
    assert sorted(p.name for p in line.iterdir()) == ["data", "params.yaml"]


SUSPICIOUS = {
    "not at arm's length: a price below 10000 EUR": (put("paid", "0"), "D00007", "price = 0"),
    "baths can't exceed rooms": (put("baths", "9"), "D00007", "baths = 9, rooms = "),
    suspicious.REPEATED: (again(), "X", "property_id = P00007"),
    suspicious.OTHER_PRICE: (again(paid="333333"), "X", "price = 333333"),
    suspicious.RE_RECORDED: (again(sold="2020-03-01"), "X", "sale_date = 2020-03-01"),
    suspicious.OUT_OF_LINE: (put("paid", "10000"), "D00007", "price = 10000"),
}


@pytest.mark.parametrize("reason", SUSPICIOUS)
def test_a_suspicious_sale_is_set_aside_with_its_reason(
    reason: str, line: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plant, sale_id, shown = SUSPICIOUS[reason]
    raw = put("sold", "2020-02-01")(hamlet())
    assert run_stage(plant(raw)) is None
    aside, accepted = pd.read_parquet(places.SET_ASIDE), pd.read_parquet(places.SALES)
    assert list(zip(aside["sale_id"], aside["reason"], strict=True)) == [(sale_id, reason)]
    assert sale_id not in set(accepted["sale_id"])
    assert list(accepted.columns) == list(canonical_sales(raw, HAMLET).columns)
    found = read_json(places.VALIDATION)
    assert found["passed"]
    assert found["sales"] == file_digest(places.SALES)
    assert found["accepted"] + 1 == found["rows"]
    assert {r: n for r, n in found["set_aside"].items() if n} == {reason: 1}
    (check,) = [c for c in found["checks"] if c["rule"] == reason]
    assert check["severity"] == "warning"
    assert f"sale {sale_id}: " in check["examples"][0]
    assert shown in check["examples"][0]
    assert f"1 set aside: {reason}" in capsys.readouterr().out


def test_the_version_before_is_the_newest_committed_one_that_differs(line: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments], check=True)

    assert list(stage.earlier_profiles()) == []  # not a repository
    git("init", "-q")
    assert list(stage.earlier_profiles()) == []  # no commit
    for rows in (420, 400):
        assert run_stage(hamlet(rows)) is None
        git("add", str(places.PROFILE))
        git("commit", "-qm", f"{rows} sales")
    assert [profile["rows"] for profile in stage.earlier_profiles()] == [400, 420]
    # The sales at hand are those of the last commit, so they stand beside the commit before it.
    assert run_stage(hamlet(400)) is None
    rules = [check["rule"] for check in read_json(places.VALIDATION)["checks"]]
    assert "at most 10 % fewer sales than the 420 of the version before" in rules
