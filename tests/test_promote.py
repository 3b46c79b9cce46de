"""Only a passed verdict moves the champion, and every refusal says why."""

import subprocess
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from models.bundle import BundleError, read_bundle
from models.fault import Fault
from models.files import file_digest, read_json, write_bytes, write_json, write_parquet
from models.gate.bounds import Bounds
from pipelines import scorecard, store
from pipelines.decision import boxed
from pipelines.evaluate import value_holdout
from pipelines.provenance import changed, commit
from pipelines.tracking import TrackingError, connect
from pipelines.trial import TrialError
from tests.line import BETTER, GATE, GOOD, OTHER, WORSE, lay_line, split_sales
from tests.promotion import agree, alias, run, versions

EVALUATION = "data/reports/evaluation.json"


def test_the_first_good_candidate_becomes_champion(line):
    decision = run()
    assert decision.what == "promoted"
    assert agree(line) == "1"
    assert "PROMOTED: valuation-town:v1" in boxed(decision)
    card = read_json(".assay/bentoml/models/valuation-town/v1/card.json")
    assert card["figures"] == read_json(EVALUATION)["figures"]
    assert card["references"] == read_json(EVALUATION)["references"]
    assert card["data"] == file_digest("data/validated/sales.parquet")
    assert card["market"] == {"name": "town", "label": "The Town", "currency": "EUR"}
    assert (card["memory_end"], card["horizon_days"], card["level"]) == ("2018-12-31", 400, 0.9)
    assert card["commit"] == commit()
    assert card["verdict"]["outcome"] == "pass"
    assert read_json("data/reports/verdict.json")["decision"] == "promoted"


def test_the_figures_are_the_same_wherever_they_stand(line, capsys):
    run()
    scorecard.main()
    told = read_json("data/reports/scorecard.json")
    figures = read_json(EVALUATION)["figures"]
    run_id = told["model"]["run"]
    assert {k: told[k] for k in figures} == figures
    assert told["hedonic"] == read_json(EVALUATION)["references"]["hedonic"]
    logged = connect("town").client.get_run(run_id).data.metrics
    assert {k: logged[k] for k in figures} == figures
    printed = capsys.readouterr().out
    assert f"{100 * figures['mdape']:.2f} %" in printed
    assert "at most 10.00 %" in printed


def test_the_scorecard_says_when_it_is_of_another_market(line, capsys):
    run()
    scorecard.main()
    assert capsys.readouterr().err == "valuation-town:v1 is served, of market town; params.yaml names seattle\n"


def test_what_the_line_writes_does_not_make_a_commit_dirty(project):
    who = ["-c", "user.name=a", "-c", "user.email=a@b.example"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "all of it"]):
        subprocess.run(["git", *words], check=True)
    assert len(commit()) == 40
    write_bytes("dvc.lock", b"written by DVC")
    write_bytes("data/reports/profile.json", b"{}")
    assert changed() == []
    write_bytes("code.py", b"changed")
    assert changed() == ["code.py"]


def test_a_broken_registry_is_told_without_a_traceback(line, monkeypatch):
    def broken(*_, **__):
        raise MlflowException("the disk is full", error_code=1)

    monkeypatch.setattr("mlflow.MlflowClient.get_registered_model", broken)
    with pytest.raises(TrackingError, match=r"mlflow.db can't be used: .*the disk is full"):
        run()
    assert not Path(".assay/champion.json").exists()


def test_the_logged_model_gives_the_served_values(line):
    run()
    homes = pd.read_parquet("data/split/holdout.parquet")
    loaded = mlflow.pyfunc.load_model("models:/valuation-town@champion")
    asked = homes[["property_id", "area", "quarter", "rooms", "pool", "noise"]]
    dated = asked.assign(as_of=homes["sale_date"].dt.strftime("%Y-%m-%d"))
    told = pd.read_parquet("data/reports/holdout.parquet")
    np.testing.assert_array_equal(loaded.predict(dated), told["value_frozen"])
    valuer, _ = read_bundle("data/model")
    np.testing.assert_array_equal(loaded.predict(asked), valuer.value(asked, valuer.current_day))
    strangers = asked.drop(columns="property_id")
    np.testing.assert_array_equal(loaded.predict(strangers), valuer.value(strangers, valuer.current_day))
    assert not [p for p in Path("mlartifacts").rglob("*") if p.suffix in (".pkl", ".pickle", ".joblib", ".skops")]


