"""A real server's answers as callers and caches meet them: by lines, compressed, kept, looked up again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import zstandard

from models.valuer import Valuer
from serving.past import read
from tests.bench.fuzz import fuzz
from tests.served import HOME, Server, environment, later_sales, promote, refresh, supervised, until

JSON = "application/json"
LINES = "application/x-ndjson"


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Server]:
    with supervised(place, environment(place), "--workers", "1") as server:
        yield server


def problem(response: requests.Response, status: int) -> dict[str, Any]:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    told: dict[str, Any] = response.json()
    return told


def test_a_first_line_has_the_value_and_a_second_the_rest(server: Server):
    whole = server.post("/value", {"home": HOME}).json()
    with requests.post(
        server.url + "/value", json={"home": HOME}, headers={"accept": LINES}, stream=True, timeout=60
    ) as response:
        assert response.headers["content-type"] == LINES
        first, rest = (json.loads(line) for line in response.iter_lines())
    assert first["value"] == whole["value"]
    assert "reasons" not in first
    assert {**first, **rest} == whole
    assert problem(server.post("/value", {"home": {}}, headers={"accept": LINES}), 422)["errors"]


@pytest.mark.parametrize("coding", ["zstd", "br", "gzip", "identity"])
def test_an_answer_is_the_same_in_every_coding(server: Server, coding: str):
    whole = server.post("/value", {"home": HOME}).json()
    for path, kind in (("/value", JSON), ("/value", LINES), ("/value_batch", LINES)):
        headers = {"accept-encoding": coding, "accept": kind, "content-type": LINES if "batch" in path else JSON}
        response = requests.post(server.url + path, data=json.dumps({"home": HOME}), headers=headers, timeout=60)
        assert response.headers.get("content-encoding", "identity") == coding
        assert response.headers["vary"] == "accept-encoding"
        content = response.content
        if coding == "zstd":  # which requests leaves as it is
            content = zstandard.ZstdDecompressor().decompressobj().decompress(content)
        assert json.loads(content.splitlines()[0])["value"] == whole["value"]
    small = requests.get(server.url + "/livez", headers={"accept-encoding": coding}, timeout=60)
    assert "content-encoding" not in small.headers


@pytest.mark.parametrize("path", ["/model", "/openapi.json", "/valuations/{id}"])
def test_a_page_that_the_caller_has_is_not_sent_again(server: Server, path: str):
    path = path.replace("{id}", told(server, HOME)["id"])
    page = server.get(path)
    assert page.status_code == 200
    for etag in (page.headers["etag"], "W/" + page.headers["etag"], f'"other", {page.headers["etag"]}', "*"):
        again = server.get(path, headers={"if-none-match": etag})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == page.headers["etag"]
    assert server.get(path, headers={"if-none-match": '"other"'}).content == page.content
    plain = server.get(path, headers={"accept-encoding": "identity"})
    assert (plain.headers["etag"] != page.headers["etag"]) is ("content-encoding" in page.headers)
    head = requests.head(server.url + path, headers={"accept-encoding": "identity"}, timeout=60)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(plain.content))


def told(server: Server, home: dict[str, Any]) -> dict[str, Any]:
    """The answer for a home, once it can be looked up again."""
    answer: dict[str, Any] = server.post("/value", {"home": home}).json()
    until(lambda: server.get(f"/valuations/{answer['id']}").status_code == 200)
    return answer


def test_a_valuation_is_explained_again_by_its_id(server: Server):
    home = HOME | {"property_id": "p3", "plot": 17.25}
    answer = told(server, home)
    response = server.get(f"/valuations/{answer['id']}")
    assert response.json() == {
        "id": answer["id"],
        "home": home,
        "replayed": True,
        "why": None,
        "valuation": answer,
    }
    assert response.headers["cache-control"] == "private, max-age=31536000, immutable"
    for unknown in ("0" * 32, "nonsense", "%0a", answer["id"].upper()):
        problem(server.get(f"/valuations/{unknown}"), 404)


def test_past_valuations_are_listed_page_by_page(server: Server):
    ids = [told(server, HOME | {"plot": 300.5 + i})["id"] for i in range(5)]
    seen: list[str] = []
    page = server.get("/valuations?limit=2").json()
    while page["next"]:
        seen += [one["id"] for one in page["valuations"]]
        server.post("/value", {"home": HOME})  # what is told meanwhile moves no page
        page = server.get(f"/valuations?limit=2&cursor={page['next']}").json()
    seen += [one["id"] for one in page["valuations"]]
    assert [one for one in seen if one in ids] == ids[::-1]
    for query in ("limit=0", "limit=1001", "limit=two", "cursor=nonsense", "page=2"):
        assert problem(server.get(f"/valuations?{query}"), 422)["errors"][0]["field"] == query.split("=")[0]


def test_a_question_asked_again_is_answered_the_same_and_written_down_again(server: Server, place: Path):
    home = HOME | {"plot": 77.75}
    asked = [{"home": home}, {"home": home}, {"as_of": None, "home": dict(reversed(home.items()))}]
    names = [f"again-{i}" for i in range(3)]
    answers = [
        server.post("/value", body, headers={"x-request-id": name}).content
        for body, name in zip(asked, names, strict=True)
    ]
    assert answers[0] == answers[1] == answers[2]
    until(lambda: len([e for e in read(place / "events") if e["request_id"] in names]) == 3)
    events = {event["request_id"]: event for event in read(place / "events") if event["request_id"] in names}
    assert [events[name]["cached"] for name in names] == [False, True, True]
    assert len({event["id"] for event in events.values()}) == 1


def test_another_memory_leaves_nothing_of_what_was_kept(valuer: Valuer, tmp_path: Path):
    place = tmp_path / "swapped"
    promote(valuer, place)
    with supervised(place, environment(place), "--workers", "1") as server:
        before = told(server, HOME)
        page = server.get("/model")
        digest = refresh(valuer.refreshed(later_sales()), place)
        until(lambda: server.get("/readyz").json()["model"]["memory"] == digest)
        after = server.post("/value", {"home": HOME}).json()
        assert after["model"]["memory"] == digest
        assert after["id"] != before["id"]
        assert server.get("/model", headers={"if-none-match": page.headers["etag"]}).status_code == 200
        past = server.get(f"/valuations/{before['id']}")
        assert past.headers["cache-control"] == "private, no-cache"
        assert past.json()["replayed"] is False
        assert past.json()["valuation"] == {key: before[key] for key in ("id", "as_of", "model", "value", "ranges")}


def test_whoever_hangs_up_stops_the_batch(server: Server, place: Path):
    count = 60_000
    body = "\n".join(json.dumps({"home": HOME | {"plot": i / 100}}) for i in range(count))
    headers = {"content-type": LINES, "x-request-id": "gone"}
    with requests.post(server.url + "/value_batch", data=body, headers=headers, stream=True, timeout=60) as response:
        assert json.loads(next(response.iter_lines()))["value"] > 0
    until(lambda: server.send("/value_batch", json.dumps({"home": HOME}), LINES).status_code == 200)  # its slot is free

    def told() -> int:
        return sum(event["request_id"] == "gone" for event in read(place / "events"))

    until(lambda: told() > 0)  # the journal is written a moment after the answer
    assert 0 < told() < count


def test_a_change_needs_only_what_differs(server: Server):
    whole = {"from": {"home": HOME, "as_of": "2021-06-01"}, "to": {"home": HOME | {"rooms": 5}, "as_of": "2021-06-01"}}
    short = {"from": whole["from"], "change": {"home": {"rooms": 5}}}
    assert server.post("/compare", short).json() == server.post("/compare", whole).json()
    assert server.post("/compare", {"from": whole["from"], "change": {}}).json()["difference"] == 0
    for body, field in (
        (short | {"to": whole["to"]}, "change"),
        ({"from": whole["from"], "change": {"home": {"romms": 5}}}, "change.romms"),
        ({"from": whole["from"], "change": {"home": 5}}, "change.home"),
        ({"from": whole["from"], "change": []}, "change"),
        ({"from": whole["from"]}, "to"),
        ({"change": {"home": {"rooms": 5}}}, "from"),
    ):
        fields = [error["field"] for error in problem(server.post("/compare", body), 422)["errors"]]
        assert field in fields


def test_generated_requests_find_nothing(server: Server, tmp_path: Path):
    found = fuzz(server.url, examples=600, seed=5, out=tmp_path / "found")
    assert found == 0, (tmp_path / "found").read_text()[-3000:]
