"""Who serves is one decision: told by all places alike, taken back in one command, and never taken by halves."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from models.bundle import read_bundle
from models.fault import Fault
from models.files import read_json, write_json
from pipelines import champions, ledger, signing, store
from pipelines.decision import boxed
from pipelines.promote import PromoteError
from pipelines.tracking import connect
from tests.line import BETTER, GOOD, OTHER, WORSE, lay_line
from tests.promotion import agree, alias, run, versions

ROOT = Path(__file__).parents[1]
AWAY = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
PROMOTE = "from tests.line import BOUNDS; from pipelines.promote import promote; print(promote(BOUNDS, False).what)"


@pytest.fixture
def town(line) -> str:
    """The made-up town's first candidate is its champion."""
    run()
    return line


def here() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def command(*words: str, capsys=None) -> str:
    given = champions._parser().parse_args(words)
    given.act("town", given)
    return capsys.readouterr().out if capsys else ""


def decisions() -> list[tuple[str, str]]:
    return [(line.what, line.tag.rpartition(":")[2]) for line in ledger.of("town")]


def replayed() -> list[float]:
    """What the served model says of the hold-out, through the pointer alone."""
    stored = store.serving()
    assert stored is not None
    homes = pd.read_parquet("data/split/holdout.parquet").head(60)
    return store.read(stored).value(homes, homes["sale_date"]).tolist()


def test_every_decision_is_kept_with_who_and_why(town, capsys):
    lay_line(WORSE)
    run()
    lay_line(OTHER)
    run()
    assert decisions() == [("promoted", "v1"), ("promoted", "v3")]
    told = command("history", capsys=capsys)
    assert "valuation-town:v1 -> valuation-town:v3" in told
    assert "checks of the gate passed." in told
    page = connect("town").client.get_registered_model("valuation-town").description
    assert page.startswith("## valuation-town:v3 serves\n")
    assert "| promoted | valuation-town:v1 | valuation-town:v3 |" in page


def test_a_decision_that_changes_nothing_is_not_kept(town):
    run()
    lay_line(WORSE)
    run()
    assert decisions() == [("promoted", "v1")]


def test_status_is_green_where_all_agree_and_red_where_one_does_not(town, capsys):
    told = command("status", "--server", "http://127.0.0.1:9", capsys=capsys)
    assert told.startswith("valuation-town:v1 serves since ")
    assert "- server     http://127.0.0.1:9 doesn't answer" in told.replace("      ", " ")
    lay_line(WORSE)
    run()
    connect("town").client.set_registered_model_alias("valuation-town", "champion", "2")
    with pytest.raises(champions.Disagreement, match="not all places name the champion"):
        command("status", "--server", "http://127.0.0.1:9")
    assert "WRONG  registry   alias `champion` is v2" in capsys.readouterr().out
    run()
    command("status", "--server", "http://127.0.0.1:9")


def test_a_moved_alias_changes_nothing_that_is_served(town):
    worse = lay_line(WORSE)
    run()
    client = connect("town").client
    client.set_registered_model_alias("valuation-town", "champion", "2")
    assert run().what == "refused"
    assert agree(town) == "1"
    assert versions()["2"] == worse
    assert decisions() == [("promoted", "v1")]


def test_back_to_the_one_before_without_mlflow_and_network(town, monkeypatch, capsys):
    before = replayed()
    lay_line(BETTER)
    run()
    assert replayed() != before
    shutil.rmtree("mlartifacts")
    Path("mlflow.db").unlink()
    for name, value in AWAY.items():
        monkeypatch.setenv(name, value)
    told = command("rollback", "--why", "values of homes with a pool jumped", capsys=capsys)
    assert "valuation-town:v1 is the champion again, in place of valuation-town:v2" in told
    assert "alias follows with the next `dvc repro`" in told
    assert replayed() == before
    assert decisions() == [("promoted", "v1"), ("promoted", "v2"), ("rolled back", "v1")]
    assert ledger.of("town")[-1].why == "values of homes with a pool jumped"


