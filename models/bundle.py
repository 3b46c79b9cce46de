"""A model on disk: a directory of LightGBM text, Parquet and JSON, sealed by a manifest of SHA-256 digests.

Reading checks the digests on the very bytes it then parses: LightGBM aborts, hangs or silently
changes values on a damaged file.
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import lightgbm as lgb
import pandas as pd

from models.fault import Fault
from models.features import Features
from models.files import digest, json_bytes, parquet_bytes, sync, write_bytes
from models.market import Market
from models.market_index import MarketIndex
from models.valuer import Valuer

FORMAT = 1
MANIFEST = "manifest.json"
REPAIR = "run `dvc repro` to make it anew"
FILES = ("index.parquet", "market.json", "model.txt", "valuer.json")


class BundleError(Fault):
    """A bundle that is missing, damaged or of another format; the text says what to do."""


def write_bundle(directory: str | Path, valuer: Valuer) -> str:
    """Writes the bundle, replacing what was there, and returns its digest."""
    directory = Path(directory)
    facts = {
        "band": list(valuer.band),
        "categories": {name: list(values) for name, values in valuer.features.categories.items()},
        "horizon_days": valuer.horizon_days,
        "level": valuer.level,
        "memory_end": valuer.memory_end.isoformat(),
        "support": {name: list(bounds) for name, bounds in valuer.support.items()},
        "typical": dict(valuer.typical),
    }
    parts = {
        "index.parquet": parquet_bytes(valuer.index.to_frame()),
        "market.json": json_bytes(valuer.market.to_dict()),
        "model.txt": valuer.forest.model_to_string(num_iteration=-1).encode(),
        "valuer.json": json_bytes(facts),
    }
    manifest = json_bytes({"format": FORMAT, "files": {name: digest(data) for name, data in parts.items()}})
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


def bundle_digest(directory: str | Path) -> str:
    """The SHA-256 of the manifest, which stands for the whole bundle.

    Raises:
        BundleError: when a file is missing or differs from the manifest.
    """
    return digest(_checked(Path(directory))[MANIFEST])


def read_bundle(directory: str | Path) -> tuple[Valuer, str]:
    """The model and the bundle's digest.

    Raises:
        BundleError: when a file is missing or differs from the manifest, before any of them is parsed.
    """
    parts = _checked(Path(directory))
    try:
        return _parsed(parts), digest(parts[MANIFEST])
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"the bundle {directory} is whole, but not as this version writes it: {error!r}; {REPAIR}"
        ) from error


def _parsed(parts: Mapping[str, bytes]) -> Valuer:
    market = Market.from_dict(json.loads(parts["market.json"]))
    facts = json.loads(parts["valuer.json"])
    return Valuer(
        market=market,
        features=Features(market.fields, {name: tuple(values) for name, values in facts["categories"].items()}),
        index=MarketIndex.from_frame(pd.read_parquet(io.BytesIO(parts["index.parquet"]))),
        forest=lgb.Booster(model_str=parts["model.txt"].decode()),
        band=(facts["band"][0], facts["band"][1]),
        level=facts["level"],
        memory_end=date.fromisoformat(facts["memory_end"]),
        horizon_days=facts["horizon_days"],
        support={name: (low, high) for name, (low, high) in facts["support"].items()},
        typical={f.name: facts["typical"][f.name] for f in market.fields},
    )


def _checked(directory: Path) -> dict[str, bytes]:
    """The bytes of every file, each equal to what the manifest promises."""
    try:
        parts = {name: (directory / name).read_bytes() for name in (MANIFEST, *FILES)}
    except OSError as error:
        raise BundleError(f"the bundle {directory} can't be read: {error}; {REPAIR}") from error
    try:
        manifest = json.loads(parts[MANIFEST])
        found_format, promised = manifest["format"], dict(manifest["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{directory / MANIFEST} is damaged: {error!r}; {REPAIR}") from error
    if found_format != FORMAT or sorted(promised) != sorted(FILES):
        raise BundleError(
            f"{directory / MANIFEST} is of format {found_format!r} with {sorted(promised)}; "
            f"this version reads format {FORMAT} with {sorted(FILES)}; {REPAIR}"
        )
    for name in FILES:
        if digest(parts[name]) != promised[name]:
            raise BundleError(
                f"{directory / name} has digest {digest(parts[name])}, its manifest promises {promised[name]}: "
                f"it was damaged or altered; {REPAIR}"
            )
    return parts
