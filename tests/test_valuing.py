"""Requests to answers, without a server: the same home has the same answer however it is asked."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from models.bundle import write_memory
from models.comparables import TOLD
from models.market import Market
from serving.api_doc import with_example
from serving.batch import MOST_HOMES, value_many
from serving.champion import Champion
from serving.comparing import compare
from serving.problems import Problem
from serving.valuing import value_one
from tests.served import HOME, MARKET, ROOT, later_sales, train

CARD = {"name": "valuation-harbour", "version": "7", "digest": "a" * 64, "run": None, "data": "d", "commit": "c"}


@pytest.fixture(scope="module")
def champion() -> Champion:
    return Champion(train(), CARD, "e" * 64)


@pytest.fixture(scope="module")
def refreshed(champion: Champion, tmp_path_factory: pytest.TempPathFactory) -> Champion:
    """The same model with a quarter of sales more."""
    valuer = champion.valuer.refreshed(later_sales())
    return Champion(valuer, CARD, write_memory(tmp_path_factory.mktemp("refreshed") / "memory", valuer))


def one(champion: Champion, **request: Any) -> dict[str, Any]:
    return value_one(champion, json.dumps({"home": HOME} | request).encode())


def many(champion: Champion, homes: list[dict[str, Any]], **request: Any) -> list[dict[str, Any]]:
    values: list[dict[str, Any]] = value_many(champion, json.dumps({"homes": homes} | request).encode())["values"]
    return values


def compared(champion: Champion, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return compare(champion, json.dumps({"from": before, "to": after}).encode())


def cents(amounts: Any) -> int:
    return sum(round(100 * amount) for amount in amounts)


def amounts(told: list[dict[str, Any]]) -> list[float]:
    return [line["amount"] for line in told]


def refusal(champion: Champion, answer: Any, **request: Any) -> Problem:
    with pytest.raises(Problem) as refused:
        answer(champion, json.dumps(request).encode())
    return refused.value


def test_an_answer_holds_all_that_is_promised(champion):
    answer = one(champion)
    assert list(answer) == [
        *("id", "value", "currency", "as_of", "range", "ranges", "confidence", "fsd", "in_support"),
        *("base", "reasons", "comparables", "warnings", "model"),
    ]
    assert answer["currency"] == MARKET.currency
    known = {"memory": "e" * 64, "memory_end": champion.valuer.memory_end.isoformat()}
    assert answer["model"] == CARD | known | {"override": None}
    assert answer["confidence"]["within"] == 0.1
    assert 0 < answer["confidence"]["chance"] < 1
    assert 0 < answer["fsd"] < 1
    assert answer["in_support"] is True
    assert isinstance(answer["value"], int)


def test_ranges_are_nested_around_the_value_and_one_of_them_is_told_first(champion):
    homes = [HOME | {"living_area": 30 + 7 * i, "lat": 50.5 + i / 40, "lon": 4.4} for i in range(40)]
    for answer in many(champion, homes):
        assert [told["level"] for told in answer["ranges"]] == [0.5, 0.8, 0.9]
        for narrow, wide in pairwise([{"low": answer["value"], "high": answer["value"]}, *answer["ranges"]]):
            assert wide["low"] <= narrow["low"] <= narrow["high"] <= wide["high"]
        assert answer["range"] == answer["ranges"][-1]
    assert {answer["in_support"] for answer in many(champion, homes)} == {True, False}


def test_reasons_add_up_to_the_value_to_the_cent(champion):
    for area in (30, 79.5, 300, 1000):
        answer = one(champion, home=HOME | {"living_area": area})
        assert cents([answer["base"]["amount"], *amounts(answer["reasons"])]) == 100 * answer["value"]
        for reason in answer["reasons"]:
            assert cents(amounts(reason["lines"])) == cents([reason["amount"]])


def test_each_comparable_sale_leads_to_the_value_to_the_cent(champion):
    sold = champion.valuer.memory.sales.set_index("sale_id")
    for area in (30, 79.5, 300, 1000):
        answer = one(champion, home=HOME | {"living_area": area, "property_id": "p3"}, as_of="2021-06-01")
        assert len(answer["comparables"]) == TOLD
        for sale in answer["comparables"]:
            assert cents([sale["price"], *amounts(sale["adjustments"])]) == 100 * answer["value"]
            assert sale["price"] == sold["price"][sale["sale_id"]]
            assert sale["property_id"] == sold["property_id"][sale["sale_id"]] != "p3"
            assert sale["sale_date"] < "2021-06-01"
            assert 0 < sale["alike"] <= 1
            assert sale["distance_km"] >= 0


def test_a_home_without_a_place_has_no_distance_from_its_comparables(champion):
    raw = MARKET.to_dict()
    for field in raw["fields"]:
        field["missing"] = field["name"] in ("energy", "lat", "lon")
    features = replace(champion.valuer.features, market=Market.from_dict(raw))
    placeless = Champion(replace(champion.valuer, features=features), CARD, champion.memory)
    answer = one(placeless, home=HOME | {"lat": None, "lon": None})
    assert {sale["distance_km"] for sale in answer["comparables"]} == {None}
    assert json.dumps(answer, allow_nan=False)


def test_a_home_sold_before_is_found_by_its_property_id(champion):
    unknown, known = one(champion), one(champion, home=HOME | {"property_id": "p3"})
    assert known["value"] != unknown["value"]
    assert known["id"] != unknown["id"]
    history = {reason["name"]: reason["amount"] for reason in known["reasons"]}["history"]
    assert history != {reason["name"]: reason["amount"] for reason in unknown["reasons"]}["history"]
    assert one(champion, home=HOME | {"property_id": None}) == unknown
    assert one(champion, home=HOME | {"property_id": "never sold"})["value"] == unknown["value"]


@pytest.mark.parametrize("wrong", [7, True, "", " ", "a\nb", "x" * 201, ["p3"]])
def test_a_property_id_that_is_no_plain_text_is_refused(champion, wrong):
    (error,) = refusal(champion, value_one, home=HOME | {"property_id": wrong}).errors
    assert (error.field, error.value, error.allowed) == ("property_id", wrong, "any text")


def test_the_valuation_date_defaults_to_the_day_for_which_all_sales_count_and_is_stated(champion):
    day = champion.valuer.current_day
    assert day > champion.valuer.memory_end
    assert one(champion)["as_of"] == day.isoformat()
    assert one(champion) == one(champion, as_of=None) == one(champion, as_of=day.isoformat())


def test_the_same_home_has_the_same_answer_however_it_is_written(champion):
    other = dict(reversed(HOME.items())) | {"living_area": 80.0, "rooms": 3.0}
    assert one(champion, home=other) == one(champion)


def test_another_home_day_model_or_memory_has_another_id(champion, refreshed):
    ids = {
        one(champion)["id"],
        one(champion, home=HOME | {"rooms": 4})["id"],
        one(champion, as_of="2021-06-01")["id"],
        one(champion, home=HOME | {"property_id": "p3"})["id"],
        one(Champion(champion.valuer, CARD | {"digest": "b" * 64}, champion.memory))["id"],
        one(refreshed, as_of=champion.valuer.current_day.isoformat())["id"],
    }
    assert len(ids) == 6
    assert all(len(i) == 32 and int(i, 16) >= 0 for i in ids)


def test_a_newer_memory_tells_the_value_of_an_earlier_day_again(champion, refreshed):
    assert refreshed.cited["memory_end"] > champion.cited["memory_end"]
    assert one(refreshed)["as_of"] > one(champion)["as_of"]
    told = [one(served, as_of="2021-06-01") | {"id": "", "model": {}} for served in (champion, refreshed)]
    assert told[0] == told[1]


def test_a_batch_answers_each_home_as_if_it_were_alone_in_order_without_comparables(champion):
    homes = [HOME | {"living_area": 30.1 + 7 * i, "energy": None if i % 3 else 90} for i in range(40)]
    homes += [home | {"property_id": f"p{i}"} for i, home in enumerate(homes)] + [homes[0], HOME]
    for day in ("2021-06-01", "2022-08-15"):
        alone = [one(champion, home=home, as_of=day) for home in homes]
        assert all(answer.pop("comparables") for answer in alone)
        assert many(champion, homes, as_of=day) == alone


@pytest.mark.parametrize(
    "day",
    ["2021-02-29", "20210601", "2021-06-01T00:00:00Z", "2021-W01-1", "tomorrow", "", "٢٠٢١-٠٦-٠١", 20210602, True, []],
)
def test_what_is_no_calendar_day_is_refused(champion, day):
    problem = refusal(champion, value_one, home=HOME, as_of=day)
    assert [e.field for e in problem.errors] == ["as_of"]


def test_days_the_model_cannot_speak_for_are_refused_with_the_allowed_range(champion):
    valuer = champion.valuer
    first, latest = valuer.first_day, valuer.memory_end + timedelta(days=valuer.horizon_days)
    for day, nearest in ((first - timedelta(1), first), (latest + timedelta(1), latest)):
        (error,) = refusal(champion, value_one, home=HOME, as_of=day.isoformat()).errors
        assert error.allowed == f"a date from {first} to {latest}, written YYYY-MM-DD"
        assert str(nearest) in str(error.suggestion)
    for day in (first, latest):
        assert one(champion, as_of=day.isoformat())["as_of"] == day.isoformat()


def test_faults_of_the_request_and_of_the_home_are_told_together(champion):
    problem = refusal(champion, value_one, home=HOME | {"rooms": "3"}, as_off="2021-06-01", as_of="soon")
    assert {e.field: e.suggestion for e in problem.errors}["as_off"] == "did you mean 'as_of'?"
    assert [e.field for e in problem.errors] == ["as_off", "as_of", "rooms"]
    assert [e.field for e in refusal(champion, value_one, as_of="2021-06-01").errors] == ["home"]


def test_a_bad_row_spoils_no_other(champion):
    homes = [HOME, HOME | {"rooms": 0}, "x", HOME | {"lift": None}, HOME]
    told = value_many(champion, json.dumps({"homes": homes}).encode())
    assert told["refused"] == 3
    assert told["values"][0] == told["values"][4] == many(champion, [HOME])[0]
    refused = told["values"][1:4]
    assert [row["row"] for row in refused] == [1, 2, 3]
    assert [row["error"]["errors"][0]["field"] for row in refused] == ["rooms", "home", "lift"]
    assert {row["error"]["status"] for row in refused} == {422}


def test_where_no_row_is_good_the_batch_is_refused_and_rows_are_named(champion):
    problem = refusal(champion, value_many, homes=[HOME | {"rooms": 0}, "x"])
    assert [(e.row, e.field) for e in problem.errors] == [(0, "rooms"), (1, "home")]
    assert problem.errors[0].to_dict()["row"] == 0


def test_what_if_and_what_changed_add_up_to_the_cent(champion):
    draw = random.Random(5)
    days = [None, "2019-11-30", "2020-05-01", "2021-06-15", "2021-12-31", "2022-10-01"]

    def asked() -> dict[str, Any]:
        changed = {
            "living_area": round(draw.uniform(25, 400), 1),
            "rooms": draw.randint(1, 5),
            "lift": draw.random() < 0.5,
            "kind": draw.choice(["flat", "house"]),
            "quarter": draw.choice(["old port", "hill", "never heard of"]),
            "energy": draw.choice([None, 90]),
            "property_id": draw.choice([None, "p3", "p8"]),
        }
        kept = draw.sample(sorted(changed), draw.randint(0, len(changed)))
        return {"home": HOME | {name: changed[name] for name in kept}, "as_of": draw.choice(days)}

    for _ in range(200):
        told = compared(champion, before := asked(), after := asked())
        assert cents(amounts(told["steps"])) == cents([told["difference"]])
        assert cents([told["from"]["value"], told["difference"]]) == cents([told["to"]["value"]])
        for side, request in (("from", before), ("to", after)):
            (alone,) = many(champion, [request["home"]], as_of=request["as_of"])
            assert told[side] == {key: alone[key] for key in ("id", "value", "as_of")}


def test_a_comparison_tells_facts_and_market_apart(champion):
    then, now = {"home": HOME, "as_of": "2021-06-01"}, {"home": HOME}
    larger = {"home": HOME | {"living_area": 120}}
    what_if = {step["name"]: step["amount"] for step in compared(champion, now, larger)["steps"]}
    assert what_if["facts"] > 0
    assert what_if["market"] == what_if["sales"] == what_if["model"] == 0
    changed = {step["name"]: step["amount"] for step in compared(champion, then, now)["steps"]}
    assert changed["facts"] == changed["model"] == 0
    assert changed["market"] != 0
    nothing = compared(champion, now, now)
    assert (nothing["difference"], {step["amount"] for step in nothing["steps"]}) == (0, {0})
    assert nothing["from"] == nothing["to"]
    assert nothing["model"] == one(champion)["model"]


def test_a_fault_of_a_comparison_names_its_side(champion):
    good, bad = {"home": HOME}, {"home": HOME | {"rooms": "3", "propertyid": "p3"}, "as_off": None, "as_of": "soon"}
    problem = refusal(champion, compare, **{"from": good, "to": bad})
    assert [e.field for e in problem.errors] == ["to.as_off", "to.as_of", "to.propertyid", "to.rooms"]
    assert problem.errors[2].suggestion == "did you mean 'property_id'?"
    assert "to.rooms" in problem.detail
    assert [e.field for e in refusal(champion, compare, **{"from": {}, "to": {"home": []}}).errors] == [
        "from.home",
        "to.home",
    ]
    assert [e.field for e in refusal(champion, compare, **{"from": [], "too": good}).errors] == ["too", "to", "from"]


@pytest.mark.parametrize("homes", [[], {}, "x", None])
def test_a_batch_needs_homes(champion, homes):
    assert [e.field for e in refusal(champion, value_many, homes=homes).errors] == ["homes"]


def test_a_batch_has_a_bound_that_the_refusal_names(champion):
    problem = refusal(champion, value_many, homes=[{}] * (MOST_HOMES + 1))
    assert problem.status == 413
    assert str(MOST_HOMES) in problem.detail
    faults = refusal(champion, value_many, homes=[{}] * MOST_HOMES)
    assert faults.status == 422
    assert len(faults.errors) == 100


def test_the_document_shows_a_request_that_works_and_its_answer(champion):
    text = (ROOT / "docs/api.md").read_text("utf-8")
    shown = with_example(text, champion)
    assert with_example(shown, champion) == shown
    ((request, answer),) = re.findall(r"-d '(.*)'\n```\n```json\n(.*?)\n```", shown, re.DOTALL)
    assert value_one(champion, request.encode()) == json.loads(answer)
    with pytest.raises(ValueError, match="example"):
        with_example("no marks", champion)
