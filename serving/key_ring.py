"""The API keys that callers prove themselves with; the file holds hashes alone.

A key is 256 random bits, so its SHA-256 needs no salt and no stretching: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.files import read_json
from serving.logs import tell
from serving.routes import SCOPES

#: Seconds between two looks at whether the file has changed.
LOOK_SECONDS = 1.0
MOST_PER_MINUTE = 1_000_000


class KeyFileError(ValueError):
    """What is wrong with the file of keys and what to do about it."""


@dataclass(frozen=True)
class ApiKey:
    """One key. Keys of the same `name` share one limit, so that a key can be replaced without a gap or a gift.

    Attributes:
        id: the first digits of the hash; it tells two keys of a name apart, and is no secret.
        name: whose key it is.
        hash: SHA-256 of the key, 64 hexadecimal digits.
        scopes: what it is for, of `serving.routes.SCOPES`.
        per_minute: requests that all keys of this name may make together.
        created, expires: with their time zone; `expires` None for never.
    """

    name: str
    hash: str
    scopes: tuple[str, ...]
    per_minute: int
    created: datetime
    expires: datetime | None = None

    @property
    def id(self) -> str:
        return self.hash[:8]

    def is_expired(self, now: datetime) -> bool:
        return self.expires is not None and now >= self.expires

    def to_dict(self) -> dict[str, Any]:
        expires = None if self.expires is None else self.expires.isoformat()
        told = {"name": self.name, "hash": self.hash, "scopes": list(self.scopes), "per_minute": self.per_minute}
        return told | {"created": self.created.isoformat(), "expires": expires}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> ApiKey:
        """Raises ValueError, TypeError or KeyError for anything but what `to_dict` gives."""
        expires = None if raw["expires"] is None else datetime.fromisoformat(raw["expires"])
        created, scopes, per_minute = datetime.fromisoformat(raw["created"]), tuple(raw["scopes"]), raw["per_minute"]
        if not raw["name"] or not isinstance(raw["name"], str):
            raise ValueError("a key has no name")
        if len(bytes.fromhex(raw["hash"])) != hashlib.sha256().digest_size:
            raise ValueError(f"the hash of {raw['name']} is no SHA-256")
        if not scopes or set(scopes) - set(SCOPES):
            raise ValueError(f"the scopes of {raw['name']} are {list(scopes)}; known are {', '.join(SCOPES)}")
        if type(per_minute) is not int or not 1 <= per_minute <= MOST_PER_MINUTE:
            raise ValueError(f"per_minute of {raw['name']} is {per_minute!r}; allowed is 1 to {MOST_PER_MINUTE}")
        if created.tzinfo is None or (expires is not None and expires.tzinfo is None):
            raise ValueError(f"a time of {raw['name']} has no time zone")
        return cls(raw["name"], raw["hash"], scopes, per_minute, created, expires)


def keys_path() -> Path:
    return Path(os.environ.get("ASSAY_API_KEYS", ".assay/api_keys.json"))


def hash_of(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """Raises FileNotFoundError, or KeyFileError for a file that can't be used."""
    try:
        return tuple(ApiKey.from_dict(raw) for raw in read_json(path)["keys"])
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise KeyFileError(
            f"the API keys in {path} can't be read ({type(error).__name__}: {error}); "
            f"put back a copy of the file, or remove it and make keys anew: python -m serving.keys new NAME"
        ) from error


class KeyRing:
    """The keys of a file, read again when it has changed. What can't be read any more is kept as it was last read.

    Without a file from the beginning the ring is open, until it is closed: whoever comes needs no key.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: tuple[ApiKey, ...] = ()
        self._places: dict[str, int] = {}
        self._seen: tuple[int, ...] | None = None
        self._look_at = 0.0
        self.is_open = True
        self._read()

    def close(self) -> None:
        """Others of this server ask for keys: a file that is gone by now opens nothing."""
        if self.is_open:
            self.is_open = False
            tell("keys-damaged", logging.ERROR, why=f"{self._path} is gone", keys_in_force=0)

    def find(self, secret: str) -> ApiKey | None:
        """The key behind what a caller sent, expired or not; as long for a wrong one as for a right one."""
        self.look()
        sought, found = hash_of(secret), None
        for key in self._keys:
            if hmac.compare_digest(key.hash, sought):
                found = key
        return found

    def place(self, key: ApiKey) -> int:
        """The position of the first key of this name; all workers count its requests under it."""
        return self._places[key.name]

    def look(self) -> None:
        """Reads the file again when it has changed; looks once a second at most."""
        if time.monotonic() >= self._look_at:
            self._read()

    def _read(self) -> None:
        self._look_at = time.monotonic() + LOOK_SECONDS
        try:
            state = self._path.stat()
            seen = (state.st_mtime_ns, state.st_size, state.st_ino)
            if seen == self._seen:
                return
            self._seen = seen
            self._use(read_keys(self._path))
        except FileNotFoundError:
            if not self.is_open and self._seen is not None:
                self._seen = None
                tell("keys-damaged", logging.ERROR, why=f"{self._path} is gone", keys_in_force=len(self._keys))
        except (OSError, KeyFileError) as error:
            self.is_open = False
            tell("keys-damaged", logging.ERROR, why=str(error), keys_in_force=len(self._keys))

    def _use(self, keys: tuple[ApiKey, ...]) -> None:
        names = list(dict.fromkeys(key.name for key in keys))
        self._places = {name: place for place, name in enumerate(names)}
        self._keys = keys
        self.is_open = False
        tell("keys-read", keys=len(keys), path=str(self._path))


def now() -> datetime:
    return datetime.now(UTC)
