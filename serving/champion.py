"""The promoted model: found by its pointer, checked, and proven able to value a home."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bentoml

from models.bundle import BundleError, read_bundle
from models.files import read_json
from models.market import Market
from models.valuer import Appraisal, Valuer

REPAIR = "run `make repro` to train, judge and promote a model"
#: What an answer says of the model; the rest of the card is at GET /model.
CITED = ("name", "version", "digest", "run", "data", "commit")


class NoChampion(Exception):
    """No model can be served; the text says what is missing and what to run."""


@dataclass(frozen=True)
class Pointer:
    """Which model is promoted: its tag in the BentoML store and the digest of its bundle."""

    tag: str
    digest: str


@dataclass(frozen=True)
class Champion:
    """What is being served. One object, so that no answer can mix two models."""

    valuer: Valuer
    card: dict[str, Any]

    @property
    def market(self) -> Market:
        return self.valuer.market

    @property
    def digest(self) -> str:
        return str(self.card["digest"])

    @property
    def cited(self) -> dict[str, Any]:
        return {key: self.card[key] for key in CITED}


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
        return Pointer(tag=str(raw["tag"]), digest=str(raw["digest"]))
    except FileNotFoundError:
        raise NoChampion(f"no model has been promoted: {path} does not exist; {REPAIR}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoChampion(f"{path} can't be read: {error!r}; {REPAIR}") from error


def load_champion(pointer: Pointer) -> Champion:
    """The pointer's model from the BentoML store, its digests checked before any parser reads it.

    Raises:
        NoChampion: when the tag is not in the store, the bundle is damaged or not the one that was
            promoted, or it can't value a typical home.
    """
    try:
        directory = Path(bentoml.models.get(pointer.tag).path)
    except (bentoml.exceptions.BentoMLException, ValueError, OSError) as error:
        raise NoChampion(f"{pointer.tag} is not in the BentoML store: {error}; {REPAIR}") from error
    try:
        valuer, digest = read_bundle(directory / "bundle")
        card = read_json(directory / "card.json")
        promised = {pointer.digest, card["digest"]}
        card = {key: card[key] for key in CITED} | card
    except BundleError as error:
        raise NoChampion(f"{pointer.tag} is damaged: {error}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoChampion(f"{pointer.tag} can't be read: {error!r}; {REPAIR}") from error
    if promised != {digest}:
        other = " and ".join(sorted(promised - {digest}))
        raise NoChampion(f"{pointer.tag} holds the bundle {digest}, but {other} was promoted; {REPAIR}")
    _prove(valuer, pointer.tag)
    return Champion(valuer, card)


def _prove(valuer: Valuer, tag: str) -> None:
    """Values one typical home; a model that can't do so must not be called ready."""
    home = dict(valuer.typical)
    try:
        appraisal = valuer.appraise([home], valuer.memory_end)[0]
    except Exception as error:
        raise NoChampion(f"{tag} can't value a typical home: {error!r}; home: {json.dumps(home)}") from error
    if not _sound(appraisal):
        raise NoChampion(f"{tag} values a typical home unsoundly: {appraisal}; home: {json.dumps(home)}")


def _sound(appraisal: Appraisal) -> bool:
    figures = (appraisal.low, appraisal.value, appraisal.high)
    explained = appraisal.base + math.fsum(reason.amount for reason in appraisal.reasons)
    return (
        all(math.isfinite(figure) and figure > 0 for figure in figures)
        and list(figures) == sorted(figures)
        and abs(explained - appraisal.value) < 0.005
    )
