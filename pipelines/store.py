"""The BentoML store: the versions that may be served, and the pointer to the one that is.

A version's folder holds `bundle/`, `card.json`, the pages that tell of it (`report.html`) and, under
`memory/`, newer memories of sales by their digest; `.assay/champion.json` names the champion, its digest and
the memory it is served with where that is not its own. What is in a folder is believed only when its digests
agree.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from models.bundle import FORMAT, MANIFEST, BundleError, bundle_digest, read_bundle, write_memory
from models.fault import Fault
from models.files import read_json, sync, write_bytes, write_json
from models.valuer import Valuer
from pipelines.card import model_name, model_tag
from pipelines.places import REPORT, STATE
from pipelines.tracking import home


class StoreError(Fault):
    """The store already holds another model under that version; the text says where and what to do."""


@dataclass(frozen=True)
class Stored:
    """A version in the store whose bundle is what its card says."""

    folder: Path
    card: dict[str, Any]

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    @property
    def report(self) -> Path:
        return self.folder / REPORT.name

    def memory(self, digest: str) -> Path:
        """Where a newer memory of sales of this model is kept."""
        return self.folder / "memory" / digest

    @property
    def tag(self) -> str:
        return model_tag(self.card)


def bentoml_home() -> Path:
    return Path(os.environ.get("BENTOML_HOME") or home() / STATE / "bentoml")


def pointer_file() -> Path:
    return home() / STATE / "champion.json"


def pointed(market: str) -> str | None:
    """The digest of the market's champion as the pointer has it; None where it is of another market or absent."""
    pointer = _pointer()
    return str(pointer.get("digest")) if pointer.get("market") == market else None


def pointed_elsewhere(market: str) -> str | None:
    """The tag that the pointer names, where it is of another market."""
    pointer = _pointer()
    return str(pointer.get("tag")) if pointer.get("market") not in (None, market) else None


def pointed_at() -> tuple[str, str]:
    """Tag and digest that the pointer names, whatever stands behind them."""
    pointer = _pointer()
    return str(pointer.get("tag")), str(pointer.get("digest"))


def serving() -> Stored | None:
    """What the pointer names, if it is whole."""
    pointer = _pointer()
    stored = _stored(_folder(str(pointer.get("tag"))))
    return stored if stored is not None and stored.card["digest"] == pointer.get("digest") else None


def latest_promoted(market: str) -> Stored | None:
    kept = [s for s in _versions(model_name(market)) if s.card.get("promoted_at")]
    return max(kept, key=lambda s: s.card["promoted_at"], default=None)


def find(market: str, digest: str) -> Stored | None:
    """The version with that bundle, or None."""
    return next((s for s in _versions(model_name(market)) if s.card["digest"] == digest), None)


def outdated(market: str, digest: str) -> str | None:
    """The tag of the version with that bundle, where it is of a format that this version of the code doesn't read."""
    for folder in sorted((bentoml_home() / "models" / model_name(market)).glob("*")):
        card, manifest = _read(folder / "card.json") or {}, _read(folder / "bundle" / MANIFEST) or {}
        if card.get("digest") == digest and manifest.get("format", FORMAT) != FORMAT:
            return model_tag(card)
    return None


def numbers(name: str) -> dict[str, str]:
    """Version -> digest of all that is whole in the store under that name."""
    return {str(stored.card["version"]): stored.card["digest"] for stored in _versions(name)}


def numbered(market: str, number: str) -> Stored | None:
    """The version of that number, or None."""
    return next((s for s in _versions(model_name(market)) if str(s.card["version"]) == number), None)


def read(stored: Stored) -> Valuer:
    """The version with the memory that it is served with."""
    memory = refreshed_memory(stored)
    return read_bundle(stored.bundle, None if memory is None else stored.memory(memory))[0]


