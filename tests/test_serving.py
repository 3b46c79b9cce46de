"""The endpoint as callers meet it: a real `bentoml serve` on loopback."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from models.valuer import Valuer
from serving.routes import ROUTES
from tests.served import (
    HOME,
    MARKET,
    ROOT,
    Server,
    bundle_of,
    copied,
    environment,
    later_sales,
    memory_of,
    refresh,
    serving,
)

PROBLEM = "application/problem+json"
MOST_BYTES = ROUTES["/value"].most_bytes
SERVICE = "serving.service:Valuation"


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Server]:
    with serving(SERVICE, ROOT, environment(place), place / "log") as server:
        yield server


def problem(response: requests.Response, status: int) -> dict[str, Any]:
    """The body of a refusal, after checking that it has the one shape all refusals have."""
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM), response.text
    body: dict[str, Any] = response.json()
    assert set(body) - {"errors"} == {"type", "title", "status", "detail", "request_id"}
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    return body


def test_a_home_is_valued(server: Server):
    response = server.post("/value", {"home": HOME, "as_of": "2021-06-01"})
    assert response.status_code == 200
    answer = response.json()
    assert answer["as_of"] == "2021-06-01"
    assert answer["model"]["name"] == "valuation-harbour"
    assert server.post("/value", {"as_of": "2021-06-01", "home": HOME}).content == response.content


def test_a_batch_is_each_home_alone(server: Server):
    homes = [HOME, HOME | {"rooms": 5}, HOME]
    values = server.post("/value_batch", {"homes": homes}).json()["values"]
    alone = [server.post("/value", {"home": home}).json() for home in homes]
    assert all(answer.pop("comparables") for answer in alone)
    assert values == alone


def test_valuations_at_the_same_time_do_not_mix(server: Server):
    asked = [{"home": HOME | {"living_area": 30 + 11 * i}} for i in range(20)]
    alone = [server.post("/value", body).json() for body in asked]
    with ThreadPoolExecutor(8) as callers:
        together = list(callers.map(lambda body: server.post("/value", body).json(), asked * 20))
    assert together == alone * 20


def test_two_valuations_are_compared(server: Server):
    then, now = {"home": HOME, "as_of": "2021-06-01"}, {"home": HOME | {"rooms": 5, "property_id": "p3"}}
    response = server.post("/compare", {"from": then, "to": now})
    assert response.status_code == 200
    told = response.json()
    steps = [round(100 * step["amount"]) for step in told["steps"]]
    assert sum(steps) == round(100 * told["difference"]) != 0
    for side, asked in (("from", then), ("to", now)):
        alone = server.post("/value", asked).json()
        assert told[side] == {key: alone[key] for key in ("id", "value", "as_of")}


def test_faults_come_back_as_one_problem_with_all_fields(server: Server):
    body = problem(server.post("/value", {"home": HOME | {"rooms": 2.5, "lift": "no", "kid": "flat"}}), 422)
    assert [e["field"] for e in body["errors"]] == ["kid", "rooms", "lift"]
    assert set(body["errors"][1]) == {"field", "value", "allowed", "suggestion"}
    rows = problem(server.post("/value_batch", {"homes": [HOME | {"lift": 1}, HOME | {"rooms": 0}]}), 422)["errors"]
    assert [(e["row"], e["field"]) for e in rows] == [(0, "lift"), (1, "rooms")]
    sides = problem(server.post("/compare", {"from": {"home": HOME}, "to": {"home": HOME | {"rooms": 0}}}), 422)
    assert [e["field"] for e in sides["errors"]] == ["to.rooms"]


@pytest.mark.parametrize(("number", "shown"), [("NaN", "NaN"), ("-Infinity", "-Infinity"), ("1e999", "Infinity")])
def test_numbers_that_are_not_finite_name_their_field(server: Server, number: str, shown: str):
    text = json.dumps({"home": HOME | {"plot": "@"}}).replace('"@"', number)
    assert [(e["field"], e["value"]) for e in problem(server.send("/value", text), 422)["errors"]] == [("plot", shown)]


@pytest.mark.parametrize("body", ["", "{", '{"home": 1, "home": 2}', "[" * 100_000, '{"home": ' + "1" * 5000 + "}"])
def test_malformed_json_is_a_400(server: Server, body: str):
    problem(server.send("/value", body), 400)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("kind", ["application/vnd.bentoml+pickle", "multipart/form-data; boundary=x", "text/plain"])
def test_only_json_is_read_on_any_route(server: Server, path: str, kind: str):
    for method in ("GET", "POST"):
        response = requests.request(method, server.url + path, data=b"x", headers={"content-type": kind}, timeout=60)
        problem(response, 415)


def test_a_body_without_a_content_type_or_compressed_is_a_415(server: Server):
    problem(requests.post(server.url + "/value", data=b"{}", timeout=60), 415)
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    problem(requests.post(server.url + "/value", data=b"{}", headers=headers, timeout=60), 415)


@pytest.mark.parametrize("path", ["/nothing", "/value/", "/docs.json", "/schema.json", "/x%0afaked line", "//value"])
def test_what_does_not_exist_is_a_404(server: Server, path: str):
    problem(server.get(path), 404)
    assert "faked line" not in server.get("/metrics").text


@pytest.mark.parametrize("path", ROUTES)
def test_another_method_is_a_405_that_names_the_right_one(server: Server, path: str):
    method = ", ".join(ROUTES[path].methods)
    other = "GET" if method == "POST" else "DELETE"
    response = requests.request(other, server.url + path, timeout=60)
    problem(response, 405)
    assert response.headers["allow"] == method


def test_a_body_over_the_limit_is_a_413(server: Server):
    assert server.send("/value", b" " * MOST_BYTES).status_code == 400
    problem(server.send("/value", b" " * (MOST_BYTES + 1)), 413)


def test_a_chunked_body_is_counted_while_it_arrives(server: Server):
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
    try:
        connection.putrequest("POST", "/value")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        sent = 0
        while sent <= MOST_BYTES:
            connection.send(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            sent += 0x10000
        response = connection.getresponse()  # although the last chunk was never sent
        assert response.status == 413
        assert json.loads(response.read())["status"] == 413
    finally:
        connection.close()


def test_a_promise_of_a_huge_body_is_refused_before_it_is_sent(server: Server):
    address = urlsplit(server.url)
    with socket.create_connection((str(address.hostname), address.port), timeout=60) as caller:
        caller.sendall(
            b"POST /value HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 209715200\r\n\r\n"
        )
        assert caller.recv(65536).startswith(b"HTTP/1.1 413")


def test_a_head_that_is_too_large_is_a_431(server: Server):
    problem_of_head = requests.get(server.url + "/livez", headers={"x-padding": "a" * 70_000}, timeout=60)
    assert (problem_of_head.status_code, problem_of_head.headers["content-type"]) == (431, PROBLEM)


def test_a_poisoned_host_header_changes_no_decision(server: Server):
    for host in ("evil.example/livez?", "a b", "[::1"):
        response = requests.get(server.url + "/nothing", headers={"host": host}, timeout=60)
        problem(response, 404)


def test_a_sane_request_id_is_echoed_and_any_other_replaced(server: Server):
    assert server.get("/livez", headers={"x-request-id": "caller-7.a_B"}).headers["x-request-id"] == "caller-7.a_B"
    for bad in ("", "a b", "x" * 65, "é"):
        given = server.post("/value", {}, headers={"x-request-id": bad.encode()}).headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]{32}", given)


def test_a_refusal_is_one_line_in_the_log_whatever_the_caller_sent(server: Server):
    response = server.post("/value", {"home": HOME | {"kind": "a\n[ERROR] faked\r\x1b[31m"}})
    lines = [line for line in server.log.read_text().splitlines() if response.headers["x-request-id"] in line]
    assert len(lines) == 1
    told = json.loads(lines[0][lines[0].index("{") : lines[0].rindex("}") + 1])
    assert (told["status"], told["fields"][0][0]) == (422, "kind")
    assert not re.search(r"^\[ERROR\] faked", server.log.read_text(), re.MULTILINE)


def test_the_card_tells_what_serves_and_what_it_takes(server: Server):
    card = server.get("/model").json()
    assert (card["name"], card["version"], card["figures"]) == ("valuation-harbour", "7", {"mdape": 0.06})
    assert [f["name"] for f in card["fields"]] == list(MARKET.field_names)
    assert card["fields"][0] == {
        "name": "living_area",
        "label": "Living area",
        "type": "number",
        "unit": "m2",
        "allowed": MARKET["living_area"].allowed,
        "required": True,
        "direction": "up",
    }
    assert (card["property_id"]["allowed"], card["property_id"]["required"]) == ("any text", False)
    answer = server.post("/value", card["example"])
    assert answer.status_code == 200
    cited = answer.json()["model"]
    assert cited == {key: card[key] for key in cited}
    assert answer.json()["as_of"] == card["as_of"]["default"]


def test_the_interface_is_described_from_the_declaration(server: Server):
    document = server.get("/openapi.json").json()
    home = document["components"]["schemas"]["Home"]
    assert home["required"] == [f.name for f in MARKET.fields if not f.missing]
    assert home["properties"]["rooms"] | {"title": "", "description": ""} == {
        "type": "integer",
        "title": "",
        "description": "",
        "minimum": 1,
        "maximum": 20,
    }
    assert home["properties"]["energy"]["type"] == ["number", "null"]
    assert home["properties"]["kind"]["enum"] == ["flat", "house", "1"]
    assert home["properties"]["property_id"]["type"] == ["string", "null"]
    for path in ("/value", "/value_batch", "/compare"):
        example = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert server.post(path, example).status_code == 200


def test_the_pages_load_nothing_from_elsewhere(server: Server):
    page = server.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "The &lt;Harbour&gt; market" in page.text
    addresses = re.findall(r"https?://[^/\s'\"]+", page.text + server.get("/openapi.json").text)
    assert set(addresses) == {server.url}


def test_health_and_metrics(server: Server):
    assert [server.get(path).status_code for path in ("/livez", "/readyz", "/healthz")] == [200, 200, 200]
    server.post("/value", {"home": HOME})
    server.post("/compare", {"from": {"home": HOME}, "to": {"home": HOME}})
    server.get("/nothing")
    metrics = server.get("/metrics").text
    assert 'assay_requests_total{route="/value",status="200"}' in metrics
    assert 'assay_requests_total{route="/compare",status="200"}' in metrics
    assert "/nothing" not in metrics


def test_without_a_champion_it_starts_and_says_what_is_missing(tmp_path: Path):
    with serving(SERVICE, ROOT, environment(tmp_path), tmp_path / "log", wait_for="/livez") as server:
        assert server.get("/livez").status_code == 200
        assert "champion.json" in server.missing()
        problem(server.get("/readyz"), 503)
        for response in (server.get("/model"), server.get("/openapi.json"), server.post("/value", {"home": HOME})):
            detail = problem(response, 503)["detail"]
            assert "champion.json" in detail
            assert "make repro" in detail
        assert "make repro" in server.get("/").text


def test_with_a_damaged_bundle_it_is_not_ready(place: Path, tmp_path: Path):
    env = copied(place, tmp_path / "copy")
    forest = bundle_of(tmp_path / "copy") / "forest_00.txt"
    forest.write_text(forest.read_text().replace("leaf_value=", "leaf_value=1", 1))
    with serving(SERVICE, ROOT, env, tmp_path / "log", wait_for="/livez") as server:
        assert "forest_00.txt" in server.missing()
        problem(server.get("/readyz"), 503)
        assert "forest_00.txt" in problem(server.post("/value", {"home": HOME}), 503)["detail"]
    assert server.process.returncode == 0


def test_a_refreshed_memory_answers_for_new_days_and_tells_old_ones_again(
    server: Server, place: Path, valuer: Valuer, tmp_path: Path
):
    env = copied(place, tmp_path / "copy")
    digest = refresh(valuer.refreshed(later_sales()), tmp_path / "copy")
    with serving(SERVICE, ROOT, env, tmp_path / "log") as newer:
        now = newer.post("/value", {"home": HOME}).json()
        assert now["model"]["memory"] == digest
        assert now["model"]["digest"] == server.get("/model").json()["digest"]
        assert now["as_of"] == "2022-04-01"
        earlier = {"home": HOME, "as_of": "2021-06-01"}
        before, after = (served.post("/value", earlier).json() for served in (server, newer))
        assert before["id"] != after["id"]
        assert before | {"id": "", "model": {}} == after | {"id": "", "model": {}}


def test_with_a_damaged_memory_it_is_not_ready(place: Path, valuer: Valuer, tmp_path: Path):
    env = copied(place, tmp_path / "copy")
    digest = refresh(valuer.refreshed(later_sales()), tmp_path / "copy")
    sales = memory_of(tmp_path / "copy", digest) / "sales.parquet"
    sales.write_bytes(sales.read_bytes()[:-1])
    with serving(SERVICE, ROOT, env, tmp_path / "log", wait_for="/livez") as server:
        assert "sales.parquet" in server.missing()
        problem(server.get("/readyz"), 503)
        assert "sales.parquet" in problem(server.post("/value", {"home": HOME}), 503)["detail"]


def test_without_a_compiler_it_answers_the_same_and_says_what_is_degraded(server: Server, place: Path, tmp_path: Path):
    env = copied(place, tmp_path / "copy") | {"CC": "false"}
    with serving(SERVICE, ROOT, env, tmp_path / "log") as slower:
        assert slower.get("/readyz").json()["degraded"] == ["kernel"]
        assert server.get("/readyz").json()["degraded"] == []
        told, quick = (s.post("/value", {"home": HOME}).json() for s in (slower, server))
    lines = [{line["name"]: line["amount"] for r in t.pop("reasons") for line in r["lines"]} for t in (told, quick)]
    beside = [[sale.pop("adjustments") and sale for sale in t.pop("comparables")] for t in (told, quick)]
    assert beside[0] == beside[1]
    assert told.pop("base")["amount"] == pytest.approx(quick.pop("base")["amount"], rel=0, abs=0.0101)
    assert told == quick  # value, ranges, id and all else, to the bit; what they are made of to a cent
    for amounts in lines:
        amounts.pop("rounding")
    assert lines[0] == pytest.approx(lines[1], rel=0, abs=0.0101)
