"""The page of a version: the verdict and every reason first, the same wherever it is read, and nothing but itself."""

import base64
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import mlflow
import pytest

from models.files import read_json, write_bytes
from pipelines import champions, store
from pipelines.exhibits import Exhibits, exhibits_of
from pipelines.report import pages
from pipelines.tracking import connect
from tests.line import GOOD, WORSE, commit_all, lay_line
from tests.promotion import run
from tests.served import ROOT, environment, serving

PAGE, TEXT = Path("data/reports/report.html"), Path("data/reports/report.md")
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=")
MAP = Path("data/reports/plots/ratio_map.png")


@dataclass(frozen=True)
class Town:
    """What a champion and then a refused candidate left; the current folder is theirs."""

    champion: dict[str, Any]
    refused: dict[str, Any]
    first: str  # the champion's page when it was promoted
    page: str  # the refused one's


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, empty_mlflow: Path) -> Iterator[Town]:
    place = tmp_path_factory.mktemp("town")
    shutil.copy(empty_mlflow, place / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(place / ".assay/bentoml"))
        patch.chdir(place)
        shutil.copy(ROOT / "params.yaml", "params.yaml")
        lay_line(GOOD)
        write_bytes(MAP, PNG)
        commit_all()
        champion, first = run().card, PAGE.read_text("utf-8")
        lay_line(WORSE)
        yield Town(champion, run().card, first, PAGE.read_text("utf-8"))
    mlflow.set_tracking_uri("")


def read(html: str) -> str:
    """What people read of a page, each run of blanks as one."""
    body = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"</?(?:code|strong|a)\b[^>]*>", "", body)).replace("\xa0", " ").split())


def verdict_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", read(html.partition("<nav")[0]).partition("<h1>")[2]).split())


def kept(version: str) -> bytes:
    stored = store.numbered("town", version)
    assert stored is not None
    return store.pages_of(stored)["report.html"]


def in_mlflow(card: dict[str, Any]) -> bytes:
    return Path(connect("town").client.download_artifacts(card["run"], "report.html")).read_bytes()


def overrule(version: str, why: str) -> None:
    given = champions._parser().parse_args(["promote", version, "--why", why])
    given.act("town", given)


def test_a_refusal_is_understood_before_anything_else(town):
    verdict, first = town.refused["verdict"], verdict_of(town.page)
    short = sum(check["outcome"] != "pass" for check in verdict["checks"])
    assert first.startswith("Refused valuation-town:v2, ")
    assert f"{short} of {len(verdict['checks'])} checks did not pass. This model may not serve, because:" in first
    assert verdict["reasons"]
    assert all(reason in first for reason in verdict["reasons"])
    assert "the champion's, valuation-town:v1, " in first
    assert "champions promote v2 --why '...'" in first
    assert town.page.index("<nav") < town.page.index("<table") < town.page.index("<img")


def test_a_champion_says_who_decided_and_how_to_go_back(town):
    first = verdict_of(town.first)
    assert first.startswith("Passed valuation-town:v1, ")
    assert f"The gate made it the champion on {town.champion['promoted_at'][:10]} " in first
    assert "make rollback WHY='...'" in first


def test_every_check_is_told_what_did_not_pass_first(town):
    checks = town.refused["verdict"]["checks"]
    gate = town.page.partition('<section id="the-gate-check-by-check">')[2].partition("</section>")[0]
    assert all(check["reason"].replace("`", "") in read(gate) for check in checks)
    found = [re.findall(r">(failed|cannot tell|passed)</td>", group) for group in gate.split("<h3>")[1:]]
    order = ["failed", "cannot tell", "passed"]
    assert sum(map(len, found)) == len(checks)
    assert [group[0] for group in found] == sorted((group[0] for group in found), key=order.index)
    assert all(group == sorted(group, key=order.index) for group in found)


def test_every_group_of_sales_is_told(town):
    (rows,) = (check["rows"] for check in town.refused["verdict"]["checks"] if check["rows"])
    said = re.sub(r"<[^>]*>", " ", town.page)
    assert all(f"{row['segment'].replace('_', ' ')}: {row['group']} " in said for row in rows)


def test_it_needs_nothing_but_itself(town):
    for page in (town.first, town.page):
        assert not re.search(r"<script|<link|http|@import|url\(", page)
        addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
        outside = [a for a in addresses if not a.startswith(("#", "data:image/png;base64,"))]
        assert outside == ["validation.html"]
        assert all(f'id="{a[1:]}"' in page for a in addresses if a.startswith("#"))


def test_plots_are_inside_and_one_that_is_not_there_is_not_missed(town):
    assert f'src="data:image/png;base64,{base64.b64encode(PNG).decode()}"' in town.first
    assert 'alt="Where values are high or low. Red is ' in town.first
    assert "Value against price" not in town.first
    bare = pages(town.champion, Exhibits())["report.html"].decode()
    assert "<img" not in bare
    assert verdict_of(bare) == verdict_of(town.first)


def test_the_same_card_and_plots_give_the_same_bytes(town):
    for _ in range(2):
        assert pages(town.refused, exhibits_of(town.refused))["report.html"].decode() == town.page


