"""Bytes to values: what `json` forgives is refused here."""

from __future__ import annotations

import contextlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.json_body import read_object
from serving.problems import Problem, showable


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{} {}",
        b"{'a': 1}",
        b'{"a": 1, "a": 1}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": "\xff"}',
        b'{"a": "\x00"}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": 1.' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda body: body[:12].decode("latin-1") + f" of {len(body)}",
)
def test_malformed_json_is_a_400(body):
    with pytest.raises(Problem) as refused:
        read_object(body)
    assert refused.value.status == 400


@pytest.mark.parametrize("body", [b"[]", b"3", b"null", b'"home"'])
def test_json_that_is_no_object_is_a_422(body):
    with pytest.raises(Problem) as refused:
        read_object(body)
    assert refused.value.status == 422


def test_numbers_that_are_not_finite_reach_the_check_that_can_name_the_field():
    read = read_object(b'{"a": NaN, "b": -Infinity, "c": 1e999}')
    assert math.isnan(read["a"])
    assert (read["b"], read["c"]) == (-math.inf, math.inf)
    assert [showable(v) for v in read.values()] == ["NaN", "-Infinity", "Infinity"]


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text()))
def test_plain_json_is_read_as_it_is(value):
    assert read_object(json.dumps(value).encode()) == value


@given(st.binary(max_size=50))
def test_no_bytes_do_more_than_be_refused(body):
    with contextlib.suppress(Problem):
        assert isinstance(read_object(body), dict)
