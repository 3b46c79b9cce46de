"""The promoted model: found by its pointer, its signature checked, and proven able to value a home."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.appraisal import appraise
from models.bundle import BundleError, memory_digest, read_bundle
from models.comparables import TOLD
from models.files import digest, json_bytes, read_json
from models.layout import read_layout
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
    def card_digest(self) -> str:
        """Of the card as it was signed."""
        return digest(json_bytes(dict(self.card)))

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


def folder_of(tag: str) -> Path:
    """Where the BentoML store keeps a version.

    Raises:
        NoChampion: when it is not there.
    """
    import bentoml  # not for whoever is told the folder

    try:
        return Path(bentoml.models.get(tag).path)
    except Exception as error:  # whatever BentoML's reading of its own, perhaps damaged, model.yaml comes to
        raise NoChampion(f"{tag} is not in the BentoML store: {error!r}; {REPAIR}") from error


def load_champion(pointer: Pointer, key: bytes) -> Champion:
    """The pointer's model and memory from the BentoML store, proven; raises as `read_champion` does."""
    champion = read_champion(folder_of(pointer.tag), pointer, key)
    prove(champion.valuer, pointer.tag)
    return champion


def read_champion(folder: Path, pointer: Pointer, key: bytes) -> Champion:
    """The version in a folder: signature first, then digests, then any parser.

    Raises:
        NoChampion: when the card, the bundle or the memory is damaged, not as the key signed it or not the one that
            the pointer names.
    """
    with _told_of(pointer):
        card = _card(folder, pointer, key)
        place = None if pointer.memory is None else signed_memory(folder, pointer.memory, key)
        valuer, found = read_bundle(folder / BUNDLE, place, pointer.digest, pointer.memory)
        known = pointer.memory or memory_digest(folder / BUNDLE, found)
        return Champion(valuer, card, known, read_pages(folder, card, key))


def read_laid_out(layout: Path, pointer: Pointer, key: bytes) -> Champion:
    """The same from a layout of it.

    Raises:
        NoChampion: as `read_champion` does.
        LayoutError: when the layout has to be made again.
    """
    with _told_of(pointer):
        valuer, facts = read_layout(layout)
        card = _card(layout, pointer, key)
        if facts["digest"] != pointer.digest or pointer.memory not in (None, facts["memory"]):
            raise NoChampion(f"{layout} is a layout of {facts}, not of {pointer}; remove it")
        if pointer.memory is not None:
            signed_memory(layout, pointer.memory, key)
        return Champion(valuer, card, str(facts["memory"]), read_pages(layout, card, key))


def _card(folder: Path, pointer: Pointer, key: bytes) -> dict[str, Any]:
    card = read_card(folder, key)
    if card["digest"] != pointer.digest:
        raise NoChampion(f"{pointer.tag} is the bundle {card['digest']}, but {pointer.digest} was promoted; {REPAIR}")
    return {name: card[name] for name in CITED} | card


@contextmanager
def _told_of(pointer: Pointer) -> Iterator[None]:
    """What is wrong with a version, told as one kind of error that names it."""
    try:
        yield
    except SignatureError as error:
        raise NoChampion(f"{pointer.tag} is not as it was signed: {error}; {REPAIR}") from error
    except BundleError as error:
        raise NoChampion(f"{pointer.tag} is damaged: {error}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoChampion(f"{pointer.tag} can't be read: {error!r}; {REPAIR}") from error


def prove(valuer: Valuer, tag: str) -> None:
    """Values one typical home, which also warms what the next one needs.

    Raises:
        NoChampion: when the model can't do so; it must not be called ready.
    """
    home = dict(valuer.typical)
    try:
        appraisal = appraise(valuer, [home], valuer.current_day, TOLD)[0]
    except Exception as error:
        raise NoChampion(f"{tag} can't value a typical home: {error!r}; home: {json.dumps(home)}") from error
    if not is_sound(appraisal):
        raise NoChampion(f"{tag} values a typical home unsoundly: {appraisal}; home: {json.dumps(home)}")
