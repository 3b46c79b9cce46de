"""`python -m serving.keys`: API keys made, listed, revoked and rotated; running servers see it within a second."""

from __future__ import annotations

import argparse
import fcntl
import json
import re
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from models.files import write_bytes
from serving.key_ring import MOST_PER_MINUTE, ApiKey, KeyFileError, hash_of, keys_path, now, read_keys
from serving.routes import SCOPES

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class KeysError(RuntimeError):
    """What was refused and what to do instead."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m serving.keys", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    new = verbs.add_parser("new", help="a key for somebody; shown once")
    new.add_argument("name", help="whose it is")
    new.add_argument("--scopes", default="value", help=f"of {', '.join(SCOPES)}, with commas between")
    new.add_argument("--per-minute", type=int, default=600, help="requests a minute, in all workers together")
    new.add_argument("--days", type=int, help="until it expires; never unless said")
    verbs.add_parser("list", help="all keys, without the secrets, which nobody has")
    revoke = verbs.add_parser("revoke", help="ends a key, or all of a name, at once")
    revoke.add_argument("which", help="a name or an id")
    rotate = verbs.add_parser("rotate", help="another key for the same name; the old one still works for a while")
    rotate.add_argument("which", help="a name or an id")
    rotate.add_argument("--hours", type=float, default=24, help="that the old one still works")
    options = parser.parse_args(arguments)
    try:
        print(_do(options, keys_path()))
    except (KeysError, KeyFileError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _do(options: argparse.Namespace, path: Path) -> str:
    if options.verb == "list":
        return _listed(_known(path))
    with _alone(path):
        keys = _known(path)
        if options.verb == "new":
            key, secret = _new(keys, options.name, options.scopes, options.per_minute, options.days)
            write_keys(path, [*keys, key])
            return f"The key {key.id} of {key.name}, which can't be shown again:\n{secret}"
        chosen = [key for key in keys if options.which in (key.id, key.name)]
        if not chosen:
            raise KeysError(f"there is no key {options.which!r} in {path}; `python -m serving.keys list` shows all")
        if options.verb == "revoke":
            write_keys(path, [key for key in keys if key not in chosen])
            return f"Revoked: {', '.join(f'{key.id} of {key.name}' for key in chosen)}"
        key, secret = _rotated([key for key in keys if key.name == chosen[0].name][-1])
        until = now() + timedelta(hours=options.hours)
        write_keys(path, [*(_ending(old, until) if old in chosen else old for old in keys), key])
        said = f"The new key {key.id} of {key.name}, which can't be shown again; the old one ends {until:%F %R} UTC:"
        return f"{said}\n{secret}"


def _new(keys: Sequence[ApiKey], name: str, scopes: str, per_minute: int, days: int | None) -> tuple[ApiKey, str]:
    wanted = tuple(dict.fromkeys(scope.strip() for scope in scopes.split(",")))
    if not _NAME.fullmatch(name):
        raise KeysError(f"the name is {name!r}; allowed are lower-case letters, digits and . _ - (at most 64)")
    if any(key.name == name for key in keys):
        raise KeysError(f"there is a key of {name!r} already; `rotate` replaces it, `revoke` ends it")
    if unknown := sorted(set(wanted) - set(SCOPES)):
        raise KeysError(f"the scopes {', '.join(map(repr, unknown))} are unknown; known are {', '.join(SCOPES)}")
    if not 1 <= per_minute <= MOST_PER_MINUTE:
        raise KeysError(f"--per-minute is {per_minute}; allowed is 1 to {MOST_PER_MINUTE}")
    if days is not None and days < 1:
        raise KeysError(f"--days is {days}; allowed is 1 and more")
    secret = _secret()
    expires = None if days is None else now() + timedelta(days=days)
    return ApiKey(name, hash_of(secret), wanted, per_minute, now(), expires), secret


def _rotated(old: ApiKey) -> tuple[ApiKey, str]:
    """Another key for the same, with as long a life as the old one was given."""
    secret = _secret()
    expires = None if old.expires is None else now() + (old.expires - old.created)
    return replace(old, hash=hash_of(secret), created=now(), expires=expires), secret


def _ending(old: ApiKey, until: datetime) -> ApiKey:
    return old if old.expires is not None and old.expires <= until else replace(old, expires=until)


def _secret() -> str:
    """256 random bits; the prefix lets scanners recognise a key that was published by mistake."""
    return f"assay_{secrets.token_urlsafe(32)}"


def _known(path: Path) -> tuple[ApiKey, ...]:
    try:
        return read_keys(path)
    except FileNotFoundError:
        return ()


def _listed(keys: Sequence[ApiKey]) -> str:
    if not keys:
        return "There are no keys: the server answers anyone, and listens on loopback only."
    rows = [("id", "name", "scopes", "a minute", "created", "expires")]
    for key in keys:
        expires = "never" if key.expires is None else f"{key.expires:%F %R}"
        expired = " (over)" if key.is_expired(now()) else ""
        row = (key.id, key.name, ",".join(key.scopes), str(key.per_minute), f"{key.created:%F %R}", expires + expired)
        rows.append(row)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One change at a time: two commands at once must not lose each other's key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_keys(path: Path, keys: Sequence[ApiKey]) -> None:
    """The file is whole or as it was, also for a server that reads it right now; only its owner may read it."""
    text = json.dumps({"keys": [key.to_dict() for key in keys]}, indent=2) + "\n"
    write_bytes(path, text.encode(), mode=0o600)


if __name__ == "__main__":
    sys.exit(main())
