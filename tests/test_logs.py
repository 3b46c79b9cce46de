"""Log lines, and that each kind of them has its paragraph in the runbook."""

from __future__ import annotations

import ast
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from serving import metrics
from serving.events import EVENTS
from serving.logs import Lines, Seldom, tell
from tests.served import ROOT

RUNBOOK = (ROOT / "docs/runbook.md").read_text("utf-8")


def told_in(path: Path) -> set[str]:
    """Names of events that the file's code tells."""
    calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    first = [c.args[0] for c in calls if isinstance(c.func, ast.Name) and c.func.id == "tell" and c.args]
    return {str(name.value) for name in first if isinstance(name, ast.Constant)}


def test_code_tells_no_event_but_those_of_the_list_and_all_of_them():
    told = set().union(*map(told_in, (ROOT / "serving").glob("*.py")))
    assert told | {"library"} == set(EVENTS)


def test_each_event_has_its_paragraph_and_each_paragraph_its_event():
    events = RUNBOOK[RUNBOOK.index("## Events") : RUNBOOK.index("## Troubles")]
    assert re.findall("^### (.+)$", events, re.MULTILINE) == list(EVENTS)
    assert all(len(paragraph) > 20 for paragraph in re.split("^### .+$", events, flags=re.MULTILINE)[1:])


def test_the_runbook_names_the_metrics_that_there_are():
    there = {metric.name for metric in metrics.registry.collect()} | {"assay_worker_memory"}
    there |= {f"{name}_{part}" for name in there for part in ("total", "bytes", "bucket")}
    named = set(re.findall(r"\bassay_[a-z_]+", RUNBOOK)) - {"assay_"}
    assert named <= there
    assert {metric.name for metric in metrics.registry.collect()} <= {name.removesuffix("_total") for name in named} | {
        "assay_events_lost"
    }


def test_a_line_is_one_line_of_ascii_whatever_stands_in_it(caplog: pytest.LogCaptureFixture):
    hostile = 'a\r\n{"level": "error"}\x1b[31m\u2028\u202e\x00'
    with caplog.at_level(logging.INFO, "bentoml.assay"):
        tell("request-refused", request_id="r", detail=hostile, odd=Path("p"))
    (line,) = caplog.messages
    assert line.isascii()
    assert line.isprintable()
    told = json.loads(line)
    assert (told["event"], told["level"], told["detail"], told["odd"]) == ("request-refused", "info", hostile, "p")


def test_a_failure_brings_its_trace_within_the_line(caplog: pytest.LogCaptureFixture):
    try:
        raise RuntimeError("why")
    except RuntimeError:
        tell("request-failed", logging.ERROR, trace=True)
    (line,) = caplog.messages
    assert "\n" not in line
    assert "RuntimeError: why" in json.loads(line)["trace"]


def test_a_librarys_line_takes_our_form():
    record = logging.LogRecord("uvicorn.error", logging.WARNING, "", 0, "odd\n%s", ("line",), None)
    told = json.loads(Lines().format(record))
    assert told | {"time": ""} == {
        "time": "",
        "level": "warning",
        "event": "library",
        "pid": os.getpid(),
        "logger": "uvicorn.error",
        "message": "odd\nline",
    }


def test_lines_go_to_standard_error_once_whoever_else_has_set_a_log_up():
    script = """
import logging
logging.getLogger("bentoml").addHandler(logging.StreamHandler())
from serving import logs
logs.start(); logs.start()
logs.tell("worker-started")
logging.getLogger("uvicorn.error").warning("odd")
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["worker-started", "library"]


def test_a_lasting_trouble_is_told_seldom_and_counted():
    seldom = Seldom(0.2)
    assert [seldom.now() for _ in range(5)] == [True, False, False, False, False]
    always = Seldom(0)
    assert [always.now(), always.now(), always.skipped] == [True, True, 0]
