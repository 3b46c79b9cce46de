"""Bad input, scenario by scenario, against a real server; the numbers are those of the list of faults we go by."""

from __future__ import annotations

import gzip
import http.client
import json
import random
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.served import HOME, Server, environment, promote, supervised, train

PROBLEM = "application/problem+json"
LINES = "application/x-ndjson"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = tmp_path_factory.mktemp("promoted")
    promote(train(), place)
    with supervised(place, environment(place), "--workers", "1") as server:
        yield server


def refused(response: requests.Response, status: int) -> dict[str, Any]:
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM), response.text[:500]
    problem: dict[str, Any] = response.json()
    assert problem["request_id"] == response.headers["x-request-id"]
    return problem


def faults(server: Server, status: int = 422, as_of: Any = None, **facts: Any) -> dict[str, dict[str, Any]]:
    """The faults of a home with these facts, by their field; the same alone, in a batch and in lines."""
    asked = {"home": HOME | facts} | ({} if as_of is None else {"as_of": as_of})
    alone = refused(server.post("/value", asked), status)["errors"]
    line = server.send("/value_batch", json.dumps(asked), LINES).json()
    assert line["error"]["errors"] == alone
    return {error["field"]: error for error in alone}


def valued(server: Server, as_of: Any = None, **facts: Any) -> dict[str, Any]:
    response = server.post("/value", {"home": HOME | facts} | ({} if as_of is None else {"as_of": as_of}))
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert answer["value"] > 0
    return answer


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_1_a_number_that_is_not_finite_names_its_field(server: Server, number: str):
    body = json.dumps({"home": HOME | {"plot": "@"}}).replace('"@"', number)
    assert [error["field"] for error in refused(server.send("/value", body), 422)["errors"]] == ["plot"]
    row = server.send("/value_batch", body, LINES).json()
    assert [error["field"] for error in row["error"]["errors"]] == ["plot"]


@pytest.mark.parametrize("area", [-80, 0, 1e9, 10**30])
def test_2_the_impossible_is_refused(server: Server, area: float):
    assert "10 to 1000" in faults(server, living_area=area)["living_area"]["allowed"]


def test_2_the_unusual_is_answered_with_a_warning_and_a_wider_range(server: Server):
    usual, unusual = valued(server), valued(server, living_area=999, rooms=20)
    assert usual["warnings"] == []
    assert any("Living area 999 is outside the sales the model has seen" in told for told in unusual["warnings"])
    lonely = valued(server, lat=50.1, lon=3.1)
    assert (usual["in_support"], lonely["in_support"]) == (True, False)
    assert width(lonely) > width(usual)


def width(answer: dict[str, Any]) -> float:
    return float((answer["range"]["high"] - answer["range"]["low"]) / answer["value"])


def test_3_an_unknown_field_is_refused_with_the_one_that_was_meant(server: Server):
    assert faults(server, livingarea=80)["livingarea"]["suggestion"] == "leave it out"
    home = {name: value for name, value in HOME.items() if name != "living_area"} | {"livng_area": 80}
    problem = refused(server.post("/value", {"home": home}), 422)
    assert problem["errors"][0]["suggestion"] == "did you mean 'living_area'?"
    asked = server.post("/value?fieds=value", {"home": HOME})
    assert refused(asked, 422)["errors"][0]["suggestion"] == "did you mean 'fields'?"


def test_4_a_key_given_twice_is_a_400(server: Server):
    for body in ('{"home": {}, "home": {}}', '{"home": {"rooms": 1, "\\u0072ooms": 2}}'):
        refused(server.send("/value", body), 400)
        assert server.send("/value_batch", body, LINES).json()["error"]["status"] == 400


@pytest.mark.parametrize("rooms", [True, "3", [3], {"is": 3}, 3.5])
def test_5_nothing_is_coerced(server: Server, rooms: Any):
    assert list(faults(server, rooms=rooms)) == ["rooms"]
    assert valued(server, rooms=3.0)["id"] == valued(server, rooms=3)["id"]


def test_6_a_missing_fact_is_named(server: Server):
    told = valued(server, energy=None)
    assert told["warnings"] == ["Energy is missing; the value does without it"]
    left_out = {name: value for name, value in HOME.items() if name != "energy"}
    assert server.post("/value", {"home": left_out}).json() == told


def test_7_a_category_never_seen_is_named_and_one_not_declared_refused(server: Server):
    (warning,) = valued(server, quarter="never heard of")["warnings"]
    assert warning == "Quarter 'never heard of' is not among the sales the model has seen; the value does without it"
    assert faults(server, kind="hous")["kind"]["suggestion"] == "did you mean 'house'?"


def test_8_a_place_elsewhere_is_refused_with_the_area_that_is_served(server: Server):
    assert {error["suggestion"] for error in faults(server, lat=4.4, lon=51.2).values()} == {"lat and lon look swapped"}
    nowhere = faults(server, lat=0, lon=0)
    assert ("50 to 52" in nowhere["lat"]["allowed"], "3 to 5" in nowhere["lon"]["allowed"]) == (True, True)


def test_9_a_contradiction_names_its_rule(server: Server):
    assert faults(server, rooms=5, living_area=20)["rooms"]["rule"] == "rooms_fit"


@pytest.mark.parametrize(
    "day",
    ["2035-01-01", "1999-12-31", "2021-02-29", "2021-06-01T00:00:00Z", "2016-12-31T23:59:60Z", "２０２1-06-01", 1],
)
def test_10_a_day_that_is_none_or_out_of_reach_is_refused(server: Server, day: Any):
    assert "written YYYY-MM-DD" in faults(server, as_of=day)["as_of"]["allowed"]


