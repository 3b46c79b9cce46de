"""The bench measures what it says: its load generator against real servers, its judgement, its page."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import lightgbm as lgb
import numpy as np
import pytest

from tests.bench import load
from tests.bench.__main__ import between
from tests.bench.drills.attacks import is_problem
from tests.bench.drills.damage import WAYS, damaged
from tests.bench.load import HOST, Cell, post
from tests.bench.measuring import Figures, Reading
from tests.bench.peers.forest import REACH, SPREAD, Forest, merged
from tests.bench.processes import Memory, Running, family, memory, started
from tests.bench.report import as_json, as_markdown
from tests.bench.servers import CASES, SERVERS
from tests.bench.targets import TARGETS, Target, rates
from tests.served import HOME, ROOT, train

#: Says what it is asked as it is asked to: how long, in what pieces, with what status.
SERVER = """
import asyncio, json, sys

async def one(reader, writer):
    try:
        while head := await reader.readuntil(b"\\r\\n\\r\\n"):
            length = int(head.lower().split(b"content-length:")[1].split(b"\\r\\n")[0])
            asked = json.loads(await reader.readexactly(length))
            if asked["how"] == "hang up":
                break
            body = b"x" * asked.get("bytes", 3)
            status = asked.get("status", 200)
            if asked["how"] == "chunks":
                writer.write(b"HTTP/1.1 200 OK\\r\\ntransfer-encoding: chunked\\r\\n\\r\\n")
                for byte in body:
                    writer.write(b"1\\r\\n%c\\r\\n" % byte)
                    await writer.drain()
                writer.write(b"0\\r\\n\\r\\n")
            else:
                writer.write(b"HTTP/1.1 %d OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % (status, len(body)) + body)
    except (OSError, asyncio.IncompleteReadError):
        pass
    writer.close()

async def main():
    await (await asyncio.start_server(one, "127.0.0.1", int(sys.argv[1]))).serve_forever()

asyncio.run(main())
"""


def asks(how: str, **more: int) -> bytes:
    told = ", ".join(f'"{name}": {value}' for name, value in more.items())
    return post("/", f'{{"how": "{how}"{", " * bool(told)}{told}}}'.encode())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("bench") / "log"
    with started([sys.executable, "-c", SERVER, "{port}"], asks("whole"), log) as running:
        yield running


def asked(server: Running, *requests: bytes, connections: int = 1) -> load.Load:
    return load.run(Cell(server.port, requests, connections, seconds=30, again=False, keep=True))


def test_every_request_is_sent_once_and_its_answer_kept(server: Running):
    requests = [asks("whole", bytes=n) for n in (1, 70_000, 0, 5)]
    told = asked(server, *requests, connections=2)
    assert sorted((told_of, len(body)) for told_of, _, body in told.answers) == sorted(
        zip(requests, (1, 70_000, 0, 5), strict=True)
    )
    assert (told.asked, told.failed, len(told.latency)) == (4, 0, 4)


def test_an_answer_in_chunks_is_one_answer(server: Running):
    assert asked(server, *[asks("chunks", bytes=20)] * 5).statuses == {200: 5}


def test_refusals_and_broken_connections_are_failures(server: Running):
    told = asked(server, asks("whole"), asks("whole", status=503), asks("hang up"), asks("whole"))
    assert told.statuses == {200: 2, 503: 1, 0: 1}
    assert (told.failed, told.failures) == (2, "2 (1 × cut off, 1 × 503)")
    assert [answer.startswith(b"HTTP/1.1 503") for _, answer in told.refusals] == [True]


def test_a_cell_ends_with_its_time(server: Running):
    told = load.run(Cell(server.port, [asks("whole")], connections=3, seconds=0.2))
    assert told.asked == told.statuses[200] > 3


def test_the_memory_of_a_server_is_told(server: Running):
    assert server.process.pid in family(server.process.pid)
    told = memory(server.process.pid)
    assert 0 < told.uss <= told.pss <= told.rss


def test_a_server_that_does_not_come_up_is_told_with_its_log(tmp_path: Path):
    with (
        pytest.raises(RuntimeError, match="no such luck"),
        started([sys.executable, "-c", "raise SystemExit('no such luck')"], asks("whole"), tmp_path / "log"),
    ):
        pass


def test_the_peers_forest_is_the_mean_of_the_champions():
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(200, 3))
    forests = [
        lgb.train(
            {"num_leaves": 5, "seed": seed, "bagging_fraction": 0.5, "bagging_freq": 1, "verbosity": -1},
            lgb.Dataset(matrix, matrix[:, 0] + rng.normal(size=200)),
            4,
        )
        for seed in range(3)
    ]
    one = lgb.Booster(model_str=merged([forest.model_to_string() for forest in forests]))
    assert one.num_trees() == 12
    np.testing.assert_allclose(one.predict(matrix), np.mean([f.predict(matrix) for f in forests], axis=0), rtol=1e-12)


def test_the_peers_give_the_number_that_the_bag_gives(tmp_path: Path):
    valuer = train()
    bag, row = valuer.bag, valuer.view(valuer.columns([HOME]), valuer.current_day).matrix
    for number, forest in enumerate(bag.forests):
        forest.save_model(tmp_path / f"forest_{number:02}.txt")
    bag.forests[0].save_model(tmp_path / SPREAD)
    np.savetxt(tmp_path / REACH, bag.reach, fmt="%.17g")
    assert math.log(Forest(tmp_path).value(row[0].tolist())) == pytest.approx(bag.predict(row)[0], abs=1e-12)


def figures(rate: float = 100.0) -> Figures:
    """As a run would give them, every server alike but for ours."""

    def reading(case: str) -> Reading:
        return Reading(rate if case in ("full", "brief") else 50.0, 0.01, 0.02, 0.025, 0.1, 0)

    told = Figures(readings={case.key: {n: [reading(case.key)] * 2 for n in (1, 16, 64)} for case in CASES})
    told.starts = {server: [2.0, 1.0] for server in SERVERS}
    told.memory = {server: [Memory(3 << 20, 2 << 20, 1 << 20)] for server in SERVERS}
    told.inside = {
        "predict": {"booster": [0.002], "bag": [0.001]},
        "reasons": {"booster": [0.05], "bag": [0.004]},
        "batch": {"homes": 10, "booster": 5.0, "ours": 4.0},
    }
    return told


@pytest.mark.parametrize(
    ("bound", "more", "kept"), [(2, True, True), (2.1, True, False), (2, False, True), (1.9, False, False)]
)
def test_a_target_is_judged_by_its_bound(bound: float, more: bool, kept: bool):
    judged = Target("k", "says", rates("full", "mlflow", 16), bound, more).judge(figures())
    assert (judged.ratio, judged.passed) == (2.0, kept)


def test_the_page_says_which_promises_are_kept():
    told = figures()
    judged = [target.judge(told) for target in TARGETS]
    page = as_markdown(told, judged, "a run")
    assert "| batch with features and ranges: homes a second over bare `Booster.predict` | 0.8 ×" in page
    assert "| ≥ 1 | **no** |" in page
    assert "| ≥ 10 (goal 15: no) | yes |" in page
    assert "| none (goal 15: yes) | no promise |" in page


def test_the_history_has_one_entry_a_commit_and_the_last_is_this_run():
    told = figures()
    judged = [target.judge(told) for target in TARGETS]
    first = as_json(told, judged, [{"commit": "abc", "at": "2026-01-01", "ratios": {}}])
    again = as_json(told, judged, first["history"])
    assert [entry["commit"] for entry in again["history"]] == ["abc", first["history"][1]["commit"]]
    assert again["history"][-1]["ratios"]["batch"] == 0.8


def test_what_is_written_goes_between_the_marks():
    page = (ROOT / "docs/serving-benchmarks.md").read_text("utf-8")
    once = between(page, "| a table |")
    assert "| a table |" in once
    assert between(once, "| a table |") == once
    assert between(once, "").split() == between(page, "").split()


@pytest.mark.parametrize(
    ("answer", "well"),
    [
        (b'HTTP/1.1 413 \r\nContent-Type: application/problem+json\r\n\r\n{"status": 413}', True),
        (b'HTTP/1.1 503 \r\ncontent-type: application/problem+json\r\nRetry-After: 1\r\n\r\n{"status": 503}', True),
        (b'HTTP/1.1 503 \r\ncontent-type: application/problem+json\r\n\r\n{"status": 503}', False),
        (b'HTTP/1.1 413 \r\ncontent-type: application/problem+json\r\n\r\n{"status": 400}', False),
        (b"HTTP/1.1 413 \r\ncontent-type: text/plain\r\n\r\nno", False),
    ],
)
def test_a_refusal_is_well_formed_or_not(answer: bytes, well: bool):
    assert is_problem(answer) is well


def test_the_same_seed_does_the_same_damage():
    content, other = b'{\n"tag": "a",\n"digest": "0123"\n}\n', b"other"
    each = [damaged(content, other, Random(seed)) for seed in range(60)]
    assert each == [damaged(content, other, Random(seed)) for seed in range(60)]
    assert {way for way, _ in each} == set(WAYS)
    assert all(left != content for way, left in each if way in ("truncated", "exchanged", "evil"))


def test_all_servers_are_asked_on_loopback_alone():
    assert all(HOST in command for command in SERVERS.values())