def test_it_is_the_same_page_everywhere(town, tmp_path):
    assert in_mlflow(town.refused).decode() == town.page
    assert in_mlflow(town.champion) == kept("1") == town.first.encode()
    ours = {"BENTOML_HOME": str(Path(".assay/bentoml").resolve())}
    ours["ASSAY_KEY"] = str(Path(".assay/keys/public.pem").resolve())
    ours["ASSAY_CHAMPION"] = str(Path(".assay/champion.json").resolve())
    with serving("serving.service:Valuation", ROOT, environment(tmp_path) | ours, tmp_path / "log") as server:
        answer = server.get("/report")
        assert answer.content.decode() == town.first
        assert answer.headers["content-type"].startswith("text/html")
        policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
        assert answer.headers["content-security-policy"] == policy
        assert server.get("/validation.html").content == Path("data/reports/validation.html").read_bytes()
        assert {"/report", "/validation.html"} <= set(server.get("/openapi.json").json()["paths"])


def test_what_is_not_known_is_none_and_never_nan(town):
    nothing = dict.fromkeys(town.refused["figures"])
    card = town.refused | {"figures": nothing, "intervals": {}, "churn": {}, "range": {}, "backtest": {}}
    card["references"] = {"hedonic": nothing | {"mdape": float("nan")}}
    checks = [check | {"figure": float("nan"), "low": float("nan"), "told": ""} for check in card["verdict"]["checks"]]
    card["verdict"] = card["verdict"] | {"checks": checks}
    for page in pages(card, Exhibits()).values():
        assert not re.search(rb"\bnan\b|\bNaN\b|\binf\b|>None<", page)
    assert "Its typical error is none; " in verdict_of(pages(card, Exhibits())["report.html"].decode())


def test_mlflow_shows_candidate_champion_and_references_side_by_side(town):
    client, experiment = connect("town").client, connect("town").experiment_id
    runs = {str(r.info.run_name): r.data.metrics for r in client.search_runs([experiment])}
    references = sorted(name for name in runs if name.startswith("town reference "))
    assert references == sorted(f"town reference {name.replace('_', ' ')}" for name in town.refused["references"])
    refused = next(name for name in runs if "refused: " in name)
    against = [check["name"] for check in town.refused["verdict"]["checks"] if check["outcome"] != "pass"]
    assert refused.partition("refused: ")[2].split(", ")[:3] == against[:3]
    assert runs[refused]["mdape.low"] <= runs[refused]["mdape"] <= runs[refused]["mdape.high"]
    shared = set.intersection(*(set(runs[name]) for name in [refused, *references]))
    assert {"mdape", "ppe10", "r2", "cod", "prd", "prb"} <= shared


def test_mlflows_description_fits_its_place_and_names_the_page(town):
    for version in connect("town").client.search_model_versions("name = 'valuation-town'"):
        assert len(str(version.description)) <= 5000
        assert "`report.html`" in str(version.description)


def test_an_overruled_gate_is_told_in_red_and_no_word_of_it_is_taken_for_markup(line):
    write_bytes(MAP, PNG)
    run()
    lay_line(WORSE)
    card = run().card
    overrule("v2", "<script>alert(1)</script> **closed** | [area](javascript:1)")
    page = PAGE.read_text("utf-8")
    assert kept("2") == in_mlflow(card) == page.encode()
    assert '<p class="bad"><strong>Made champion all the same by ' in page
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; **closed** | [area](javascript:1)" in page
    assert r"&lt;script>alert(1)&lt;/script> \*\*closed\*\* \| \[area\](javascript:1)" in TEXT.read_text("utf-8")
    assert base64.b64encode(PNG).decode() in page
    assert "make rollback WHY=" in page
    assert run().what == "kept"
    assert PAGE.read_text("utf-8") == page


def test_a_champion_says_that_todays_bounds_refuse_it_and_its_page_comes_back_with_it(line):
    run()
    card = read_json(".assay/bentoml/models/valuation-town/v1/card.json")
    Path("params.yaml").write_text(Path("params.yaml").read_text("utf-8") + "# not in the commit\n", "utf-8")
    assert run().what == "kept"
    first = verdict_of(PAGE.read_text("utf-8"))
    assert first.startswith("Passed ")
    assert "by today's bounds it would be refused: " in first
    assert "params.yaml" in first
    assert kept("1") == PAGE.read_bytes()
    lay_line(WORSE)
    shutil.rmtree(".assay/bentoml")
    run()
    assert kept("1") == pages(card, Exhibits())["report.html"]


def test_a_page_that_was_altered_is_not_told_and_comes_back(town):
    place = Path(".assay/bentoml/models/valuation-town/v1/report.html")
    place.write_bytes(place.read_bytes().replace(b"Passed", b"Praised"))
    stored = store.numbered("town", "1")
    assert stored is not None
    assert "report.html" not in store.pages_of(stored)
    lay_line(GOOD)
    assert run().what == "kept"
    assert b"Passed" in kept("1")