def test_the_run_tells_a_reviewer_why(line):
    run()
    worse = lay_line(WORSE)
    run()
    client = connect("town").client
    run_id = next(str(v.run_id) for v in client.search_model_versions() if v.tags["assay.digest"] == worse)
    found = client.get_run(run_id)
    note = found.data.tags["mlflow.note.content"]
    assert note.startswith("## Refused\n")
    assert "points higher than v1's" in note.split("###")[0]
    assert "| champion valuation-town:v1 |" in note
    assert "| hedonic |" in note
    assert found.data.tags["verdict"] == "Refused"
    assert found.data.metrics["champion.mdape"] < found.data.metrics["mdape"]
    assert found.data.params["rounds"] == str(WORSE)
    assert found.inputs is not None
    dataset = found.inputs.dataset_inputs[0].dataset
    assert (dataset.name, len(dataset.digest)) == ("sales-town", 32)
    assert {a.path for a in client.list_artifacts(run_id)} == {
        "evaluation.json",
        "holdout.parquet",
        "plots",
        "report.html",
        "report.md",
        "validation.html",
    }


def test_twice_is_once(line):
    run()
    before = Path(".assay/champion.json").stat().st_mtime_ns
    runs = len(connect("town").client.search_runs([connect("town").experiment_id]))
    again = run()
    assert again.what == "kept"
    assert "NOTHING NEW: valuation-town:v1" in boxed(again)
    assert versions() == {"1": line}
    assert len(connect("town").client.search_runs([connect("town").experiment_id])) == runs
    assert Path(".assay/champion.json").stat().st_mtime_ns == before


def test_a_candidate_no_worse_takes_over_and_may_come_back(line):
    run()
    other = lay_line(OTHER)
    assert run().what == "promoted"
    assert agree(other) == "2"
    lay_line(GOOD)
    assert run().what == "promoted"
    assert agree(line) == "1"
    assert versions() == {"1": line, "2": other}


def test_a_worse_candidate_is_registered_and_refused(line):
    run()
    worse = lay_line(WORSE)
    decision = run()
    assert decision.what == "refused"
    assert agree(line) == "1"
    assert versions()["2"] == worse
    assert not Path(".assay/bentoml/models/valuation-town/v2").exists()
    box = boxed(decision)
    assert "REFUSED: valuation-town:v2" in box
    assert "The champion stays v1." in box
    verdict = read_json("data/reports/verdict.json")
    assert (verdict["decision"], verdict["outcome"], verdict["model"]) == ("refused", "fail", worse)


def test_a_refused_candidate_is_uploaded_once(line):
    lay_line(WORSE)
    run()
    uploaded = {path: path.stat().st_mtime_ns for path in Path("mlartifacts/models").rglob("*") if path.is_file()}
    run()
    again = {path: path.stat().st_mtime_ns for path in Path("mlartifacts/models").rglob("*") if path.is_file()}
    assert uploaded == again != {}


def test_without_a_champion_a_refusal_says_that_nothing_serves(line):
    lay_line(WORSE)
    decision = run()
    assert decision.what == "refused"
    assert "Nothing serves" in boxed(decision)
    assert alias() is None
    assert not Path(".assay/champion.json").exists()


def test_an_experiment_logs_and_moves_nothing(line):
    assert run(experiment=True).what == "experiment"
    assert versions() == {"1": line}
    assert alias() is None
    assert not Path(".assay/champion.json").exists()
    assert not Path(".assay/promotions.jsonl").exists()
    run()
    lay_line(BETTER)
    decision = run(experiment=True)
    assert decision.what == "experiment"
    assert "The champion stays v1." in boxed(decision)
    assert agree(line) == "1"
    assert len(versions()) == 2


