"""A version on disk: `bundle/`, `card.json`, pages for people such as `report.html`, newer memories of sales in
`memory/`, and the `signatures/` over them.

A signature is kept under the digest of what it speaks for: of the card, which names its bundle and has the pages
with it, or of a memory. So a new card takes the old one's place in one step, and its signature is there before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.bundle import MANIFEST
from models.files import digest, json_bytes, parse_json
from models.signature import SignatureError, vouched

#: For people: the report, its text, and the Data Docs that it links to.
PAGES = REPORT, REPORT_TEXT, DATA_DOCS = "report.html", "report.md", "validation.html"
BUNDLE, CARD, MEMORIES, SIGNATURES = "bundle", "card.json", "memory", "signatures"


def signature_file(folder: Path, subject: str) -> Path:
    """Where the signature over the card, or the memory, with that digest is kept."""
    return folder / SIGNATURES / f"{subject}.json"


def read_card(folder: Path, key: bytes) -> dict[str, Any]:
    """The version's card, parsed only once the key has vouched for it and for the bundle whose digest it names.

    Raises:
        SignatureError: when the card or its signature is missing, or not as it was signed.
    """
    raw = _bytes(folder / CARD)
    files = _vouched(folder, digest(raw), key)
    card = parse_json(raw) if files.get(CARD) == digest(raw) else None
    if not isinstance(card, dict) or files.get(f"{BUNDLE}/{MANIFEST}") != card.get("digest"):
        raise SignatureError(f"the signature over {folder / CARD} is of another version")
    return card


def read_pages(folder: Path, card: Mapping[str, Any], key: bytes) -> dict[str, bytes]:
    """Name -> content of the files that tell people of the version; one that was not signed with the card is left out.

    Raises:
        SignatureError: when the key has not vouched for the card.
    """
    files = _vouched(folder, digest(json_bytes(dict(card))), key)
    found = {name: (folder / name).read_bytes() for name in PAGES if (folder / name).is_file()}
    return {name: page for name, page in found.items() if digest(page) == files.get(name)}


def signed_memory(folder: Path, memory: str, key: bytes) -> Path:
    """Where the memory with that digest lies, once the key has vouched for the digest.

    Raises:
        SignatureError: when it was not signed as a memory.
    """
    if _vouched(folder, memory, key).get(MANIFEST) != memory:
        raise SignatureError(f"the signature over the memory {memory} of {folder} is of something else")
    return folder / MEMORIES / memory


def _vouched(folder: Path, subject: str, key: bytes) -> dict[str, str]:
    path = signature_file(folder, subject)
    try:
        return vouched(_bytes(path, ": what it would vouch for was altered, or never signed"), key)
    except SignatureError as error:
        raise SignatureError(f"{path}: {error}") from None


def _bytes(path: Path, absent: str = "") -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SignatureError(f"{path} is not there{absent}") from None
    except OSError as error:
        raise SignatureError(f"{path} can't be read: {error}") from None
