"""What may be signed that was not signed when it was made: only what the ledger knows.

That is so once when signing begins, for versions promoted before it, and again by a person's decision after the key
was lost. The ledger proves a bundle and the verdict on it; the card's other facts are taken as they stand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.bundle import BundleError, bundle_digest
from models.files import read_json, write_bytes
from models.version import BUNDLE, CARD, MEMORIES, SIGNATURES, signature_file
from pipelines import ledger, signing, store
from pipelines.card import model_tag


def begin() -> None:
    """The pair of keys, where none is here yet; versions promoted before it are signed if the ledger knows them.

    Raises:
        KeyFault: when versions are signed already, so that a key was here and is lost.
    """
    if signing.key_folder().exists():
        return
    if next(store.models_folder().glob(f"*/*/{SIGNATURES}"), None) is not None:
        raise signing.KeyFault(
            f"models in {store.models_folder()} are signed, and the key in {signing.key_folder()} is gone; "
            f"{signing.ANEW}; or, to begin without these models, move their folder away"
        )
    signing.make_keys(signing.key_folder())
    sign_known()


def anew() -> list[str]:
    """All that the ledger knows is signed again, with a new key where the private one is gone; the tags signed."""
    if not (signing.key_folder() / signing.PRIVATE).exists():
        signing.make_keys(signing.key_folder())
    return sign_known()


def sign_known() -> list[str]:
    """Signs each version in the store that the ledger names with its digest and verdict, and the memories it names.

    Returns:
        the tags of the versions signed.
    """
    told = ledger.lines()
    signed = []
    for folder in sorted(store.models_folder().glob("*/*/")):
        if (card := _known(folder, told)) is None:
            continue
        store.write_card(folder, card, signing.sign_version(card, folder / BUNDLE))
        signed.append(model_tag(card))
        for memory in {line.memory for line in told if line.digest == card["digest"] and line.memory}:
            _sign_memory(folder, memory)
    return signed


def _known(folder: Path, told: tuple[ledger.Line, ...]) -> dict[str, Any] | None:
    """The card in that folder, unproven till now, where the decisions speak for it and for the bundle beside it."""
    try:
        card: dict[str, Any] = read_json(folder / CARD)
        whole = store.folder_of(model_tag(card)) == folder and bundle_digest(folder / BUNDLE) == card["digest"]
        decided = [line for line in told if line.market == card["market"]["name"]]
        return card if whole and ledger.proves(decided, card) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _sign_memory(folder: Path, memory: str) -> None:
    place = folder / MEMORIES / memory
    try:
        whole = bundle_digest(place) == memory
    except BundleError:
        return
    if whole:
        write_bytes(signature_file(folder, memory), signing.sign(place))
