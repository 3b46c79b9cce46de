"""Requests to answers, without a server: the same home has the same answer however it is asked."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest

from serving.api_doc import with_example
from serving.champion import Champion
from serving.problems import Problem
from serving.valuing import MOST_HOMES, value_many, value_one
from tests.served import HOME, MARKET, ROOT, train

CARD = {"name": "valuation-harbour", "version": "7", "digest": "a" * 64, "run": None, "data": "d", "commit": "c"}


@pytest.fixture(scope="module")
def champion() -> Champion:
    return Champion(train(), CARD)


def one(champion: Champion, **request: Any) -> dict[str, Any]:
    return value_one(champion, json.dumps({"home": HOME} | request).encode())


def refusal(champion: Champion, answer: Any, **request: Any) -> Problem:
    with pytest.raises(Problem) as refused:
        answer(champion, json.dumps(request).encode())
    return refused.value


def test_an_answer_holds_all_that_is_promised(champion):
    answer = one(champion)
    assert set(answer) == {"id", "value", "currency", "as_of", "range", "base", "reasons", "warnings", "model"}
    assert answer["currency"] == MARKET.currency
    assert answer["model"] == CARD
    assert answer["range"]["low"] < answer["value"] < answer["range"]["high"]
    assert answer["range"]["level"] == 0.9


def test_reasons_add_up_to_the_value_to_the_cent(champion):
    for area in (30, 79.5, 300, 1000):
        answer = one(champion, home=HOME | {"living_area": area})
        cents = round(100 * answer["base"]["amount"]) + sum(round(100 * r["amount"]) for r in answer["reasons"])
        assert cents == 100 * answer["value"]


def test_the_valuation_date_defaults_to_the_end_of_memory_and_is_stated(champion):
    end = champion.valuer.memory_end
    assert one(champion)["as_of"] == end.isoformat()
    assert one(champion) == one(champion, as_of=None) == one(champion, as_of=end.isoformat())


def test_the_same_home_has_the_same_answer_however_it_is_written(champion):
    other = dict(reversed(HOME.items())) | {"living_area": 80.0, "rooms": 3.0}
    assert one(champion, home=other) == one(champion)


def test_another_home_day_or_model_has_another_id(champion):
    ids = {
        one(champion)["id"],
        one(champion, home=HOME | {"rooms": 4})["id"],
        one(champion, as_of="2021-06-01")["id"],
        one(Champion(champion.valuer, CARD | {"digest": "b" * 64}))["id"],
    }
    assert len(ids) == 4
    assert all(len(i) == 32 and int(i, 16) >= 0 for i in ids)


def test_a_batch_answers_each_home_as_if_it_were_alone_in_order(champion):
    homes = [HOME | {"living_area": 30.1 + 7 * i, "energy": None if i % 3 else 90} for i in range(40)]
    homes += [homes[0], HOME]
    values = value_many(champion, json.dumps({"homes": homes, "as_of": "2021-06-01"}).encode())["values"]
    assert values == [one(champion, home=home, as_of="2021-06-01") for home in homes]


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


def test_a_bad_row_is_named_by_its_position(champion):
    problem = refusal(champion, value_many, homes=[HOME, HOME | {"rooms": 0}, "x", HOME | {"lift": None}])
    assert [(e.row, e.field) for e in problem.errors] == [(1, "rooms"), (2, "home"), (3, "lift")]
    assert problem.errors[0].to_dict()["row"] == 1


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