def test_10_a_leap_day_is_a_day(server: Server):
    assert valued(server, as_of="2020-02-29")["as_of"] == "2020-02-29"


@pytest.mark.parametrize("text", ["a\u0000b", "a\u202eb", "a\nb", "", " ", "x" * 5000, "\ud800"])
def test_11_a_text_that_could_deceive_is_refused_and_reaches_no_log_line(server: Server, text: str):
    assert list(faults(server, quarter=text)) == ["quarter"]
    assert list(faults(server, rooms="\uff13")) == ["rooms"]
    log = server.log.read_text()
    assert not [mark for mark in ("\u0000", "\u202e", "a\nb", "x" * 200) if mark in log]


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b"\xff\xfe", b'{"home":', b"\x00"])
def test_12_a_body_that_is_not_json_is_a_400(server: Server, body: bytes):
    refused(server.send("/value", body), 400)
    refused(server.send("/compare", body), 400)
    refused(server.send("/value_batch", body), 400)


def test_12_another_type_or_method_is_told_so(server: Server):
    refused(server.send("/value", b"{}", "text/plain"), 415)
    refused(server.send("/value", b"{}", LINES), 415)
    assert refused(server.get("/value"), 405)["detail"] == "/value takes POST"


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"home":' * 50_000, b'{"home": {"plot": ' + b"1" * 5000 + b"}}"])
def test_13_a_body_made_to_exhaust_the_parser_is_a_400(server: Server, body: bytes):
    refused(server.send("/value", body), 400)
    refused(server.send("/value_batch", body), 400)
    assert server.send("/value_batch", body, LINES).json()["error"]["status"] == 400


def test_14_what_is_too_large_is_refused_before_it_has_come(server: Server):
    address = urlsplit(server.url)
    for path, kind in (("/value", "application/json"), ("/value_batch", LINES)):
        with socket.create_connection((str(address.hostname), address.port), timeout=60) as caller:
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: 209715200\r\n\r\n"
            caller.sendall(head.encode())
            assert caller.recv(65536).startswith(b"HTTP/1.1 413")
    problem = refused(server.send("/value_batch", b" " * (5 << 20)), 413)
    assert "lines or Arrow" in problem["detail"]


@pytest.mark.parametrize("coding", ["gzip", "zstd", "br", "deflate"])
def test_15_a_compressed_body_is_not_read(server: Server, coding: str):
    headers = {"content-type": "application/json", "content-encoding": coding}
    body = gzip.compress(b" " * (10 << 20))
    response = requests.post(server.url + "/value", data=body, headers=headers, timeout=60)
    assert "send the body as it is" in refused(response, 415)["detail"]


def test_16_a_batch_of_none_of_too_many_and_with_one_bad_home(server: Server):
    refused(server.post("/value_batch", {"homes": []}), 422)
    refused(server.send("/value_batch", b"", LINES), 422)
    homes = [HOME | {"living_area": 30 + i % 300} for i in range(1000)]
    homes[500] = homes[500] | {"rooms": "3"}
    response = server.post("/value_batch?fields=value", {"homes": homes})
    told = response.json()
    assert (response.status_code, told["refused"]) == (200, 1)
    assert told["values"][500]["row"] == 500
    assert sum(answer.get("value", 0) > 0 for answer in told["values"]) == 999
    assert "at most 1000 are" in refused(server.post("/value_batch", {"homes": [HOME] * 1001}), 413)["detail"]
    many = refused(server.send("/value_batch", "{}\n" * 200_000, LINES), 413)["detail"]
    assert "200000 homes in one request; at most 100000" in many


def test_17_the_same_home_has_the_same_answer_twice_alone_and_in_any_order(server: Server):
    homes = [HOME | {"living_area": 30 + 7.25 * i} for i in range(20)] * 2
    random.Random(4).shuffle(homes)
    together = server.post("/value_batch", {"homes": homes}).json()["values"]
    for home, told in zip(homes, together, strict=True):
        alone = server.post("/value", {"home": home}).json()
        alone.pop("comparables")
        assert told == alone


def test_18_hostile_headers_change_no_decision(server: Server):
    for name, value in (("Host", "evil.example/livez?"), ("X-Forwarded-For", "10.0.0.1"), ("X-Forwarded-Proto", "x")):
        assert requests.get(server.url + "/nothing", headers={name: value}, timeout=60).status_code == 404
    address = urlsplit(server.url)
    head = b"POST /value HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    with socket.create_connection((str(address.hostname), address.port), timeout=60) as caller:
        caller.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
        assert caller.recv(65536).startswith(b"HTTP/1.1 400")
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
    try:
        connection.request("GET", "/livez", headers={"X-Long": "x" * 100_000})
        assert connection.getresponse().status in (400, 431)
    finally:
        connection.close()


@pytest.mark.parametrize("text", ["=cmd()", "<script>alert(1)</script>", "@SUM(1)", "+1"])
def test_19_a_text_that_is_code_elsewhere_is_only_ever_json(server: Server, text: str):
    for response in (
        server.post("/value", {"home": HOME | {"quarter": text, "property_id": text}}),
        server.post("/value", {"home": HOME | {"kind": text}}),
    ):
        assert response.headers["content-type"] in ("application/json", PROBLEM)
        assert response.json()
    assert text not in server.get("/").text