def put(card: Mapping[str, Any], bundle: Path, pages: Mapping[str, bytes] = MappingProxyType({})) -> Stored:
    """Imports the bundle as the card's version, unless it is there; what is damaged is replaced.

    Args:
        pages: name -> content of the files that tell of the version; those kept already, and not named, stay.

    Raises:
        BundleError: when the bundle is damaged or is not the one of the card.
        StoreError: when another whole model has that version; a past answer may name it.
    """
    if (found := bundle_digest(bundle)) != card["digest"]:
        raise BundleError(f"the bundle {bundle} has digest {found}, its card says {card['digest']}; run `dvc repro`")
    tag = model_tag(card)
    folder = _folder(tag)
    stored = _stored(folder)
    if stored is not None and stored.card["digest"] != card["digest"]:
        raise StoreError(
            f"{folder} holds bundle {stored.card['digest']}, and MLflow's {tag} is bundle {card['digest']}: "
            f"one version can't be two models. If this store belongs to this MLflow, move {folder} away and run "
            f"`dvc repro`; else set MLFLOW_TRACKING_URI or BENTOML_HOME"
        )
    if stored is None:
        _import(tag, card, bundle, pages, folder)
    else:
        if stored.card != card:
            write_json(folder / "card.json", dict(card))
        for name, page in pages.items():
            if not (folder / name).is_file() or (folder / name).read_bytes() != page:
                write_bytes(folder / name, page)
    if (stored := _stored(folder)) is None:
        raise BundleError(f"{folder} could not be written whole; check the disk, then run `dvc repro`")
    return stored


def point_to(stored: Stored, memory: str | None = None) -> None:
    """Makes the version the one that is served, in one atomic step.

    Args:
        memory: the digest of the memory to serve it with; None leaves the one it is served with. One that is not
            whole any more gives way to the bundle's own.
    """
    memory = memory if memory and _remembers(stored, memory) else refreshed_memory(stored)
    pointer = {"tag": stored.tag, "digest": stored.card["digest"], "market": stored.card["market"]["name"]}
    if memory is not None:
        pointer["memory"] = memory
    if _read(pointer_file()) != pointer:
        write_json(pointer_file(), pointer)


def refreshed_memory(stored: Stored) -> str | None:
    """The digest of the newer memory that the version is served with; None for its own, or where that isn't whole."""
    pointer = _pointer()
    digest = str(pointer.get("memory"))
    if pointer.get("digest") != stored.card["digest"] or "memory" not in pointer:
        return None
    return digest if _remembers(stored, digest) else None


def put_memory(stored: Stored, valuer: Valuer) -> str:
    """Keeps the valuer's memory beside the version it belongs to, and returns its digest."""
    with tempfile.TemporaryDirectory(dir=stored.folder, prefix=".memory.") as temporary:
        digest = write_memory(Path(temporary) / "memory", valuer)
        place = stored.memory(digest)
        place.parent.mkdir(exist_ok=True)
        if place.exists():
            shutil.rmtree(place)
        (Path(temporary) / "memory").replace(place)
        sync(place.parent)
    return digest


def _pointer() -> dict[str, Any]:
    return _read(pointer_file()) or {}


def _remembers(stored: Stored, memory: str) -> bool:
    """Whether that memory is whole beside the version."""
    try:
        return bundle_digest(stored.memory(memory)) == memory
    except BundleError:
        return False


def _import(tag: str, card: Mapping[str, Any], bundle: Path, pages: Mapping[str, bytes], folder: Path) -> None:
    import bentoml
    from bentoml._internal.models import ModelStore

    models = bentoml_home() / "models"
    models.mkdir(parents=True, exist_ok=True)
    # BentoML refuses to write over a folder, also one that a kill left half copied.
    if folder.exists():
        shutil.rmtree(folder)
    labels = {"market": card["market"]["name"], "digest": card["digest"][:60]}
    with bentoml.models.create(tag, labels=labels, _model_store=ModelStore(models)) as model:
        shutil.copytree(bundle, model.path_of("bundle"))
        write_json(Path(model.path_of("card.json")), dict(card))
        for name, page in pages.items():
            write_bytes(model.path_of(name), page)
    for path in (*folder.rglob("*"), folder, folder.parent, models):  # BentoML copies and doesn't sync
        sync(path)


def _folder(tag: str) -> Path:
    name, _, version = tag.partition(":")
    return bentoml_home() / "models" / name / version


def _versions(name: str) -> Iterator[Stored]:
    folder = bentoml_home() / "models" / name
    for version in sorted(folder.iterdir()) if folder.is_dir() else ():
        if version.is_dir() and (stored := _stored(version)) is not None:
            yield stored


def _stored(folder: Path) -> Stored | None:
    card = _read(folder / "card.json")
    if card is None or not (folder / "model.yaml").is_file():
        return None
    try:
        whole = bundle_digest(folder / "bundle") == card.get("digest") and _folder(model_tag(card)) == folder
    except (BundleError, KeyError):
        return None
    return Stored(folder, card) if whole else None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = read_json(path)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
