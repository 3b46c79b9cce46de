"""A model on disk: a directory of LightGBM text, Parquet and JSON, sealed by a manifest of SHA-256 digests.

Reading checks the digests on the very bytes it then parses: LightGBM aborts, hangs or silently
changes values on a damaged file. The memory of sales is a sealed directory of its own, so that a newer
one can take its place without the model being touched.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.bundle_parts import MEMORY_FILES, memory_parts, model_parts, read_memory, read_model
from models.fault import Fault
from models.files import digest, json_bytes, parse_json, sync, write_bytes
from models.valuer import Valuer

FORMAT = 3
MANIFEST = "manifest.json"
MEMORY = "memory"
REPAIR = "run `dvc repro` to make it anew"


class BundleError(Fault):
    """A bundle that is missing, damaged or of another format; the text says what to do."""


def write_bundle(directory: str | Path, valuer: Valuer) -> str:
    """Writes the model and the memory it was trained on, replacing what was there; returns the bundle's digest."""
    memory = memory_parts(valuer)
    manifest = _manifest(memory)
    parts = {f"{MEMORY}/{name}": data for name, data in {**memory, MANIFEST: manifest}.items()}
    return _write(Path(directory), model_parts(valuer) | parts)


def write_memory(directory: str | Path, valuer: Valuer) -> str:
    """Writes the memory alone, and returns its digest."""
    return _write(Path(directory), memory_parts(valuer))


def bundle_digest(directory: str | Path) -> str:
    """The SHA-256 of the manifest, which stands for the whole bundle (or memory).

    Raises:
        BundleError: when a file is missing or differs from the manifest.
    """
    return digest(_checked(Path(directory))[MANIFEST])


def read_bundle(
    directory: str | Path, memory: str | Path | None = None, seal: str | None = None, memory_seal: str | None = None
) -> tuple[Valuer, str]:
    """The model and the bundle's digest.

    Args:
        memory: a newer memory of this model, as `write_memory` left it, to read in place of the bundle's own.
        seal, memory_seal: the digests that the bundle and that memory must have, where these are known.

    Raises:
        BundleError: when a file is missing or differs from the manifest, or the manifest from its seal, before any
            of them is parsed.
    """
    directory = Path(directory)
    parts = _checked(directory, seal)
    own = {name.removeprefix(f"{MEMORY}/"): data for name, data in parts.items() if name.startswith(f"{MEMORY}/")}
    model = {name: data for name, data in parts.items() if name != MANIFEST and not name.startswith(f"{MEMORY}/")}
    valuer = _parsed(directory, lambda: read_model(model, own))
    if memory is not None:
        newer = _checked(Path(memory), memory_seal)
        if not set(MEMORY_FILES) <= set(newer):
            raise BundleError(f"{memory} is not a memory of sales; {REPAIR}")
        valuer = _parsed(Path(memory), lambda: replace(valuer, **read_memory(newer, valuer, model)))
    return valuer, digest(parts[MANIFEST])


def memory_digest(directory: str | Path, seal: str | None = None) -> str:
    """The digest of the memory that a bundle holds, as the bundle's manifest has it.

    Raises:
        BundleError: when the manifest is damaged, names no memory or is not the one of the seal.
    """
    promised = _promised(Path(directory), seal)[1]
    if (found := promised.get(f"{MEMORY}/{MANIFEST}")) is None:
        raise BundleError(f"the bundle {directory} holds no memory of sales; {REPAIR}")
    return found


def _parsed(directory: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"the bundle {directory} is whole, but not as this version writes it: {error!r}; {REPAIR}"
        ) from error


def _write(directory: Path, parts: Mapping[str, bytes]) -> str:
    manifest = _manifest(parts)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}.") as temporary:
        fresh = Path(temporary) / "bundle"
        for name, data in (*parts.items(), (MANIFEST, manifest)):
            write_bytes(fresh / name, data)
        if directory.exists():
            shutil.rmtree(directory)
        fresh.replace(directory)
        sync(directory.parent)
    return digest(manifest)


def _manifest(parts: Mapping[str, bytes]) -> bytes:
    return json_bytes({"format": FORMAT, "files": {name: digest(data) for name, data in parts.items()}})


def _checked(directory: Path, seal: str | None = None) -> dict[str, bytes]:
    """The bytes of every file that the manifest names, each equal to what it promises."""
    raw, promised = _promised(directory, seal)
    parts = {MANIFEST: raw}
    for name, wanted in promised.items():
        try:
            parts[name] = (directory / name).read_bytes()
        except OSError as error:
            raise BundleError(f"the bundle {directory} can't be read: {error}; {REPAIR}") from error
        if digest(parts[name]) != wanted:
            raise BundleError(
                f"{directory / name} has digest {digest(parts[name])}, its manifest promises {wanted}: "
                f"it was damaged or altered; {REPAIR}"
            )
    return parts


def _promised(directory: Path, seal: str | None) -> tuple[bytes, dict[str, str]]:
    """The manifest's bytes, and name -> digest of the files in it."""
    try:
        raw = (directory / MANIFEST).read_bytes()
    except OSError as error:
        raise BundleError(f"the bundle {directory} can't be read: {error}; {REPAIR}") from error
    if seal is not None and (found := digest(raw)) != seal:
        raise BundleError(f"{directory} holds {found} by its {MANIFEST}, and {seal} was promised; {REPAIR}")
    try:
        manifest = parse_json(raw)
        found_format, promised = manifest["format"], dict(manifest["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{directory / MANIFEST} is damaged: {error!r}; {REPAIR}") from error
    if found_format != FORMAT or not promised or not all(_plain(name) for name in promised):
        raise BundleError(
            f"{directory / MANIFEST} is of format {found_format!r} with {sorted(map(str, promised))}; "
            f"this version reads format {FORMAT}; {REPAIR}"
        )
    return raw, promised


def _plain(name: object) -> bool:
    """A file of the bundle itself, not one that a manifest could point to elsewhere."""
    if not isinstance(name, str) or "\0" in name:
        return False
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts
