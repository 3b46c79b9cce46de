"""The promoted model: found by its pointer, its signature checked, and proven able to value a home."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bentoml

from models.appraisal import appraise
from models.bundle import BundleError, memory_digest, read_bundle
from models.comparables import TOLD
from models.files import read_json
from models.market import Market
from models.signature import SignatureError
from models.valuer import Valuer
from models.version import BUNDLE, read_card, read_pages, signed_memory
from serving.sound import is_sound

REPAIR = "run `make repro` to train, judge and promote a model"
#: What an answer says of the model, beside its memory of sales; the rest of the card is at GET /model.
CITED = ("name", "version", "digest", "run", "data", "commit")
_DIGEST = re.compile("[0-9a-f]{64}")


class NoChampion(Exception):
    """No model can be served; the text says what is missing and what to run."""


@dataclass(frozen=True)
class Pointer:
    """Which model is promoted: its tag in the BentoML store and the digest of its bundle.

    `memory` is the digest of the newer memory of sales it is served with; None means the bundle's own.
    """

    tag: str
    digest: str
    memory: str | None = None

    def __post_init__(self) -> None:
        if self.memory is not None and not _DIGEST.fullmatch(self.memory):  # it becomes part of a path
            raise ValueError(f"the memory {self.memory!r} is no SHA-256 digest")


@dataclass(frozen=True)
class Champion:
    """What is being served. One object, so that no answer can mix two models or two memories.

    `memory` is the digest of the valuer's memory of sales; `pages` are the files for people, by their name.
    """

    valuer: Valuer
    card: dict[str, Any]
    memory: str
    pages: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def market(self) -> Market:
        return self.valuer.market

    @property
    def digest(self) -> str:
        return str(self.card["digest"])

    @property
    def knows(self) -> dict[str, str]:
        """The memory of sales: its digest, and the last sale in it."""
        return {"memory": self.memory, "memory_end": self.valuer.memory_end.isoformat()}

    @property
    def cited(self) -> dict[str, Any]:
        return {key: self.card[key] for key in CITED} | self.knows | {"override": self.card.get("override")}


def pointer_path() -> Path:
    """Where promotion leaves the pointer; relative to the directory the server was started in."""
    return Path(os.environ.get("ASSAY_CHAMPION", ".assay/champion.json"))


def read_pointer(path: Path) -> Pointer:
    """The pointer that promotion left at `path`.

    Raises:
        NoChampion: when there is none, or it can't be read.
    """
    try:
        raw = read_json(path)
        memory = str(raw["memory"]) if "memory" in raw else None
        return Pointer(tag=str(raw["tag"]), digest=str(raw["digest"]), memory=memory)
    except FileNotFoundError:
        raise NoChampion(f"no model has been promoted: {path} does not exist; {REPAIR}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoChampion(f"{path} can't be read: {error!r}; {REPAIR}") from error


def key_path() -> Path:
    """Where promotion leaves the public key; relative as `pointer_path` is."""
    return Path(os.environ.get("ASSAY_KEY", ".assay/keys/public.pem"))


def read_key(path: Path) -> bytes:
    """The public key, PEM, of whoever promotes models.

    Raises:
        NoChampion: when it can't be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise NoChampion(
            f"no model can be told from a forged one without the public key {path} ({error.strerror}); bring it from "
            f"where models are promoted, let ASSAY_KEY name it, or {REPAIR}"
        ) from error


def load_champion(pointer: Pointer, key: bytes) -> Champion:
    """The pointer's model and memory from the BentoML store: signature first, then digests, then any parser.

    Raises:
        NoChampion: when the tag is not in the store, the card, the bundle or the memory is damaged, not as the key
            signed it or not the one that the pointer names, or the model can't value a typical home.
    """
    try:
        folder = Path(bentoml.models.get(pointer.tag).path)
    except (bentoml.exceptions.BentoMLException, ValueError, OSError) as error:
        raise NoChampion(f"{pointer.tag} is not in the BentoML store: {error}; {REPAIR}") from error
    try:
        card = read_card(folder, key)
        if card["digest"] != pointer.digest:
            raise NoChampion(
                f"{pointer.tag} is the bundle {card['digest']}, but {pointer.digest} was promoted; {REPAIR}"
            )
        place = None if pointer.memory is None else signed_memory(folder, pointer.memory, key)
        valuer, digest = read_bundle(folder / BUNDLE, place, pointer.digest, pointer.memory)
        known = pointer.memory or memory_digest(folder / BUNDLE, digest)
        pages = read_pages(folder, card, key)
        card = {name: card[name] for name in CITED} | card
    except SignatureError as error:
        raise NoChampion(f"{pointer.tag} is not as it was signed: {error}; {REPAIR}") from error
    except BundleError as error:
        raise NoChampion(f"{pointer.tag} is damaged: {error}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoChampion(f"{pointer.tag} can't be read: {error!r}; {REPAIR}") from error
    _prove(valuer, pointer.tag)
    return Champion(valuer, card, known, pages)


def _prove(valuer: Valuer, tag: str) -> None:
    """Values one typical home; a model that can't do so must not be called ready."""
    home = dict(valuer.typical)
    try:
        appraisal = appraise(valuer, [home], valuer.current_day, TOLD)[0]
    except Exception as error:
        raise NoChampion(f"{tag} can't value a typical home: {error!r}; home: {json.dumps(home)}") from error
    if not is_sound(appraisal):
        raise NoChampion(f"{tag} values a typical home unsoundly: {appraisal}; home: {json.dumps(home)}")
