"""Replies as they go over the wire: bytes, headers, and what a caller or a cache between may keep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson
from starlette.types import Scope, Send

from serving.encoding import WORTH_IT, accepted, compressed

JSON, LINES, ARROW = b"application/json", b"application/x-ndjson", b"application/vnd.apache.arrow.stream"
HTML = b"text/html; charset=utf-8"
#: Looked up again each time, by its ETag.
REVALIDATED = {b"cache-control": b"no-cache"}
#: Holds what a caller has asked, so it is for nobody else.
PRIVATE = {b"cache-control": b"private, no-store"}
#: Known by what is in it: it never becomes another.
FOR_EVER = {b"cache-control": b"private, max-age=31536000, immutable"}
#: Its own caller alone may keep it, and asks whether it has changed.
PRIVATE_REVALIDATED = {b"cache-control": b"private, no-cache"}
NOT_KEPT = {b"cache-control": b"no-store"}
_ALWAYS = ((b"vary", b"accept-encoding"), (b"x-content-type-options", b"nosniff"))
Headers = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply with status 200; `etag` is empty where nobody asks whether it has changed."""

    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    etag: bytes = b""

    async def send(self, send: Send, given: Headers | None = None) -> None:
        """Sends it, or 304 where the headers given say that the caller has it."""
        if self.etag and given and _has(given.get(b"if-none-match", b""), self.etag):
            kept = [pair for pair in self.headers if pair[0] in (b"etag", b"vary", b"cache-control")]
            await send({"type": "http.response.start", "status": 304, "headers": kept})
            await send({"type": "http.response.body", "body": b""})
            return
        await send({"type": "http.response.start", "status": 200, "headers": list(self.headers)})
        await send({"type": "http.response.body", "body": self.body})


def reply(body: bytes, kind: bytes, coding: str, headers: Headers, with_etag: bool = False) -> Reply:
    """The body, compressed where it pays."""
    encoded = bool(coding) and len(body) >= WORTH_IT
    told = [(b"content-type", kind), *_ALWAYS, *headers.items()]
    etag = b""
    if with_etag:
        etag = f'"{sha256(body).hexdigest()[:32]}{"-" + coding if encoded else ""}"'.encode()
        told.append((b"etag", etag))
    if encoded:
        body = compressed(body, coding)
        told.append((b"content-encoding", coding.encode()))
    told.append((b"content-length", str(len(body)).encode()))
    return Reply(body, tuple(told), etag)


def to_json(told: Any) -> bytes:
    """In UTF-8 without spaces."""
    try:
        return orjson.dumps(told)
    except TypeError:  # half a surrogate pair, or an integer of many digits, that a caller sent and is shown again
        return json.dumps(told, allow_nan=False).encode()


def as_read(told: Any) -> dict[str, Any]:
    """What a caller reads of an object that `to_json` writes down."""
    return dict(orjson.loads(to_json(told)))


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    return dict(scope["headers"])


def coding_of(headers: Headers) -> str:
    """How the caller wants the answer compressed; empty for not at all."""
    given = headers.get(b"accept-encoding")
    return accepted(given.decode("latin-1")) if given else ""


def stream_headers(kind: bytes, coding: str) -> list[tuple[bytes, bytes]]:
    told = [(b"content-type", kind), *_ALWAYS, *PRIVATE.items()]
    return [*told, (b"content-encoding", coding.encode())] if coding else told


def wants_lines(headers: Headers) -> bool:
    """Whether the caller would rather have lines than JSON in one piece."""
    given = headers.get(b"accept")
    if given is None or LINES not in given.lower():
        return False
    weights = _weights(given)
    return weights.get(LINES, 0.0) > 0 and weights[LINES] >= weights.get(JSON, 0.0)


def _weights(given: bytes) -> dict[bytes, float]:
    weights = {}
    for part in given.lower().split(b","):
        kind, *parameters = (text.strip() for text in part.split(b";"))
        told = next((text[2:] for text in parameters if text.startswith(b"q=")), b"1")
        try:
            weights[kind] = float(told)
        except ValueError:
            weights[kind] = 0.0
    return weights


def _has(given: bytes, etag: bytes) -> bool:
    return any(tag.strip().removeprefix(b"W/") in (b"*", etag) for tag in given.split(b",")) if given else False
