"""The BentoML store: the versions that may be served, and the pointer to the one that is.

A version's folder is as `models/version.py` has it; `.assay/champion.json` names the champion, its digest and
the memory it is served with where that is not its own. What is in a folder is believed only when it is signed
by the project's key and its digests agree.
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
from models.files import digest as sha256
from models.files import file_digest, json_bytes, read_json, sync, write_bytes, write_json
from models.signature import SignatureError
from models.valuer import Valuer
from models.version import BUNDLE, CARD, MEMORIES, read_card, read_pages, signature_file, signed_memory
from pipelines import signing
from pipelines.card import model_name, model_tag
from pipelines.places import STATE
from pipelines.tracking import home


class StoreError(Fault):
    """The store already holds another model under that version; the text says where and what to do."""


@dataclass(frozen=True)
class Stored:
    """A version in the store, signed, whose bundle is what its card says."""

    folder: Path
    card: dict[str, Any]

    @property
    def bundle(self) -> Path:
        return self.folder / BUNDLE

    def memory(self, digest: str) -> Path:
        """Where a newer memory of sales of this model is kept."""
        return self.folder / MEMORIES / digest

    @property
    def tag(self) -> str:
        return model_tag(self.card)


def bentoml_home() -> Path:
    return Path(os.environ.get("BENTOML_HOME") or home() / STATE / "bentoml")


def models_folder() -> Path:
    return bentoml_home() / "models"


def folder_of(tag: str) -> Path:
    name, _, version = tag.partition(":")
    return models_folder() / name / version


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
    stored = _stored(folder_of(str(pointer.get("tag"))))
    return stored if stored is not None and stored.card["digest"] == pointer.get("digest") else None


def latest_promoted(market: str) -> Stored | None:
    kept = [s for s in _versions(model_name(market)) if s.card.get("promoted_at")]
    return max(kept, key=lambda s: s.card["promoted_at"], default=None)


def find(market: str, digest: str) -> Stored | None:
    """The version with that bundle, or None."""
    return next((s for s in _versions(model_name(market)) if s.card["digest"] == digest), None)


def outdated(market: str, digest: str) -> str | None:
    """The tag of the version with that bundle, where it is of a format that this version of the code doesn't read.

    The manifest must be the bundle's own: one that was altered is no older format.
    """
    for folder in sorted((models_folder() / model_name(market)).glob("*")):
        manifest = folder / BUNDLE / MANIFEST
        if not manifest.is_file() or file_digest(manifest) != digest:
            continue
        if (_read(manifest) or {}).get("format", FORMAT) != FORMAT:
            return f"{model_name(market)}:{folder.name}"
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
    place = None if memory is None else stored.memory(memory)
    return read_bundle(stored.bundle, place, stored.card["digest"], memory)[0]


def put(card: Mapping[str, Any], bundle: Path, pages: Mapping[str, bytes] | None = None) -> Stored:
    """Imports and signs the bundle as the card's version, unless it is there; what is damaged is replaced.

    Args:
        pages: name -> content of the files that tell people of the version, signed with it; None leaves those it has.

    Raises:
        BundleError: when the bundle is damaged or is not the one of the card.
        StoreError: when another whole model has that version; a past answer may name it.
    """
    if (found := bundle_digest(bundle)) != card["digest"]:
        raise BundleError(f"the bundle {bundle} has digest {found}, its card says {card['digest']}; run `dvc repro`")
    tag = model_tag(card)
    folder = folder_of(tag)
    stored = _stored(folder)
    if stored is not None and stored.card["digest"] != card["digest"]:
        raise StoreError(
            f"{folder} holds bundle {stored.card['digest']}, and MLflow's {tag} is bundle {card['digest']}: "
            f"one version can't be two models. If this store belongs to this MLflow, move {folder} away and run "
            f"`dvc repro`; else set MLFLOW_TRACKING_URI or BENTOML_HOME"
        )
    if stored is None:
        _import(tag, card, bundle, pages or {}, folder)
    elif stored.card != card or pages not in (None, pages_of(stored)):
        _renew(stored, card, pages_of(stored) if pages is None else pages)
    if (stored := _stored(folder)) is None:
        raise BundleError(f"{folder} could not be written whole; check the disk, then run `dvc repro`")
    return stored


def trouble(tag: str) -> str | None:
    """What is wrong with the version of that tag; None where it can be believed."""
    try:
        _examined(folder_of(tag))
    except (BundleError, SignatureError, StoreError) as error:
        return str(error)
    return None


def pages_of(stored: Stored) -> dict[str, bytes]:
    """Name -> content of the files that tell people of the version, as far as they are signed with it."""
    return read_pages(stored.folder, stored.card, signing.public_key())


def write_card(
    folder: Path, card: Mapping[str, Any], signature: bytes, pages: Mapping[str, bytes] = MappingProxyType({})
) -> None:
    """Puts the card into the version's folder; its signature is there first, so a kill leaves no card without one."""
    raw = json_bytes(dict(card))
    write_bytes(signature_file(folder, sha256(raw)), signature)
    for name, page in pages.items():
        write_bytes(folder / name, page)
    write_bytes(folder / CARD, raw)


