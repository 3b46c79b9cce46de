"""Which paths there are, and what each takes: the one table that edge, endpoints and OpenAPI read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

JSON = "application/json"
KIBIBYTE, MEBIBYTE = 1 << 10, 1 << 20


@dataclass(frozen=True)
class Route:
    """What one path takes.

    Attributes:
        methods: HEAD goes wherever GET does.
        takes: content types of a body.
        most_bytes: of a body.
        body_seconds: in which a whole body must have arrived.
        scope: what an API key must be for; None where no key is asked for.
        lane: whose slots its work takes; None where it is too light to need one.
        work_seconds: after which the caller is told that it took too long.
    """

    methods: tuple[str, ...] = ("GET",)
    takes: tuple[str, ...] = ()
    most_bytes: int = 0
    body_seconds: float = 10.0
    scope: str | None = "value"
    lane: str | None = None
    work_seconds: float = 30.0


_OPEN = Route(scope=None)
_PAGE = Route()
_ONE = Route(methods=("POST",), takes=(JSON,), most_bytes=512 * KIBIBYTE, lane="one", work_seconds=10.0)
_MANY = Route(
    methods=("POST",),
    takes=(JSON, "application/x-ndjson", "application/vnd.apache.arrow.stream"),
    most_bytes=64 * MEBIBYTE,
    body_seconds=60.0,
    lane="many",
    work_seconds=60.0,
)

#: By path; one that ends with `/{id}` stands for any last segment.
ROUTES: Mapping[str, Route] = {
    "/": _OPEN,
    "/openapi.json": _OPEN,
    "/model": _PAGE,
    "/report": _PAGE,
    "/validation.html": _PAGE,  # as the report links to it, wherever it lies
    "/value": _ONE,
    "/value_batch": _MANY,
    "/compare": _ONE,
    "/valuations": Route(scope="admin", lane="one", work_seconds=10.0),  # what all callers have asked
    "/valuations/{id}": Route(lane="one", work_seconds=10.0),
    "/livez": _OPEN,
    "/readyz": _OPEN,
    "/healthz": _OPEN,
    "/metrics": Route(scope="admin"),
}
#: What an API key can be for.
SCOPES = ("value", "admin")


def find(path: str) -> Route | None:
    """The route of a path as it stands in `scope["path"]`."""
    return ROUTES.get(known(path))


def known(path: str) -> str:
    """The path as the table has it; `other` for one that is not there."""
    if path in ROUTES:
        return path
    parent, _, last = path.rpartition("/")
    return parent + "/{id}" if last and parent + "/{id}" in ROUTES else "other"