def test_the_registry_follows_a_rollback(town):
    other = lay_line(OTHER)
    run()
    command("rollback", "--why", "a doubt")
    assert alias() == "1"
    command("verify")
    decision = run()
    assert decision.what == "refused"  # no gate brings back what a person has taken back
    assert any("went back from it to valuation-town:v1" in told for told in decision.card["verdict"]["reasons"])
    command("promote", "v2", "--why", "the doubt was unfounded")
    assert run().what == "kept"
    assert agree(other) == "2"
    lay_line(GOOD)
    assert run().what == "promoted"
    assert agree(town) == "1"


def test_a_hold_out_that_has_judged_many_says_so(town):
    decision = run()
    assert decision.worn == 1
    assert "This hold-out has judged 1 candidate." in boxed(decision)
    lay_line(WORSE)
    decision = run()
    assert decision.worn == 2
    assert "owes part of its figures to chance" in boxed(replace(decision, worn=11)).replace("|\n|  ", "")
    assert read_json("data/reports/verdict.json")["judged_on_holdout"] == 2


def test_back_to_a_version_by_name_and_not_to_one_that_never_served(town):
    lay_line(OTHER)
    run()
    lay_line(WORSE)
    run()
    command("rollback", "--to", "v1", "--why", "asked for")
    assert agree(town) == "1"
    for version in ("v3", "v9"):
        with pytest.raises(Fault, match=f"{version} is no version that has served"):
            command("rollback", "--to", version, "--why", "asked for")
    with pytest.raises(Fault, match="valuation-town:v1 is the champion already"):
        command("rollback", "--to", "1", "--why", "asked for")


def test_there_is_nothing_to_go_back_to_at_first(town):
    with pytest.raises(Fault, match="no other model has served before valuation-town:v1"):
        command("rollback", "--why", "a doubt")


def test_a_rollback_serves_the_memory_that_the_version_was_served_with(town):
    stored = store.serving()
    assert stored is not None
    grown = read_bundle("data/model")[0].refreshed(pd.read_parquet("data/validated/sales.parquet"))
    memory = store.put_memory(stored, grown)
    line = ledger.head("town")
    assert line is not None
    ledger.record("town", ledger.REFRESHED, "more sales", line.tag, line.digest, memory, line.evidence)
    store.point_to(stored, memory)
    before = replayed()
    lay_line(OTHER)
    run()
    command("rollback", "--why", "a doubt")
    assert read_json(".assay/champion.json")["memory"] == memory
    assert replayed() == before


def test_a_person_may_overrule_the_gate_and_it_shows_everywhere(town, capsys):
    worse = lay_line(WORSE)
    run()
    command("promote", "v2", "--why", "the refusal rests on a closed area")
    assert agree(worse) == "2"
    card = read_json(".assay/bentoml/models/valuation-town/v2/card.json")
    assert card["override"]["why"] == "the refusal rests on a closed area"
    assert card["verdict"]["outcome"] == "fail"
    assert decisions()[-1] == ("overridden", "v2")
    version = connect("town").client.get_model_version("valuation-town", "2")
    assert "**Made champion all the same by" in str(version.description)
    assert version.tags["assay.decided"].endswith("the refusal rests on a closed area")
    command("verify")
    assert run().what == "kept"
    assert read_json(".assay/bentoml/models/valuation-town/v2/card.json")["override"] == card["override"]


def test_what_is_not_in_the_registry_can_not_be_promoted(town):
    with pytest.raises(Fault, match="valuation-town v7 is not whole in MLflow"):
        command("promote", "v7", "--why", "a hunch")


def test_verify_finds_what_is_not_as_it_was(town):
    lay_line(OTHER)
    run()
    command("verify")
    path = Path(".assay/bentoml/models/valuation-town/v1/bundle/forest_00.txt")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b" ")
    with pytest.raises(champions.Disagreement, match=r"valuation-town:v1, bundle \w+, is not whole in the store"):
        command("verify")
    path.write_bytes(whole)
    folder = Path(".assay/bentoml/models/valuation-town/v2")
    card = read_json(folder / "card.json")
    card["verdict"]["outcome"] = "fail"
    store.write_card(folder, card, signing.sign_version(card, folder / "bundle"))
    with pytest.raises(champions.Disagreement, match="the verdict on valuation-town:v2 in the store is not the one"):
        command("verify")


@pytest.mark.parametrize("words", [("rollback",), ("promote", "v2"), ("sign",)])
@pytest.mark.parametrize("why", ["", "  "])
def test_a_decision_needs_a_reason(words, why, capsys):
    with pytest.raises(SystemExit):
        champions._parser().parse_args([*words, "--why", why])
    assert "is empty; say in words why" in capsys.readouterr().err


def test_of_two_promoters_one_wins_and_the_other_says_why_not(town):
    """Both have judged the same champion before either decides."""
    lay_line(BETTER)
    code = f"import sys\nimport pipelines.promote as p\nreal = p.judged\ndef judged(*a):\n told = real(*a)\n print('judged', flush=True)\n input()\n return told\np.judged = judged\n{PROMOTE}"  # noqa: E501
    both = [
        subprocess.Popen([sys.executable, "-c", code], env=here(), stdin=-1, stdout=-1, stderr=-1, text=True)
        for _ in range(2)
    ]
    for one in both:
        assert one.stdout is not None
        assert one.stdout.readline() == "judged\n"
    told = [one.communicate("\n", timeout=120) for one in both]
    assert sorted(one.returncode for one in both) == [0, 1]
    (out,) = (out for (out, _), one in zip(told, both, strict=True) if one.returncode == 0)
    (err,) = (err for (_, err), one in zip(told, both, strict=True) if one.returncode)
    assert out == "promoted\n"
    assert "valuation-town:v2 has become the champion while this candidate was compared with valuation-town:v1" in err
    assert decisions() == [("promoted", "v1"), ("promoted", "v2")]
    command("verify")


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment_the_old_or_the_new_one_serves_and_the_next_run_ends_it(town, seed):
    new, draw = lay_line(BETTER), random.Random(seed)
    process = subprocess.Popen([sys.executable, "-c", PROMOTE], env=here(), stdout=subprocess.DEVNULL)
    time.sleep(draw.uniform(2, 9))
    process.send_signal(signal.SIGKILL)
    process.wait()
    stored = store.serving()
    assert stored is not None
    assert stored.card["digest"] in (town, new)
    run()
    command("verify")
    agree(new)
    assert [what for what, _ in decisions()] == ["promoted", "promoted"]
    assert lay_line(GOOD) == town


@pytest.fixture
def old_town(line, monkeypatch) -> str:
    """The first candidate became champion under code that wrote bundles of another format."""
    with monkeypatch.context() as earlier:
        earlier.setattr("models.bundle.FORMAT", 2)
        old = lay_line(GOOD)
        assert run().what == "promoted"
    return old


def test_a_champion_of_an_older_format_gives_way_to_a_good_candidate_and_to_no_bad_one(old_town):
    """An update of the code must not leave a market without a way on."""
    lay_line(WORSE)
    assert run().what == "refused"
    other = lay_line(OTHER)
    decision = run()
    assert decision.what == "promoted"
    assert any(
        "valuation-town:v1 is of a format that" in check["reason"] for check in decision.card["verdict"]["checks"]
    )
    assert agree(other) == "3"
    assert decisions() == [("promoted", "v1"), ("promoted", "v3")]


def test_a_champion_whose_manifest_was_altered_is_none_of_an_older_format(town):
    """Else whoever can write in the store could have the comparison with it left out."""
    manifest = Path(".assay/bentoml/models/valuation-town/v1/bundle/manifest.json")
    write_json(manifest, read_json(manifest) | {"format": 1})
    shutil.rmtree("mlartifacts")
    lay_line(OTHER)
    with pytest.raises(PromoteError, match="neither whole in the store nor in MLflow"):
        run()


def test_a_champion_that_only_the_ledger_remembers_is_made_again_by_its_own_candidate(town):
    shutil.rmtree(".assay/bentoml")
    shutil.rmtree("mlartifacts")
    assert run().what == "promoted"
    assert agree(town) == "1"
    command("verify")


def test_what_was_taken_back_stays_so_where_its_successor_can_be_read_no_more(old_town, monkeypatch):
    """By the code of before, which reads the champion of before."""
    lay_line(OTHER)
    assert run().what == "promoted"
    with monkeypatch.context() as earlier:
        earlier.setattr("models.bundle.FORMAT", 2)
        command("rollback", "--why", "a doubt")
    decision = run()
    assert decision.what == "refused"
    assert any("went back from it to valuation-town:v1" in told for told in decision.card["verdict"]["reasons"])