def point_to(stored: Stored, memory: str | None = None) -> None:
    """Makes the version the one that is served, in one atomic step.

    Args:
        memory: the digest of the memory to serve it with; None leaves the one it is served with. One that is not
            whole any more gives way to the bundle's own.
    """
    memory = memory if memory and remembers(stored, memory) else refreshed_memory(stored)
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
    return digest if remembers(stored, digest) else None


def put_memory(stored: Stored, valuer: Valuer) -> str:
    """Keeps the valuer's memory, signed, beside the version it belongs to, and returns its digest."""
    with tempfile.TemporaryDirectory(dir=stored.folder, prefix=".memory.") as temporary:
        digest = write_memory(Path(temporary) / "memory", valuer)
        write_bytes(signature_file(stored.folder, digest), signing.sign(Path(temporary) / "memory"))
        place = stored.memory(digest)
        place.parent.mkdir(exist_ok=True)
        if place.exists():
            shutil.rmtree(place)
        (Path(temporary) / "memory").replace(place)
        sync(place.parent)
    return digest


def _pointer() -> dict[str, Any]:
    return _read(pointer_file()) or {}


def remembers(stored: Stored, memory: str) -> bool:
    """Whether that memory is whole beside the version, and signed."""
    try:
        return bundle_digest(signed_memory(stored.folder, memory, signing.public_key())) == memory
    except (BundleError, SignatureError):
        return False


def _import(tag: str, card: Mapping[str, Any], bundle: Path, pages: Mapping[str, bytes], folder: Path) -> None:
    import bentoml
    from bentoml._internal.models import ModelStore

    models, signature = models_folder(), signing.sign_version(card, bundle, pages)
    models.mkdir(parents=True, exist_ok=True)
    # BentoML refuses to write over a folder, also one that a kill left half copied.
    if folder.exists():
        shutil.rmtree(folder)
    labels = {"market": card["market"]["name"], "digest": card["digest"][:60]}
    with bentoml.models.create(tag, labels=labels, _model_store=ModelStore(models)) as model:
        fresh = Path(model.path_of("."))
        shutil.copytree(bundle, fresh / BUNDLE)
        write_card(fresh, card, signature, pages)
    for path in (*folder.rglob("*"), folder, folder.parent, models):  # BentoML copies and doesn't sync
        sync(path)


def _renew(stored: Stored, card: Mapping[str, Any], pages: Mapping[str, bytes]) -> None:
    """Another card or other pages for a version that is there.

    A kill leaves the one card or the other, each with its signature; pages that its signature doesn't name are none.
    """
    write_card(stored.folder, card, signing.sign_version(card, stored.bundle, pages), pages)
    if stored.card != card:
        signature_file(stored.folder, sha256(json_bytes(stored.card))).unlink(missing_ok=True)


def _versions(name: str) -> Iterator[Stored]:
    folder = models_folder() / name
    for version in sorted(folder.iterdir()) if folder.is_dir() else ():
        if version.is_dir() and (stored := _stored(version)) is not None:
            yield stored


def _stored(folder: Path) -> Stored | None:
    try:
        return _examined(folder)
    except (BundleError, SignatureError, StoreError):
        return None


def _examined(folder: Path) -> Stored:
    """The version in that folder.

    Raises:
        SignatureError, BundleError, StoreError: when it is not as it was signed, damaged or not finished.
        KeyFault: when there is no key to tell by.
    """
    card = read_card(folder, signing.public_key())
    if (found := bundle_digest(folder / BUNDLE)) != card["digest"]:
        raise BundleError(f"{folder / BUNDLE} has digest {found}, its card says {card['digest']}")
    if not (folder / "model.yaml").is_file() or folder_of(model_tag(card)) != folder:
        raise StoreError(f"{folder} is not the finished {model_tag(card)}")
    return Stored(folder, card)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = read_json(path)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
