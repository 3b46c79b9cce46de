"""Answers in parts, kept and compressed: the same answer however it is asked, and no more work than was asked for."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import replace
from datetime import date
from hashlib import sha256
from typing import Any

import brotli
import numpy as np
import pytest
import zstandard

from models import appraisal
from models.reasons import Lines, kinds_of, reasons_in_money
from serving.answer import answer, identity
from serving.caching import MOST_OF_ONE, Answers, Kept
from serving.champion import Champion
from serving.encoding import CODINGS, accepted, compressed, compressor
from serving.json_body import read_object
from serving.notes import Notes
from serving.parts import ALL, NAMES, asked_parts
from serving.problems import Problem
from serving.replies import JSON, LINES, PRIVATE, as_read, reply, wants_lines
from serving.valuing import question_of, tell_first, tell_rest, value_one
from tests.served import HOME, train

CARD = {"name": "valuation-harbour", "version": "7", "digest": "a" * 64, "run": None, "data": "d", "commit": "c"}
BODY = json.dumps({"home": HOME}).encode()


@pytest.fixture(scope="module")
def champion() -> Champion:
    return Champion(train(), CARD, "e" * 64)


def asked(query: str) -> Any:
    return asked_parts(query.encode(), ALL)


def refused(query: str) -> Problem:
    with pytest.raises(Problem) as told:
        asked(query)
    assert told.value.status == 422
    return told.value


@pytest.mark.parametrize("name", NAMES)
def test_a_part_alone_is_as_in_the_whole_answer(champion, name):
    whole, alone = value_one(champion, BODY), value_one(champion, BODY, None, asked(f"fields={name}"))
    assert alone == {key: whole[key] for key in ("id", "currency", "as_of", name)}


def test_parts_come_in_the_order_of_the_answer_however_they_are_asked(champion):
    whole = value_one(champion, BODY)
    some = value_one(champion, BODY, None, asked("fields=model,reasons,%20value,value"))
    assert list(some) == [key for key in whole if key in some]
    assert set(some) == {"id", "currency", "as_of", "value", "reasons", "model"}


def test_parts_that_nobody_asked_for_are_not_worked_out(champion, monkeypatch):
    worked: list[tuple[int, bool]] = []

    def appraise(valuer, homes, as_of, comparables=0, reasons=True, warnings=True):
        worked.append((comparables, reasons))
        return appraisal.appraise(valuer, homes, as_of, comparables, reasons, warnings)

    monkeypatch.setattr("serving.valuing.appraise", appraise)
    for query in ("fields=value,range", "fields=base", "fields=comparables"):
        value_one(champion, BODY, None, asked(query))
    assert worked == [(0, False), (0, True), (5, False)]


def test_an_unknown_part_or_parameter_is_named_with_a_suggestion():
    (error,) = refused("fields=value,reason").errors
    assert (error.field, error.value, error.suggestion) == ("fields", "reason", "did you mean 'reasons'?")
    assert [e.value for e in refused("fields=").errors] == [""]
    (error,) = refused("field=value").errors
    assert (error.field, error.suggestion) == ("field", "did you mean 'fields'?")
    assert refused("fields=value&fields=range").errors[0].suggestion == "give it once"
    assert "100" in refused("&".join("x=1" for _ in range(200))).detail


def test_two_lines_together_are_the_whole_answer(champion):
    question, notes = question_of(champion, BODY), Notes()
    first, rest = tell_first(champion, question, notes, ALL), tell_rest(champion, question, ALL)
    whole = value_one(champion, BODY)
    assert rest is not None
    assert {**as_read(first), **as_read(rest)} == whole
    assert {first["id"], rest["id"]} == {whole["id"]}
    assert first["model"] == rest["model"]
    assert [one.id for one in notes.valued] == [whole["id"]]  # one event, though there are two lines
    assert tell_rest(champion, question, asked("fields=value,model")) is None


def test_what_is_written_of_lines_is_what_the_appraisal_tells(champion):
    whole = appraisal.appraise(champion.valuer, [HOME], champion.valuer.current_day, 5)[0]
    told = value_one(champion, json.dumps({"home": HOME}).encode())
    reasons = [(r["name"], r["label"], r["amount"], r["lines"]) for r in told["reasons"]]
    assert reasons == [(r.name, r.label, r.amount, [line._asdict() for line in r.lines]) for r in whole.reasons]
    beside = [sale["adjustments"] for sale in told["comparables"]]
    assert len(beside) == 5
    assert beside == [[line._asdict() for line in sale.adjustments] for sale in whole.comparables]


def test_labels_may_say_anything(champion):
    """As those of a market's own fields may."""
    odd = ('"', "100 % öl", "%b", "\\", "a,b", "\n")
    whole = appraisal.appraise(champion.valuer, [HOME], champion.valuer.current_day, 1)[0]
    sale, kinds = whole.comparables[0], kinds_of(odd, odd, ["facts"] * len(odd))
    lines = Lines(odd, odd, [-0.0, 1e16, 0.01, -12345678.9, 1.0, 5e-324])
    _, reasons = reasons_in_money([500_000.0], [13.0], np.array([[0.1, 0.2, -0.1, 0.0, 0.3, -0.4]]), kinds)[0]
    odd_one = replace(whole, reasons=reasons, comparables=(sale._replace(adjustments=lines),))
    told = as_read(answer(champion, "id", champion.valuer.current_day, odd_one))
    assert told["comparables"][0]["adjustments"] == [line._asdict() for line in lines]
    assert [r["lines"] for r in told["reasons"]] == [[line._asdict() for line in r.lines] for r in reasons]


