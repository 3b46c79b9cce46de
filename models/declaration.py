"""Checked reading of what people write in YAML: each check takes a plain value and the path of keys
to it, and gives back the value, or says where the fault is and what is allowed there."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from models.fault import Fault

Where = tuple[str | int, ...]
#: Names become tags in stores, which take 63 characters with a prefix of ours, and none that ends in _.
_NAME = re.compile(r"[a-z]([a-z0-9_]{0,48}[a-z0-9])?")


class DeclarationError(Fault):
    """A declaration is faulty: `where` is the path of keys to the value, `problem` says what is
    wrong and what is allowed."""

    def __init__(self, where: Where, problem: str) -> None:
        self.where = where
        self.problem = problem
        super().__init__(f"{'.'.join(map(str, where)) or 'the declaration'}: {problem}")


def section(raw: Any, where: Where, required: Sequence[str] = (), optional: Sequence[str] = ()) -> dict[str, Any]:
    """A mapping that has every required key, and no key that is neither required nor optional."""
    known = (*required, *optional)
    if not isinstance(raw, Mapping):
        raise DeclarationError(where, f"must be a mapping with the keys {', '.join(known)}")
    for key in raw:
        if key not in known:
            raise DeclarationError((*where, key), f"unknown key; {_allowed(key, known)}")
    for key in required:
        if key not in raw:
            raise DeclarationError(where, f"the key {key!r} is missing")
    for key, value in raw.items():
        if value is None:
            raise DeclarationError((*where, key), "is empty; give it a value, or remove the key if it is optional")
    return dict(raw)


def items(raw: Any, where: Where, what: str) -> Sequence[Any]:
    """A list of at least one."""
    if not isinstance(raw, Sequence) or isinstance(raw, str) or not raw:
        raise DeclarationError(where, f"must be a list of {what}, at least one")
    return raw


def text(raw: Any, where: Where) -> str:
    if not isinstance(raw, str) or not raw.strip():
        raise DeclarationError(where, f"is {raw!r}; allowed: a text (quote it if it looks like a number)")
    return raw


def name(raw: Any, where: Where) -> str:
    if not isinstance(raw, str) or not _NAME.fullmatch(raw):
        raise DeclarationError(
            where,
            f"is {raw!r}; allowed: up to 50 lower-case letters, digits and _, beginning with a letter and not "
            f"ending in _",
        )
    return raw


def choice(raw: Any, where: Where, allowed: Sequence[str]) -> str:
    if raw not in allowed:
        raise DeclarationError(where, f"is {raw!r}; {_allowed(raw, allowed)}")
    return str(raw)


def yes_or_no(raw: Any, where: Where) -> bool:
    if not isinstance(raw, bool):
        raise DeclarationError(where, f"is {raw!r}; allowed: true, false")
    return raw


def number(raw: Any, where: Where, least: float = -math.inf, most: float = math.inf) -> float:
    """A finite number, whole or not, from `least` to `most`."""
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw) or not least <= raw <= most:
        raise DeclarationError(where, f"is {raw!r}; allowed: {span('a number', least, most)}")
    return float(raw)


def whole(raw: Any, where: Where, least: float = -math.inf, most: float = math.inf) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int) or not least <= raw <= most:
        raise DeclarationError(where, f"is {raw!r}; allowed: {span('a whole number', least, most)}")
    return raw


def bounds(raw: Any, where: Where) -> tuple[float | None, float | None]:
    """`[least, most]`, either of them null where that side is open."""
    if not isinstance(raw, Sequence) or isinstance(raw, str) or len(raw) != 2:
        raise DeclarationError(where, f"is {raw!r}; allowed: [least, most], with null for an open side")
    low, high = (None if bound is None else number(bound, (*where, i)) for i, bound in enumerate(raw))
    if low is not None and high is not None and low >= high:
        raise DeclarationError(where, f"[{low:.15g}, {high:.15g}] is empty; the least must be below the most")
    return low, high


def span(kind: str, least: float | None, most: float | None, unit: str | None = None) -> str:
    """`kind` and its bounds in words, such as "a number from 200 to 20000 sqft"; an infinite bound is none."""
    after = f" {unit}" if unit else ""
    low = None if least is None or math.isinf(least) else f"{least:.15g}"
    high = None if most is None or math.isinf(most) else f"{most:.15g}"
    match low, high:
        case None, None:
            return f"{kind} of {unit}" if unit else kind
        case _, None:
            return f"{kind} of at least {low}{after}"
        case None, _:
            return f"{kind} of at most {high}{after}"
        case _:
            return f"{kind} from {low} to {high}{after}"


def _allowed(raw: Any, allowed: Sequence[str]) -> str:
    near = get_close_matches(str(raw), allowed, 1)
    return f"allowed: {', '.join(allowed)}" + (f"; did you mean {near[0]!r}?" if near else "")
