"""What schemathesis is told of us: how our streams are written, and that a told value is an amount of money."""

from __future__ import annotations

import math
from typing import Any

import schemathesis


@schemathesis.serializer("application/vnd.apache.arrow.stream", "application/x-ndjson")
def as_bytes(_: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@schemathesis.check
def told_values_are_money(_: Any, response: Any, __: Any) -> None:
    if response.status_code == 200 and response.headers["content-type"][0] == "application/json":
        told = response.json()
        answers = [told, *told.get("values", ())] if isinstance(told, dict) else []
        values = [answer["value"] for answer in answers if "value" in answer]
        assert all(isinstance(value, int | float) and 0 < value < math.inf for value in values), values
