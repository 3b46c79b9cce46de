"""Refusals as RFC 9457 problem details: one shape for every error that a caller can meet."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from typing import Any

CONTENT_TYPE = "application/problem+json"
LONGEST_VALUE = 100


@dataclass(frozen=True)
class FieldError:
    """One value that was refused: `allowed` says what the field accepts, `suggestion` what to try.

    `row` is the position in a batch, counted from 0; `rule` names the cross-field rule that is broken.
    """

    field: str
    value: Any
    allowed: str
    suggestion: str | None = None
    rule: str | None = None
    row: int | None = None

    def to_dict(self) -> dict[str, Any]:
        shown = {k: v for k, v in asdict(self).items() if v is not None or k in ("value", "suggestion")}
        return shown | {"value": showable(self.value)}


@dataclass(eq=False)  # raised, so neither frozen nor compared
class Problem(Exception):
    """A request that gets no answer. `slug` is the stable name of the kind of problem."""

    status: int
    slug: str
    detail: str
    errors: Sequence[FieldError] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self, request_id: str | None = None) -> dict[str, Any]:
        body: dict[str, Any] = {
            "type": f"urn:assay:problem:{self.slug}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if request_id is not None:
            body["request_id"] = request_id
        if self.errors:
            body["errors"] = [error.to_dict() for error in self.errors]
        return body

    def to_json(self, request_id: str) -> bytes:
        return json.dumps(self.to_dict(request_id), allow_nan=False).encode()


def retry_after(seconds: float) -> dict[str, str]:
    """The header for `seconds` from now and up to as much again, at least 2: callers who were refused together shall
    not come back together."""
    whole = max(1, math.ceil(seconds))
    return {"Retry-After": str(whole + random.randint(0, max(2, whole)))}


def showable(value: Any) -> Any:
    """The value as it may stand in an answer or a log line: valid JSON, and short."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, str):
        return value if len(value) <= LONGEST_VALUE else value[:LONGEST_VALUE] + "…"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    return value
