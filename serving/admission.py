"""What may come in: paths, methods, content types, lengths, and who asks. Decided before a byte of the body is read.

Decisions rest on `scope["path"]` and on headers, never on a URL built from `Host`.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from starlette.types import Scope

from serving.key_ring import ApiKey, KeyRing, now
from serving.problems import Problem, retry_after
from serving.rates import MINUTE, Rates
from serving.routes import ROUTES, Route, find

#: From one address. Right keys are let in all the same: many callers may stand behind one address.
WRONG_KEYS_PER_MINUTE = 10
#: A second one of these would leave open which is meant.
_SINGLE = frozenset((b"authorization", b"content-encoding", b"content-length", b"content-type", b"host", b"x-api-key"))
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="assay"'}


@dataclass(frozen=True)
class Caller:
    """Who asks: the name of a key, or an address where no key was needed.

    `headers` tell what is left of its limit; `key_id` is the name with the id of the very key.
    """

    name: str
    headers: Mapping[str, str]
    key_id: str | None = None


def check_not_repeated(pairs: Sequence[tuple[bytes, bytes]], headers: Mapping[bytes, bytes]) -> None:
    """Raises a Problem for a header that is there twice and must not be; `headers` are the same as a mapping."""
    if len(headers) != len(pairs):
        names = [name for name, _ in pairs]
        if repeated := sorted(name.decode() for name in _SINGLE if names.count(name) > 1):
            raise Problem(400, "malformed-request", f"the header {repeated[0]} is there twice")


def route_of(path: str, method: str, headers: Mapping[bytes, bytes]) -> Route:
    """The route. Raises a Problem for what no handler needs to see."""
    route = find(path)
    _check_body_type(route, method, headers)
    if route is None:
        raise Problem(404, "not-found", f"there is nothing here; see {', '.join(ROUTES)}")
    if method not in route.methods and not (method == "HEAD" and "GET" in route.methods):
        allowed = ", ".join(route.methods)
        raise Problem(405, "method-not-allowed", f"{path} takes {allowed}", headers={"Allow": allowed})
    length = headers.get(b"content-length", b"0")
    if not length.isdigit():
        raise Problem(400, "malformed-request", "Content-Length is not a number")
    if int(length[:20]) > route.most_bytes:
        raise too_large(route)
    return route


def _check_body_type(route: Route | None, method: str, headers: Mapping[bytes, bytes]) -> None:
    """No content type but a route's own reaches anybody, on any path and with any method: BentoML would unpickle."""
    kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower().decode("latin-1")
    takes = route.takes if route is not None and route.takes else ("application/json",)
    if (kind or method == "POST") and kind not in takes:
        detail = f"the content type is {kind or 'missing'}; only {', '.join(takes)} is read"
        raise Problem(415, "unsupported-media-type", detail)
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise Problem(415, "unsupported-encoding", "compressed bodies are not read; send the body as it is")


def too_large(route: Route) -> Problem:
    detail = f"the body is larger than {route.most_bytes} bytes; send fewer homes at once"
    return Problem(413, "body-too-large", detail, headers={"Connection": "close"})


class Guard:
    """Asks for keys, and counts requests key by key."""

    def __init__(self, ring: KeyRing, rates: Rates) -> None:
        self._ring = ring
        self._rates = rates
        if rates.keys_are_asked_for:
            ring.close()

    def admit(self, scope: Scope, route: Route, headers: Mapping[bytes, bytes]) -> Caller:
        """Who asks.

        Raises:
            Problem: 401 without a right key, 403 with one for something else, 429 for too many requests or wrong keys.
        """
        address = (scope.get("client") or ("",))[0]
        if route.scope is None:
            return Caller(address, {})
        self._ring.look()
        if self._ring.is_open:
            _check_is_local(scope)
            return Caller(address, {})
        self._rates.ask_for_keys()
        key = self._proven(headers, address)
        if route.scope not in key.scopes:
            raise Problem(403, "wrong-scope", f"this key is for {', '.join(key.scopes)}; {route.scope} is needed")
        bucket = self._rates.of_key(self._ring.place(key), key.per_minute)
        told = {
            "RateLimit-Policy": f'"key";q={key.per_minute};w={MINUTE:.0f}',
            "RateLimit": f'"key";r={bucket.left};t={math.ceil(bucket.seconds)}',
        }
        if not bucket.allowed:
            detail = f"the key of {key.name} may ask {key.per_minute} times a minute"
            raise Problem(429, "rate-limited", detail, headers=told | retry_after(bucket.seconds))
        return Caller(key.name, told, f"{key.name}:{key.id}")

    def _proven(self, headers: Mapping[bytes, bytes], address: str) -> ApiKey:
        secret = _secret(headers)
        if secret is None:
            detail = "an API key is needed, as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
            raise Problem(401, "no-key", detail, headers=_CHALLENGE)
        key = self._ring.find(secret)
        if key is not None and not key.is_expired(now()):
            return key
        wrong = self._rates.of_address(address, WRONG_KEYS_PER_MINUTE)
        if not wrong.allowed:
            detail = f"more than {WRONG_KEYS_PER_MINUTE} wrong keys in a minute came from your address"
            raise Problem(429, "too-many-wrong-keys", detail, headers=retry_after(wrong.seconds))
        if key is not None:
            raise Problem(401, "expired-key", f"this key ended {key.expires:%F %R} UTC", headers=_CHALLENGE)
        raise Problem(401, "wrong-key", "this API key is not known", headers=_CHALLENGE)


def _secret(headers: Mapping[bytes, bytes]) -> str | None:
    given = headers.get(b"x-api-key")
    if given is None:
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer":
            return None
    return given.strip().decode("latin-1") or None


def _check_is_local(scope: Scope) -> None:
    """Without keys only this machine is answered, whatever address a server was told to listen on."""
    server = scope.get("server") or ("", None)
    if not is_loopback(server[0]):
        detail = "without API keys only this machine is answered; make one there: python -m serving.keys new NAME"
        raise Problem(403, "no-keys-made", detail)


@lru_cache(256)
def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("", "localhost")
