"""A model laid out for serving: flat forests, the grid and the leaves as arrays to be mapped, the rest as it stands.

A bundle is read once, by whoever lays it out. Workers map what was laid out: all share the same pages of memory
(`models/sealed.py`), none parses a model file, and none needs LightGBM. A layout belongs to the machine and the code
that made it; it is made again from the bundle when either changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle_parts import facts_parts, known_parts, read_facts, read_known
from models.files import digest, json_bytes, read_json, write_bytes
from models.forest import Bag, aside
from models.grid import Grid, lay_grid
from models.kernel.flat import ARRAYS, NODE, Flat, flatten
from models.kernel.walk import Walk
from models.sealed import sealed
from models.valuer import Valuer

ARRAYS_FILE, MANIFEST = "arrays.bin", "layout.json"
ALIGNED = 128  # bytes: whole cache lines
CODE = Path(__file__).parent
_GRID = ("starts", "order", "by_sale", "fading", "apart", "groups")


class LayoutError(Exception):
    """A layout that is missing, damaged or made by other code: it has to be made again from the bundle."""


def code_digest() -> str:
    """What the modules of this package are known by: another code may lay out, or value, in another way."""
    files = sorted(p for p in CODE.rglob("*") if p.suffix in (".py", ".c"))
    told = {str(p.relative_to(CODE)): digest(p.read_bytes()) for p in files}
    return digest(json_bytes(told))


def write_layout(directory: Path, valuer: Valuer, extra: Mapping[str, bytes], facts: Mapping[str, Any]) -> None:
    """Lays the model out in an empty directory.

    Args:
        valuer: as a bundle gives it, with LightGBM's forests.
        extra: name -> content of what shall lie beside it.
        facts: what the manifest shall say of it.

    Raises:
        Unflattened, NoKernel: when the kernel can't walk its forests here.
    """
    walk = valuer.bag.flat.walk
    assert walk is not None
    flats = list(walk.flats)
    if (spread := valuer.spread.forest) is not None and not isinstance(spread, Walk):
        flats.append(flatten(spread.model_to_string()))
    laid = replace(valuer, bag=replace(valuer.bag, walk=walk))
    grid = lay_grid(laid)
    named = {f"{i}.{name}": array for i, flat in enumerate(flats) for name, array in flat.arrays.items()}
    named |= {f"grid.{name}": getattr(grid, name) for name in _GRID} | {"leaves": valuer.leaves}
    index, data = _packed(named)
    forests = [{"features": f.features, "small": f.small, "base": f.base} for f in flats]
    parts = {**facts_parts(valuer), **known_parts(valuer), **extra, ARRAYS_FILE: data}
    manifest = {
        "arrays": index,
        "facts": dict(facts),
        "files": {name: digest(content) for name, content in parts.items()},
        "forests": forests,
        "bag": len(walk.flats),
        "grid_month": grid.month,
    }
    for name, content in parts.items():
        write_bytes(directory / name, content)
    write_bytes(directory / MANIFEST, json_bytes(manifest))


def read_layout(directory: Path) -> tuple[Valuer, dict[str, Any]]:
    """The model, and the facts of the manifest; every byte is checked before it is used.

    Raises:
        LayoutError: when a file is missing or differs from the manifest.
    """
    try:
        manifest = read_json(directory / MANIFEST)
        files = dict(manifest["files"])
        arrays = sealed(directory / ARRAYS_FILE, files.pop(ARRAYS_FILE))
        parts = {name: (directory / name).read_bytes() for name in files}
        for name, promised in files.items():
            if (found := digest(parts[name])) != promised:
                raise LayoutError(f"{directory / name} has digest {found}, its manifest promises {promised}")
        return _assembled(manifest, parts, arrays), dict(manifest["facts"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LayoutError(f"{directory} can't be read: {error!r}") from error


def _assembled(manifest: Mapping[str, Any], parts: Mapping[str, bytes], arrays: np.ndarray) -> Valuer:
    at = {name: _array(arrays, *where) for name, where in manifest["arrays"].items()}
    flats = [
        Flat(told["features"], told["small"], told["base"], {name: at[f"{i}.{name}"] for name in ARRAYS})
        for i, told in enumerate(manifest["forests"])
    ]
    bag, spread = flats[: manifest["bag"]], flats[manifest["bag"] :]
    walk = Walk(spread, np.zeros((1, spread[0].features))) if spread else None
    valuer = read_facts(parts, (), walk)
    valuer = replace(valuer, **read_known(parts, valuer, at["leaves"]))
    reach = valuer.bag.reach
    return replace(
        valuer,
        bag=Bag((), reach, Walk(bag, aside(len(bag), reach))),
        grid=Grid(manifest["grid_month"], *(at[f"grid.{name}"] for name in _GRID)),
    )


def _packed(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, list[Any]], bytes]:
    """All arrays in one file, and for each name its type, shape and where it begins."""
    index, pieces, at = {}, [], 0
    for name, array in arrays.items():
        kind = "node" if array.dtype == NODE else array.dtype.str
        index[name] = [kind, list(array.shape), at]
        data = np.ascontiguousarray(array).tobytes()
        pieces.append(data + b"\0" * (-len(data) % ALIGNED))
        at += len(pieces[-1])
    return index, b"".join(pieces)


def _array(data: np.ndarray, kind: str, shape: list[int], at: int) -> np.ndarray:
    dtype = NODE if kind == "node" else np.dtype(kind)
    count = int(np.prod(shape))
    return data[at : at + count * dtype.itemsize].view(dtype).reshape(shape)