def test_tighter_bounds_raise_a_doubt_about_the_champion_and_leave_it(line):
    run()
    tight = Bounds.from_params(GATE | {"markets": {"town": {"figures": {"mdape": {"at_most": 0.03}}}}}, "town")
    decision = run(bounds=tight)
    assert decision.what == "kept"
    assert "By today's bounds it would be refused:" in boxed(decision)
    assert agree(line) == "1"


def test_where_another_market_serves_a_refusal_says_so(line):
    write_json(".assay/champion.json", {"tag": "valuation-city:v4", "digest": "0" * 64, "market": "city"})
    lay_line(WORSE)
    for experiment in (True, False):
        assert "valuation-city:v4 of another market goes on being served." in boxed(run(experiment))
    assert read_json(".assay/champion.json")["market"] == "city"


def test_a_holdout_beyond_the_horizon_names_the_setting(line):
    valuer = replace(read_bundle("data/model")[0], horizon_days=30)
    with pytest.raises(Fault, match=r"serve\.horizon_days in params.yaml \(now 30\)"):
        value_holdout(valuer, valuer, *reversed(split_sales()))


def test_an_evaluation_of_another_model_is_refused(line):
    told = read_json(EVALUATION)
    lay_line(OTHER)
    write_json(EVALUATION, told)
    with pytest.raises(TrialError, match="is about model"):
        run()


def test_a_holdout_of_other_sales_stops_the_line(line):
    run()
    lay_line(OTHER)
    write_parquet("data/reports/holdout.parquet", pd.read_parquet("data/reports/holdout.parquet").head(500))
    with pytest.raises(TrialError, match="hold different sales"):
        run()
    assert agree(line) == "1"


def test_a_champion_that_knows_other_fields_can_not_be_compared(line):
    run()
    lay_line(OTHER)
    path = "data/split/holdout.parquet"
    write_parquet(path, pd.read_parquet(path).drop(columns="noise"))
    decision = run()
    assert decision.card["verdict"]["outcome"] == "cannot tell"
    assert any("it values by noise, which these sales lack" in reason for reason in decision.card["verdict"]["reasons"])
    assert agree(line) == "1"


def test_a_damaged_candidate_is_never_registered(line):
    path = Path("data/model/forest_00.txt")
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(BundleError, match=r"forest_00\.txt"):
        run()
    assert versions() == {}


def test_the_champion_is_judged_on_sales_it_has_never_seen(line):
    run()
    lay_line(OTHER)
    for path in ("data/split/holdout.parquet", "data/reports/holdout.parquet"):
        sales = pd.read_parquet(path)
        sales["sale_date"] = sales["sale_date"] - pd.Timedelta(days=330)
        write_parquet(path, sales)
    decision = run()
    assert decision.what == "refused"
    comparison = decision.card["verdict"]["champion"]["comparison"]
    assert 0 < comparison["n"] < 100
    assert any("came after v1's training" in reason for reason in decision.card["verdict"]["reasons"])


def test_sales_that_were_not_validated_promote_nobody(line):
    run()
    lay_line(OTHER)
    report, sales = Path("data/reports/validation.json"), "data/validated/sales.parquet"
    told = read_json(report)
    for wrong, said in (
        (told | {"sales": "0" * 64}, "are not those that passed validation, 000000000000"),
        (told | {"passed": False}, "No validation says that these sales passed"),
        ({}, "No validation says that these sales passed"),
    ):
        write_json(report, wrong)
        decision = run()
        assert decision.what == "refused"
        assert any(said in reason for reason in decision.card["verdict"]["reasons"])
    changed = pd.read_parquet(sales)
    changed.loc[changed.index[-3:], "price"] *= 2
    write_parquet(sales, changed)
    write_json(report, told | {"sales": file_digest(sales)})
    decision = run()
    assert decision.what == "refused"
    assert any("3 sales of the hold-out are not among" in reason for reason in decision.card["verdict"]["reasons"])
    report.unlink()
    assert run().what == "refused"
    assert agree(line) == "1"


def test_another_market_has_its_own_champion(line):
    run()
    assert store.pointed("town") == line
    assert store.pointed("city") is None
