"""Many homes in any form: each as if it had been asked for alone, whatever stands beside it."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa
import pytest
from anyio import CapacityLimiter

from serving import batch
from serving.batch import MOST_STREAMED, SLICE
from serving.champion import Champion
from serving.deadline import Deadline
from serving.forms import FORMS, last_line
from serving.notes import Notes
from serving.parts import Parts, asked_parts
from serving.problems import Problem
from serving.replies import ARROW, JSON, LINES
from serving.streaming import LastWords, send_pieces
from serving.valuing import value_one
from tests.served import HOME, train

CARD = {"name": "valuation-harbour", "version": "7", "digest": "a" * 64, "run": None, "data": "d", "commit": "c"}
COUNT = SLICE + 88
HOMES = [HOME | {"living_area": 30.0 + i % 200, "property_id": f"p{i % 50}"} for i in range(COUNT)]


@pytest.fixture(scope="module")
def champion() -> Champion:
    return Champion(train(), CARD, "e" * 64)


def told(champion: Champion, kind: bytes, body: bytes, query: str = "", notes: Notes | None = None) -> bytes:
    form, default, offered = FORMS[kind]
    return b"".join(form(champion, body, notes or Notes(), asked_parts(query.encode(), default, offered)))


def lines(champion: Champion, body: str, query: str = "") -> list[dict[str, Any]]:
    return [json.loads(line) for line in told(champion, LINES, body.encode(), query).splitlines()]


def stream(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=100)
    return sink.getvalue()


def arrow(champion: Champion, table: pa.Table, query: str = "") -> pa.Table:
    return pa.ipc.open_stream(told(champion, ARROW, stream(table), query)).read_all()


def refused(act: Callable[[], Any]) -> Problem:
    with pytest.raises(Problem) as problem:
        act()
    return problem.value


def test_every_form_tells_the_same_to_the_bit(champion):
    alone = value_one(champion, json.dumps({"home": HOMES[3]}).encode())
    in_lines = lines(champion, "\n".join(json.dumps({"home": home}) for home in HOMES))
    in_json = json.loads(told(champion, JSON, json.dumps({"homes": HOMES}).encode()))["values"]
    assert in_lines == in_json
    assert in_json[3] == {key: alone[key] for key in alone if key != "comparables"}
    rows = arrow(champion, pa.Table.from_pylist(HOMES)).to_pylist()
    assert len(rows) == COUNT
    for row, answer in zip(rows, in_json, strict=True):
        assert (row["id"], row["value"], row["as_of"].isoformat()) == (answer["id"], answer["value"], answer["as_of"])
        assert (row["confidence"], row["fsd"]) == (answer["confidence"]["chance"], answer["fsd"])
        bounds = {f"{side}_{100 * r['level']:g}": r[side] for r in answer["ranges"] for side in ("low", "high")}
        assert {name: row[name] for name in bounds} == bounds
        assert row["error"] is None


def test_a_home_has_one_answer_wherever_it_stands(champion):
    backwards = [{"home": home} for home in reversed(HOMES)]
    forwards = lines(champion, "\n".join(json.dumps({"home": home}) for home in HOMES), "fields=value,ranges,reasons")
    told_backwards = lines(champion, "\n".join(map(json.dumps, backwards)), "fields=value,ranges,reasons")
    assert forwards == told_backwards[::-1]


def test_each_line_may_have_its_own_day_and_each_fault_stays_in_its_row(champion):
    asked = [
        {"home": HOME},
        {"home": HOME, "as_of": "2021-06-01"},
        {"home": HOME, "as_of": "someday"},
        {"home": HOME | {"rooms": 0}},
        {"hom": HOME},
    ]
    body = (
        "\n".join([*map(json.dumps, asked), "", '{"home": 1, "home": 2}', "not json", '{"home": NaN}', "[]"]) + "\r\n"
    )
    rows = lines(champion, body)
    assert [row["as_of"] for row in rows[:2]] == [champion.valuer.current_day.isoformat(), "2021-06-01"]
    assert rows[1] == value_one(champion, json.dumps(asked[1]).encode(), None, batch.DEFAULT)
    assert [row["row"] for row in rows[2:]] == [2, 3, 4, 5, 6, 7, 8]
    assert [row["error"]["status"] for row in rows[2:]] == [422, 422, 422, 400, 400, 422, 422]
    assert rows[4]["error"]["errors"][0]["suggestion"] == "did you mean 'home'?"


def test_lines_have_a_bound_and_need_a_home(champion):
    problem = refused(lambda: lines(champion, "{}\n" * (MOST_STREAMED + 1)))
    assert (problem.status, str(MOST_STREAMED) in problem.detail) == (413, True)
    assert refused(lambda: lines(champion, " \n\n")).status == 422


def test_nothing_is_worked_on_before_it_is_asked_for(champion):
    """Slice by slice: whoever stops reading stops the work."""
    notes = Notes()
    body = "\n".join(json.dumps({"home": home}) for home in HOMES).encode()
    pieces = FORMS[LINES][0](champion, body, notes, Parts(("value",)))
    assert notes.valued == []
    next(pieces)
    assert len(notes.valued) == SLICE


def test_an_arrow_column_may_be_of_any_fitting_type(champion):
    plain = arrow(champion, pa.Table.from_pylist(HOMES[:50]))
    table = pa.table(
        {
            "living_area": pa.array([home["living_area"] for home in HOMES[:50]], pa.float32()),
            "plot": pa.array([120.5] * 50, pa.float64()),
            "rooms": pa.array([3.0] * 50),
            "lift": [True] * 50,
            "kind": pa.array(["house"] * 50).dictionary_encode(),
            "quarter": pa.array(["old port"] * 50, pa.large_string()),
            "energy": pa.array([150] * 50, pa.int16()),
            "lat": [51.2] * 50,
            "lon": [4.4] * 50,
            "property_id": [home["property_id"] for home in HOMES[:50]],
            "as_of": pa.array([champion.valuer.current_day] * 50, pa.date32()),
        }
    )
    assert arrow(champion, table).equals(plain)
    assert json.loads(plain.schema.metadata[b"model"]) == champion.cited


def test_a_bad_arrow_row_spoils_no_other(champion):
    homes = [HOME, HOME | {"rooms": 0}, HOME | {"energy": None}, HOME | {"lat": float("nan")}]
    rows = arrow(champion, pa.Table.from_pylist(homes), "fields=value,warnings").to_pylist()
    assert [row["value"] is None for row in rows] == [False, True, False, True]
    assert rows[0]["id"] == value_one(champion, json.dumps({"home": HOME}).encode())["id"]
    assert rows[2]["warnings"] == ["Energy is missing; the value does without it"]
    assert [json.loads(row["error"])["errors"][0]["field"] for row in (rows[1], rows[3])] == ["rooms", "lat"]


def test_columns_that_no_row_could_be_valued_with_are_refused_at_once(champion):
    table = pa.Table.from_pylist(HOMES[:2]).drop_columns(["rooms"])
    table = table.append_column("romms", pa.array([1, 2])).set_column(0, "living_area", pa.array(["80", "90"]))
    problem = refused(lambda: arrow(champion, table))
    assert problem.status == 422
    assert {e.field: e.suggestion for e in problem.errors} == {
        "living_area": "cast the column",
        "romms": "did you mean 'rooms'?",
        "rooms": "the column is missing",
    }
    assert refused(lambda: arrow(champion, pa.Table.from_pylist(HOMES[:2]), "fields=reasons")).status == 422


def test_an_arrow_stream_that_would_fill_the_memory_is_refused(champion):
    table = pa.Table.from_pylist(HOMES[:2])
    for codec in ("zstd", "lz4"):
        packed = refused(partial(told, champion, ARROW, stream(table, compression=codec)))
        assert packed.status == 415
    kinds = pa.DictionaryArray.from_arrays(pa.array([0] * 2), ["x" * 10_000])
    long = table.set_column(table.schema.get_field_index("quarter"), "quarter", kinds)
    assert refused(lambda: arrow(champion, long)).errors[0].field == "quarter"
    many = pa.table({name: pa.repeat(table[name][0], MOST_STREAMED + 1) for name in table.column_names})
    assert refused(lambda: arrow(champion, many)).status == 413
    assert refused(lambda: arrow(champion, table.slice(0, 0))).status == 422


def test_a_damaged_arrow_stream_is_a_refusal_and_nothing_worse(champion):
    whole = stream(pa.Table.from_pylist(HOMES[:50]))
    seen = set()
    for at in range(0, len(whole), 7):
        for damaged in (whole[:at], whole[:at] + b"\xff\xff\xff\x7f" + whole[at + 4 :]):
            try:
                told(champion, ARROW, damaged, "fields=value")
                seen.add(200)
            except Problem as problem:
                seen.add(problem.status)
    assert {200, 400} <= seen <= {200, 400, 413, 415, 422}
    for short in (len(whole) - 8, len(whole) // 2):
        assert refused(partial(told, champion, ARROW, whole[:short])).status == 400
    assert refused(lambda: told(champion, ARROW, whole + b"x")).status == 400


class Late(Deadline):
    """A time that is over when the first piece has been sent."""

    def __init__(self) -> None:
        super().__init__(60)
        self._looks = 0

    def check(self) -> None:
        self._looks += 1
        if self._looks > 1:
            self.abandon()
        super().check()


def sent(pieces: list[bytes], last_words: LastWords | None, deadline: Deadline) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        messages.append(message)

    async def act() -> None:
        limiter = CapacityLimiter(1)
        await send_pieces(send, LINES, "", iter(pieces), limiter, deadline, lambda: None, last_words)

    asyncio.run(act())
    return messages


def test_lines_that_can_not_be_told_all_end_with_the_reason():
    start, first, last, end = sent([b"one\n", b"two\n", b"three\n"], last_line, Late())
    assert (start["status"], first["body"]) == (200, b"one\n")
    assert json.loads(last["body"])["error"]["status"] == 503
    assert end["body"] == b""


def test_a_stream_without_last_words_breaks_off():
    with pytest.raises(Problem):
        sent([b"one", b"two"], None, Late())


def test_what_comes_too_late_from_the_first_is_refused_whole():
    with pytest.raises(Problem) as late:
        sent([b"one"], last_line, Deadline(-1))
    assert late.value.status == 504
