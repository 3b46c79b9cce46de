"""An evidence pack stands on its own rows, and its audit finds what was changed since."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from models.fairness import share_explained
from models.fault import Fault
from models.files import read_json, write_parquet
from models.interval import median_interval, slope, wilson
from pipelines import ledger
from pipelines.evidence.numbers import PRICE_WORDS, cells
from pipelines.evidence_pack import champion, contents, hand_over, read_findings
from serving.home import parse_home
from tests.line import BETTER, OTHER, ROOT, commit_all, lay_line, sales, split_sales
from tests.promotion import run
from tests.town import HOME, town

PACK, ZIP = Path("data/reports/evidence"), Path("data/reports/evidence.zip")


def lay_source() -> None:
    """What the stages before the split leave: the source with three sales more, which were set aside."""
    train, _ = split_sales()
    again = sales().head(3).assign(sale_id=["again1", "again2", "again3"])
    raw = pd.concat([sales(), again], ignore_index=True)
    write_parquet("data/raw/sales.parquet", raw)
    write_parquet("data/validated/set_aside.parquet", again.assign(reason="the same sale again under another sale id"))
    write_parquet("data/split/train.parquet", train)


def pack(findings: Path | None = None) -> None:
    hand_over(contents(*champion("town"), 7, findings))


@pytest.fixture(scope="module")
def made(tmp_path_factory, empty_mlflow) -> Path:
    """A project whose champion, of the made-up town, has its pack; made once, for tests to copy."""
    folder = tmp_path_factory.mktemp("made") / "project"
    folder.mkdir()
    shutil.copy(empty_mlflow, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(folder / ".assay/bentoml"))
        patch.chdir(folder)
        shutil.copy(ROOT / "params.yaml", "params.yaml")
        lay_line()
        lay_source()
        commit_all()
        run()
        pack()
    mlflow.set_tracking_uri("")  # MLflow remembers the last one for the whole process
    return folder


@pytest.fixture
def packed(made, tmp_path, monkeypatch) -> None:
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "project/.assay/bentoml"))
    monkeypatch.chdir(tmp_path / "project")


def audit(folder: Path = PACK) -> tuple[int, str]:
    """As an auditor runs it: elsewhere, without the project."""
    done = subprocess.run(
        [sys.executable, "-I", "-B", (folder / "audit.py").resolve()], cwd="/", env={}, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def change(name: str, old: str, new: str) -> None:
    path = PACK / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_pack_is_complete_stands_up_to_its_audit_and_is_the_same_again(packed):
    page = (PACK / "evidence.html").read_text()
    assert not re.search(r"https?:|<script|src=|@import", page)
    for words in ("not legal advice", "None has been reviewed yet.", "No page of drills was found"):
        assert words in page
    code, said = audit()
    assert (code, said.splitlines()[-1].partition(";")[2]) == (0, " nothing wrong")
    numbers = read_json(PACK / "numbers.json")["numbers"]
    assert said.count("OK  ") == len(numbers)
    assert {name.partition("/")[0] for name in numbers} == {
        *("confidence", "manipulation", "conflicts", "sample", "nondiscrimination")
    }
    card = read_json(PACK / "card.json")
    assert {name: numbers[f"confidence/live/{name}"] for name in card["figures"]} == card["figures"]
    assert numbers["manipulation/set aside/the same sale again under another sale id"] == 3
    assert numbers["conflicts/moved by the request"] == 0
    assert numbers["nondiscrimination/areas compared"] == 3
    before = ZIP.read_bytes()
    pack()
    assert ZIP.read_bytes() == before
    with zipfile.ZipFile(ZIP) as archive:
        held = {name.removeprefix("evidence/"): archive.read(name) for name in archive.namelist()}
    assert held == {p.relative_to(PACK).as_posix(): p.read_bytes() for p in PACK.rglob("*") if p.is_file()}


def test_what_was_changed_is_found_and_named(packed):
    rows = pd.read_csv(PACK / "rows.csv", dtype=str)
    sale, price = rows.loc[0, ["sale_id", "price"]]
    row = next(text for text in (PACK / "rows.csv").read_text().splitlines() if text.startswith(f"{sale},"))
    dearer = row.replace(f",{price},", f",{2 * float(str(price))},", 1)
    told = read_json(PACK / "numbers.json")["numbers"]["nondiscrimination/area/old/over-valued"]
    cases = {
        ("rows.csv", row, dearer): [
            f"the price of sale {sale} is not the one in sales.csv",
            "DIFFERS        confidence/live/cod",
        ],
        ("numbers.json", f'old/over-valued": {told}', 'old/over-valued": 0.01'): [
            "DIFFERS        nondiscrimination/area/old/over-valued: told 0.01"
        ],
        ("numbers.json", '"numbers": {', '"numbers": {"confidence/certainty": 1,'): [
            "NO DERIVATION  confidence/certainty: told 1"
        ],
        ("ledger.jsonl", '"why": "', '"why": "Nearly a'): [
            "ledger.jsonl is not",
            "DIFFERS        manipulation/sha256/ledger",
        ],
        ("bundle/forest_00.txt", "=", "= "): ["bundle/forest_00.txt is not the file that bundle/manifest.json names"],
        ("card.json", '"outcome": "pass"', '"outcome": "fail"'): [
            "the verdict in card.json is not the one that the",
            "card.json is not the file that was signed",
        ],
        ("signature.json", '"sig":"ME', '"sig":"MF'): ["signature.json is not by the key in public.pem"],
    }
    shutil.copytree(PACK, "kept")
    for (name, old, new), said in cases.items():
        change(name, old, new)
        code, told = audit()
        assert code == 1
        assert all(text in told for text in [*said, f"{name} is not the file that SHA256SUMS names"])
        shutil.copy(Path("kept") / name, PACK / name)
    assert audit()[0] == 0
    change("rows.csv", row, dearer)
    sold = next(text for text in (PACK / "sales.csv").read_text().splitlines() if text.startswith(f"{sale},"))
    change("sales.csv", sold, sold.replace(f",{price},", f",{2 * float(str(price))},", 1))
    assert f"sales.csv: price of sale {sale} is not that of validated.parquet" in audit()[1]
    (PACK / "sales.csv").unlink()
    assert audit()[0] == 1


def test_an_earlier_line_of_the_ledger_cannot_be_rewritten(packed):
    with ledger.held():
        line = ledger.head("town")
        assert line is not None
        ledger.record("town", ledger.REJUDGED, "once more", line.tag, line.digest, None, line.evidence)
    pack()
    change("ledger.jsonl", '"who": "', '"who": "not ')
    assert "ledger.jsonl: line 2 does not follow from the line before it" in audit()[1]


def test_the_champion_before_is_valued_on_the_same_rows(packed):
    before = read_json(PACK / "numbers.json")["numbers"]
    better = lay_line(BETTER)
    lay_source()
    run()
    pack()
    numbers = read_json(PACK / "numbers.json")["numbers"]
    assert numbers["manipulation/sha256/bundle"] == better != before["manipulation/sha256/bundle"]
    assert numbers["confidence/reference/valuation-town:v1/mdape"] == before["confidence/live/mdape"]
    assert numbers["confidence/against the champion before/champion"] == "v1"
    assert (numbers["conflicts/decisions"], numbers["conflicts/decisions/promoted"]) == (2, 2)


def test_a_pack_is_of_the_champion_alone(line):
    with pytest.raises(Fault, match="no champion of town serves"):
        champion("town")
    run()
    other = lay_line(OTHER)
    with pytest.raises(Fault, match=f"data/ holds candidate {other[:12]}, and .* about the champion valuation-town:v1"):
        champion("town")


def test_numbers_that_the_audit_refuses_are_not_handed_over(packed):
    files = contents(*champion("town"), 8, None)  # another seed than the one of the evaluation
    before = (PACK / "numbers.json").read_bytes()
    with pytest.raises(Fault, match="does not stand up to its own audit: DIFFERS        confidence/live/cod"):
        hand_over(files)
    assert (PACK / "numbers.json").read_bytes() == before


def test_the_draw_is_the_bundles_and_findings_come_back(packed):
    review = pd.read_csv(PACK / "review.csv", dtype=str, keep_default_na=False)
    assert len(review) == 50
    assert (review[["reviewer", "reviewed_on", "finding", "remark"]] == "").all(axis=None)
    review.loc[:9, "reviewer"], review.loc[:9, "finding"] = "B", "sound"
    review.loc[0, "finding"] = "wrong facts"
    review.to_csv("found.csv", index=False)
    pack(Path("found.csv"))
    assert audit()[0] == 0
    numbers = read_json(PACK / "numbers.json")["numbers"]
    assert (numbers["sample/reviewed"], numbers["sample/found/wrong facts"]) == (10, 1)
    assert numbers["sample/not sound low"] < 0.1 < numbers["sample/not sound high"]
    for column, wrong, said in (
        ("sale_id", "s00001", "sale s00001 was not drawn"),
        ("sale_id", review["sale_id"][1], "comes twice"),
        ("finding", "fine", "allowed: one of sound, wrong price"),
        ("reviewer", "", "by nobody"),
    ):
        strange = review.copy()
        strange.loc[0, column] = wrong
        strange.to_csv("found.csv", index=False)
        with pytest.raises(Fault, match=said):
            read_findings(Path("found.csv"), review)


def test_reference_models_and_drills_are_told_where_they_were_measured(packed):
    valued = pd.read_parquet("data/reports/holdout.parquet")
    write_parquet("data/reports/holdout.parquet", valued.assign(**{"reference.hedonic": valued["value_frozen"]}))
    Path("docs").mkdir()
    Path("docs/drills.md").write_text(
        "# Drills\n\n| poison | most | least |\n|---|---:|---:|\n| a typo | 1 % | 0 % |\n"
    )
    pack()
    numbers = read_json(PACK / "numbers.json")["numbers"]
    assert numbers["confidence/reference/hedonic/cod"] == numbers["confidence/frozen/cod"]
    assert numbers["manipulation/drills/a typo/most"] == "1 %"
    change("drills.md", "1 %", "2 %")
    assert "DIFFERS        manipulation/drills/a typo/most: told 1 %, derived 2 %" in audit()[1]


def test_an_equity_figure_of_the_study_or_a_priced_input_would_be_counted(packed):
    trials = pd.read_parquet("data/study/trials.parquet")
    write_parquet("data/study/trials.parquet", trials.assign(prb=0.02))
    pack()
    assert read_json(PACK / "numbers.json")["numbers"]["nondiscrimination/trials with a figure of equity"] == 4
    for text in ("list_price", "Asking", "loan_amount", "assessed", "requester", "Target value", "tax_2016"):
        assert PRICE_WORDS.search(text.replace("_", " "))
    assert not PRICE_WORDS.search("Assessor's area")


@pytest.mark.parametrize("fact", ["requester", "target_value", "loan_amount", "list_price"])
def test_the_endpoint_refuses_what_a_requester_wants(fact):
    _, errors = parse_home(town(), HOME | {fact: 500_000})
    assert [error.field for error in errors] == [fact]


def test_intervals_are_those_of_other_hands():
    for count, n in ((0, 9), (3, 40), (711, 8066), (40, 40)):
        other = binomtest(count, n).proportion_ci(0.95, "wilson")
        assert wilson(count / n, n) == pytest.approx((other.low, other.high), abs=1e-6)
    assert median_interval(np.arange(5.0)) is None
    assert median_interval(np.arange(1.0, 21.0)) == (6, 15)  # the sign test's tables
    assert slope(np.arange(9.0), 3 * np.arange(9.0)) == pytest.approx((3, 3, 3))


def test_what_a_fact_tells_of_the_area():
    area = pd.Series(["a", "a", "b", "b"])
    assert share_explained(pd.Series([1.0, 1.0, 2.0, 2.0]), area) == pytest.approx(1)
    assert share_explained(pd.Series([1.0, 2.0, 1.0, 2.0]), area) == pytest.approx(0)
    assert share_explained(pd.Series(["x", "x", "y", "y"]), area) == pytest.approx(1)
    assert share_explained(pd.Series(["x", "y", "x", None]), area) == pytest.approx(0.25)
    assert share_explained(pd.Series([1.0, 1.0, 1.0, 1.0]), area) is None


def test_tables_of_a_page_are_read_cell_by_cell():
    page = "text | no\n| a | b | c |\n|---|:-:|---|\n| x | 1 | 2 |\n\n| d | e |\n|---|---|\n| y | 3 |\n"
    assert dict(cells(page)) == {"x/b": "1", "x/c": "2", "y/e": "3"}
