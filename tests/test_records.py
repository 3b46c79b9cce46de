"""What a real server keeps of what it was asked: events that can be told again, metrics, log lines and spans."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from serving.past import find, page, read
from tests.served import HOME, ROOT, Server, copied, environment, serving, supervised, until

SERVICE = "serving.service:Valuation"
ASKED = {"home": HOME | {"property_id": "pé7"}, "as_of": "2021-06-01"}


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Server]:
    with serving(SERVICE, ROOT, environment(place), place / "log") as server:
        yield server


def events(place: Path, *request_ids: str) -> list[dict[str, Any]]:
    """The events of these requests, once they are all on disk."""
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        told = [event for event in read(place / "events") if event["request_id"] in request_ids]
        if {event["request_id"] for event in told} == set(request_ids):
            return told
        time.sleep(0.05)
    raise AssertionError(f"no events of {request_ids}")


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith('{"time"')]


def sample(server: Server, name: str) -> float:
    lines = server.get("/metrics").text.splitlines()
    return float(next((line.rsplit(" ", 1)[1] for line in lines if line.rsplit(" ", 1)[0] == name), 0))


def asked(server: Server, request_id: str, path: str, body: Any) -> dict[str, Any]:
    response = server.post(path, body, headers={"x-request-id": request_id})
    assert response.status_code == 200
    told: dict[str, Any] = response.json()
    return told


def test_an_event_says_all_that_was_told_and_of_whom(server: Server, place: Path):
    answer = asked(server, "one", "/value", ASKED)
    (event,) = events(place, "one")
    assert {name: event[name] for name in ("id", "value", "as_of", "ranges", "model")} == {
        name: answer[name] for name in ("id", "value", "as_of", "ranges", "model")
    }
    assert event["home"] == ASKED["home"]
    assert (event["route"], event["part"], event["cached"], event["key_id"]) == ("/value", None, False, None)
    assert event["time"].endswith("+00:00")
    assert 0 < event["seconds"] < 60


def test_an_event_valued_again_gives_the_same_value_and_id(server: Server, place: Path):
    asked(server, "again", "/value", {"home": HOME | {"energy": None}})
    asked(server, "batch", "/value_batch", {"homes": [HOME | {"rooms": rooms} for rooms in (1, 2, 3)]})
    asked(server, "sides", "/compare", {"from": {"home": HOME, "as_of": "2020-06-01"}, "to": {"home": HOME}})
    told = events(place, "again", "batch", "sides")
    assert [event["part"] for event in told] == [None, 0, 1, 2, "from", "to"]
    for event in told:
        answer = server.post("/value", {"home": event["home"], "as_of": event["as_of"]}).json()
        assert (answer["id"], answer["value"]) == (event["id"], event["value"])
        found = find(place / "events", event["id"])
        assert found is not None
        assert found["home"] == event["home"]
    newest = page(place / "events", limit=1).events[0]
    assert newest["time"] >= told[-1]["time"]


def test_an_answer_told_before_leaves_a_light_event_that_leads_to_the_whole_one(server: Server, place: Path):
    question = {"home": HOME | {"plot": 77.7}}
    first, second = asked(server, "first", "/value", question), asked(server, "second", "/value", question)
    assert first == second
    whole, light = events(place, "first", "second")
    assert (whole["cached"], light["cached"], "home" in light) == (False, True, False)
    assert {name: light[name] for name in ("id", "value", "as_of")} == {
        name: whole[name] for name in ("id", "value", "as_of")
    }
    assert find(place / "events", light["id"]) == whole
    assert len(whole["features"]) > len(HOME)


def test_what_was_refused_leaves_no_event_but_a_line_and_a_count(server: Server, place: Path):
    refused = server.post("/value", {"home": HOME | {"kind": "a\u202e\r\n{}"}}, headers={"x-request-id": "bad"})
    assert refused.status_code == 422
    assert server.post("/value/\u202e", {}).status_code == 404
    asked(server, "after", "/value", ASKED)
    assert len(events(place, "after")) == 1
    assert not [event for event in read(place / "events") if event["request_id"] == "bad"]
    (line,) = [line for line in lines(server.log) if line.get("request_id") == "bad"]
    assert (line["event"], line["level"], line["problem"]) == ("request-refused", "info", "invalid-request")
    assert line["fields"] == [["kind", "a\u202e\r\n{}"]]
    assert server.log.read_text().isascii()
    metrics = server.get("/metrics").text
    assert 'assay_refusals_total{problem="invalid-request"}' in metrics
    assert 'assay_requests_total{route="other",status="404"}' in metrics
    assert 'assay_accuracy{figure="mdape",source="holdout"} 0.06' in metrics
    assert 'assay_stage_seconds_count{stage="appraise"}' in metrics
    assert "assay_events_lost_total 0.0" in metrics


def test_readiness_names_the_model_and_what_is_degraded(server: Server):
    told = server.get("/readyz").json()
    assert (told["ready"], told["degraded"]) == (True, [])
    assert told["model"] == server.post("/value", ASKED).json()["model"]
    assert server.get("/livez").json() == server.get("/healthz").json() == {"alive": True}


def test_the_last_answer_before_the_end_is_in_the_journal(place: Path, tmp_path: Path):
    env = copied(place, tmp_path / "copy")
    with serving(SERVICE, ROOT, env, tmp_path / "log") as server:
        for number in range(50):
            asked(server, f"last-{number}", "/value", ASKED)
    assert server.process.returncode == 0
    kept = {event["request_id"] for event in read(tmp_path / "copy" / "events")}
    assert {f"last-{number}" for number in range(50)} <= kept


def test_two_workers_tell_one_sum_and_one_that_is_killed_leaves_its_events(place: Path, tmp_path: Path):
    env = copied(place, tmp_path / "copy")
    count = 'assay_requests_total{route="/value",status="200"}'
    with supervised(tmp_path / "copy", env, "--workers", "2") as server:
        until(lambda: sample(server, "assay_workers_ready") == 2)
        for number in range(40):
            asked(server, f"shared-{number}", "/value", ASKED)
        kept = events(tmp_path / "copy", *(f"shared-{number}" for number in range(40)))
        assert len(kept) == 40
        files = list((tmp_path / "copy" / "events").iterdir())
        assert {sample(server, count) for _ in range(10)} == {40}
        os.kill(int(files[0].stem.rsplit("-", 1)[1]), signal.SIGKILL)
        until(lambda: sample(server, "assay_worker_starts_total") == 3)
        until(lambda: sample(server, "assay_workers_ready") == 2)
        assert {sample(server, count) for _ in range(10)} == {40}
        assert sample(server, "assay_workers") == 2
        asked(server, "after", "/value", ASKED)
    told = [event["request_id"] for event in read(tmp_path / "copy" / "events")]
    assert sorted(told) == sorted(["after", *(event["request_id"] for event in kept)])


def test_answers_go_on_when_no_event_can_be_written(server: Server, place: Path, tmp_path: Path):
    env = copied(place, tmp_path / "copy") | {"ASSAY_EVENTS": str(tmp_path / "file" / "events")}
    (tmp_path / "file").write_text("where a folder should be")
    with serving(SERVICE, ROOT, env, tmp_path / "log") as troubled:
        expected = asked(server, "well", "/value", ASKED)
        give_up = time.monotonic() + 30
        while troubled.get("/readyz").json()["degraded"] != ["events"] and time.monotonic() < give_up:
            assert asked(troubled, "ill", "/value", ASKED) == expected
        assert troubled.get("/readyz").json()["degraded"] == ["events"]
        assert 'assay_breaker_open{breaker="events"} 1.0' in troubled.get("/metrics").text
    assert troubled.process.returncode == 0
    assert {"breaker-open", "events-lost"} <= {line["event"] for line in lines(tmp_path / "log")}


@contextmanager
def collector() -> Iterator[tuple[str, list[Span]]]:
    """Where spans may be sent, and those that were."""
    sent: list[Span] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                sent.extend(span for scope in resource.scope_spans for span in scope.spans)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}", sent
        finally:
            listening.shutdown()
            thread.join()


def test_a_request_is_a_span_within_its_callers(server: Server, place: Path, tmp_path: Path):
    caller = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    with collector() as (endpoint, sent):
        env = copied(place, tmp_path / "copy") | {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
        with serving(SERVICE, ROOT, env, tmp_path / "log") as traced:
            answer = traced.post("/value", ASKED, headers=caller | {"x-request-id": "traced"})
            assert answer.json() == asked(server, "untraced", "/value", ASKED)
    (request,) = [span for span in sent if span.trace_id.hex() == "a" * 32 and span.parent_span_id.hex() == "b" * 16]
    told = {one.key: one.value.string_value or one.value.int_value for one in request.attributes}
    assert told == {
        "http.request.method": "POST",
        "http.route": "/value",
        "http.response.status_code": 200,
        "assay.request_id": "traced",
        "assay.id": answer.json()["id"],
        "assay.model": answer.json()["model"]["digest"],
    }
    stages = sorted((s for s in sent if s.parent_span_id == request.span_id), key=lambda s: s.start_time_unix_nano)
    assert [stage.name for stage in stages] == ["read", "parse", "appraise", "encode"]
    assert request.start_time_unix_nano <= stages[0].start_time_unix_nano
    assert stages[-1].end_time_unix_nano <= request.end_time_unix_nano


def test_a_collector_that_never_answers_changes_nothing(server: Server, place: Path, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as hole:
        endpoint = f"http://127.0.0.1:{hole.getsockname()[1]}"
        env = copied(place, tmp_path / "copy") | {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
        with serving(SERVICE, ROOT, env, tmp_path / "log") as traced:
            expected = asked(server, "untraced", "/value", ASKED)
            give_up = time.monotonic() + 60
            while "assay_spans_lost_total 0.0" in traced.get("/metrics").text and time.monotonic() < give_up:
                assert asked(traced, "traced", "/value", ASKED) == expected
            stopping = time.monotonic()
        assert time.monotonic() < stopping + 10
    assert traced.process.returncode == 0
    assert "traces-lost" in {line["event"] for line in lines(tmp_path / "log")}
