"""The key of this project, and what is signed with it: every candidate, every version that serves, every memory.

`.assay/keys/` holds `private.pem`, which the pipelines alone read, and `public.pem`, which is all that a server
needs. The pair is made when the first candidate is judged, and never anew by itself: with another key, what was
signed before could no more be told from a forgery.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from models.bundle import MANIFEST
from models.fault import Fault
from models.files import json_bytes, sync, write_bytes
from models.signature import SignatureError, vouched
from models.version import BUNDLE, CARD
from pipelines.places import STATE
from pipelines.tracking import home

PRIVATE, PUBLIC = "private.pem", "public.pem"
ANEW = "bring it back from a backup, or sign anew: make sign WHY='...'"


class KeyFault(Fault):
    """The key is missing, open to others or not a pair; the text says what to do."""


def key_folder() -> Path:
    return home() / STATE / "keys"


def make_keys(folder: Path) -> None:
    """A new pair, P-256, whole or not at all; it takes the place of what was there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".keys.") as temporary:
        fresh = Path(temporary) / "keys"
        fresh.mkdir(mode=0o700)
        handle = os.open(fresh / PRIVATE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            file.flush()
            os.fsync(file.fileno())
        write_bytes(fresh / PUBLIC, _public(key))
        if folder.exists():
            shutil.rmtree(folder)
        fresh.replace(folder)
        sync(folder.parent)


def public_key() -> bytes:
    """The public key, PEM: the private one's where that is here.

    Raises:
        KeyFault: when there is none, it is not the private one's, or the private one is open to others.
    """
    place = key_folder() / PUBLIC
    if not (key_folder() / PRIVATE).exists():
        if not place.exists():
            raise KeyFault(f"{place} is not there; {ANEW}")
        return place.read_bytes()
    own = _public(_private())
    if not place.exists():
        write_bytes(place, own)
    elif place.read_bytes() != own:
        raise KeyFault(
            f"{place} is not the key of {PRIVATE} beside it: one of them was altered. Compare it with a backup; where "
            f"it is the public one, delete it, and `dvc repro` writes it anew"
        )
    return own


def sign(files: Path) -> bytes:
    """A signature over every file in the folder, as OpenSSF model signing writes it.

    Raises:
        KeyFault: when there is no private key, it is open to others or not the public one's.
    """
    from model_signing import signing  # half a second, and not every command signs

    public_key()
    _private()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary) / "signature.json"
        signer = signing.Config()  # type: ignore[no-untyped-call]
        signer.use_elliptic_key_signer(private_key=key_folder() / PRIVATE).sign(files, place)
        return place.read_bytes()


def sign_version(card: Mapping[str, Any], bundle: Path, pages: Mapping[str, bytes] = MappingProxyType({})) -> bytes:
    """A signature over card, pages and the bundle that the card names, taken from a copy that nobody else can write.

    Raises:
        KeyFault: as `sign` does.
        SignatureError: when the bundle is not the one of the card.
    """
    with tempfile.TemporaryDirectory() as temporary:
        version = Path(temporary) / f"v{card['version']}"
        shutil.copytree(bundle, version / BUNDLE)
        write_bytes(version / CARD, json_bytes(dict(card)))
        for name, page in pages.items():
            write_bytes(version / name, page)
        signature = sign(version)
    if (found := vouched(signature, public_key()).get(f"{BUNDLE}/{MANIFEST}")) != card["digest"]:
        raise SignatureError(f"{bundle} has become {found}, its card says {card['digest']}; run `dvc repro`")
    return signature


def _private() -> ec.EllipticCurvePrivateKey:
    place = key_folder() / PRIVATE
    try:
        with place.open("rb") as file:
            raw, mode = file.read(), os.fstat(file.fileno()).st_mode
    except FileNotFoundError:
        raise KeyFault(f"the private key {place} is not there; {ANEW}") from None
    for path, open_to in ((place, mode), (place.parent, place.parent.stat().st_mode)):
        if stat.S_IMODE(open_to) & 0o077:
            raise KeyFault(
                f"{path} has the mode {stat.S_IMODE(open_to):o}, so others may read or change the private key. "
                f"If nobody has: chmod 700 {place.parent} && chmod 600 {place}. Else sign anew, with another key: "
                f"delete {place.parent}, then make sign WHY='...'"
            )
    try:
        key = load_pem_private_key(raw, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("it is not an EC key")
    except (ValueError, TypeError) as error:
        raise KeyFault(
            f"the private key {place} can't be read ({error}); bring it back from a backup, or delete {place.parent} "
            f"and sign anew: make sign WHY='...'"
        ) from None
    return key


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