def test_an_identity_is_what_it_always_was(champion):
    draw = random.Random(3)
    texts = ["house", "ö", '"', "\\", "1e5", "a\u2028b", "0.0001"]
    numbers = [0.0, 1e-7, 1.5e-5, 0.0001, 1e15, 1e16, 1e22, 123456.789, -0.5, 2**53]
    for _ in range(2000):
        home = {"kind": draw.choice(texts), "plot": draw.choice(numbers), "lat": draw.uniform(-90, 90) ** 7}
        home |= {"lift": draw.choice([True, False, None]), "rooms": draw.randint(0, 9)}
        told = {"home": home, "as_of": "2021-06-01", "model": champion.digest, "memory": champion.memory}
        expected = sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:32]
        assert identity(champion, home, date(2021, 6, 1)) == expected


def test_reading_quickly_is_reading_strictly():
    draw = random.Random(9)
    pieces = ['{"a":', "1", "1.5", "-0", "1e999", "12345678901234567890", '"x:y"', '"\\ud800"', ',"b":2', ',"a":3', "}"]
    pieces += ["[", "]", "null", "NaN", " ", ',"\\u0061":1', "{}", '"', "1" * 41, "0." + "1" * 30]
    agreed = 0
    for _ in range(20_000):
        body = ("{" + '"k":' + "".join(draw.choices(pieces, k=draw.randint(1, 6))) + "}").encode()
        strict: Any
        try:
            strict = json.loads(body, object_pairs_hook=_once, parse_int=_short(int), parse_float=_short(float))
        except (ValueError, RecursionError):
            with pytest.raises(Problem):
                read_object(body)
            continue
        assert repr(read_object(body)) == repr(strict)
        agreed += 1
    assert agreed > 500


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("twice")
    return dict(pairs)


def _short(kind: type) -> Any:
    def read(text: str) -> Any:
        if len(text) > 40:
            raise ValueError("long")
        return kind(text)

    return read


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("", ""),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("br;q=0.5, gzip;q=0.8", "gzip"),
        ("zstd;q=0, *", "br"),
        ("*;q=0.1", "zstd"),
        ("identity, gzip;q=0.5", ""),
        ("gzip;q=0", ""),
        ("GZIP ; Q=1.0", "gzip"),
        ("gzip;q=high", ""),
        ("zstd;q=1e-400, br;q=nan", ""),
        (";;;,,,;q=1", ""),
    ],
)
def test_the_coding_is_the_best_that_the_caller_takes(header, coding):
    assert accepted(header) == coding


def expanded(body: bytes, coding: str) -> bytes:
    if coding == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return {"br": brotli.decompress, "gzip": gzip.decompress}[coding](body)


@pytest.mark.parametrize("coding", CODINGS)
def test_what_is_compressed_comes_out_again_whole_or_piece_by_piece(coding):
    pieces = [b"value " * 500, b"", b"range " * 500]
    assert expanded(compressed(b"".join(pieces), coding), coding) == b"".join(pieces)
    stream = compressor(coding)
    sent = [stream.piece(piece) for piece in pieces]
    assert expanded(b"".join(sent) + stream.end(), coding) == b"".join(pieces)
    if coding == "zstd":  # each piece can be read as soon as it is there
        assert zstandard.ZstdDecompressor().decompressobj().decompress(sent[0]) == pieces[0]


@pytest.mark.parametrize(
    ("accept", "lines"),
    [
        (b"application/x-ndjson", True),
        (b"application/x-ndjson;q=0", False),
        (b"application/json, application/x-ndjson;q=0.9", False),
        (b"text/html, application/x-ndjson;q=0.2", True),
        (b"*/*", False),
        (b"application/x-ndjson;q=x", False),
    ],
)
def test_lines_come_to_whoever_would_rather_have_them(accept, lines):
    assert wants_lines({b"accept": accept}) is lines
    assert LINES != JSON


def kept(size: int) -> Kept:
    return Kept(reply(b"x" * size, JSON, "", PRIVATE), ())


def test_answers_kept_stay_within_their_bytes_and_the_latest_asked_for_stay():
    answers = Answers(most_bytes=100_000)
    for i in range(50):
        answers.keep(i, kept(1000), 0)
        assert answers.find(0) is not None  # asked for again and again
    assert answers.find(1) is None
    assert answers.find(49) is not None
    answers.keep("huge", kept(MOST_OF_ONE + 1), 0)
    assert answers.find("huge") is None
