"""What of a model stands in which file of its bundle."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from models.conformal import Spread
from models.features import Features
from models.files import digest, json_bytes, parquet_bytes, parse_json
from models.forest import Bag
from models.hedonic import Hedonic, Term, Terms
from models.market import Market
from models.market_index import MarketIndex
from models.memory import SaleMemory, month_period
from models.place import Places
from models.track import Track, empty_track
from models.valuer import Valuer

if TYPE_CHECKING:  # as in models/forest.py
    import lightgbm as lgb

    from models.kernel.walk import Walk

MEMORY_FILES = ("leaves.parquet", "model.json", "sales.parquet", "track.parquet", "vintages.parquet")


def model_parts(valuer: Valuer) -> dict[str, bytes]:
    """The files of the model, without its memory."""
    parts = facts_parts(valuer)
    parts |= {f"forest_{i:02}.txt": _text(forest) for i, forest in enumerate(valuer.bag.forests)}
    return parts | ({} if valuer.spread.forest is None else {"spread.txt": _text(valuer.spread.forest)})


def facts_parts(valuer: Valuer) -> dict[str, bytes]:
    """The files of the model, without memory and forests."""
    terms, places, spread = valuer.memory.terms, valuer.memory.places, valuer.spread
    facts = {
        "categories": {name: list(values) for name, values in valuer.features.categories.items()},
        "horizon_days": valuer.horizon_days,
        "level": valuer.level,
        "places": {"middle": places.middle, "unit": places.unit},
        "reach": valuer.bag.reach.tolist(),
        "spread": {"typical": spread.typical, "farthest": {str(c): limit for c, limit in spread.farthest.items()}},
        "support": {name: list(bounds) for name, bounds in valuer.support.items()},
        "terms": {"centre": terms.centre.tolist(), "terms": [_told_term(t) for t in terms.terms]},
        "trained": valuer.track.trained,
        "typical": dict(valuer.typical),
    }
    return {"market.json": json_bytes(valuer.market.to_dict()), "valuer.json": json_bytes(facts)}


def memory_parts(valuer: Valuer) -> dict[str, bytes]:
    """The files of the memory: what is known, the sales' leaves, and which model it is of."""
    leaves = pd.DataFrame(valuer.leaves.T, columns=[f"tree_{i:03}" for i in range(len(valuer.leaves))])
    model = json_bytes({"model": model_digest(model_parts(valuer))})
    return known_parts(valuer) | {"leaves.parquet": parquet_bytes(leaves), "model.json": model}


def known_parts(valuer: Valuer) -> dict[str, bytes]:
    """The files of what the memory knows: sales, vintages and track."""
    vintages = pd.DataFrame(
        {
            "month": list(valuer.memory.vintages),
            "first_month": [str(v.index.first_month) for v in valuer.memory.vintages.values()],
            "worth": [v.worth for v in valuer.memory.vintages.values()],
            "levels": [v.index.levels for v in valuer.memory.vintages.values()],
        }
    )
    frames = {"sales": valuer.memory.sales, "track": valuer.track.to_frame(), "vintages": vintages}
    return {f"{name}.parquet": parquet_bytes(frame) for name, frame in frames.items()}


def model_digest(parts: Mapping[str, bytes]) -> str:
    """What a memory names its model by: the digest of the digests of the model's files."""
    return digest(json_bytes({name: digest(data) for name, data in parts.items()}))


def read_model(parts: Mapping[str, bytes], memory: Mapping[str, bytes]) -> Valuer:
    """The model on its own memory.

    Raises:
        KeyError, TypeError, ValueError: when a file is absent or not as `model_parts` writes it.
    """
    import lightgbm as lgb  # not before the bytes are known to be the right ones, and only for whoever reads a bundle

    def forest(name: str) -> lgb.Booster:
        return lgb.Booster(model_str=parts[name].decode())

    forests = tuple(forest(name) for name in sorted(parts) if name.startswith("forest_"))
    valuer = read_facts(parts, forests, forest("spread.txt") if "spread.txt" in parts else None)
    return replace(valuer, **read_memory(memory, valuer, parts))


def read_facts(
    parts: Mapping[str, bytes], forests: tuple[lgb.Booster, ...], spread: lgb.Booster | Walk | None
) -> Valuer:
    """The model of `facts_parts` and these forests, on no memory yet."""
    market = Market.from_dict(parse_json(parts["market.json"]))
    facts = parse_json(parts["valuer.json"])
    terms = Terms(
        tuple(_term(raw, market) for raw in facts["terms"]["terms"]),
        np.array(facts["terms"]["centre"], dtype="float64"),
    )
    middle = facts["places"]["middle"]
    places = Places(market, terms, None if middle is None else (middle[0], middle[1]), facts["places"]["unit"])
    farthest = {int(column): limit for column, limit in facts["spread"]["farthest"].items()}
    return Valuer(
        features=Features(market, {name: tuple(values) for name, values in facts["categories"].items()}),
        bag=Bag(forests, np.array(facts["reach"], dtype="float64")),
        spread=Spread(spread, facts["spread"]["typical"], farthest),
        memory=SaleMemory(market, pd.DataFrame(), terms, places, {}),
        track=empty_track(facts["trained"]),
        leaves=np.empty((0, 0), dtype=np.uint16),
        level=facts["level"],
        horizon_days=facts["horizon_days"],
        support={name: (low, high) for name, (low, high) in facts["support"].items()},
        typical={f.name: facts["typical"][f.name] for f in market.fields},
    )


def read_memory(parts: Mapping[str, bytes], valuer: Valuer, model: Mapping[str, bytes]) -> dict[str, Any]:
    """`memory`, `track` and `leaves` for that model, whose files are `model`.

    Raises:
        KeyError, TypeError, ValueError: as `read_model` does, and where the memory is another model's.
    """
    if (named := parse_json(parts["model.json"])["model"]) != (wanted := model_digest(model)):
        raise ValueError(f"the memory is of model {named}, not of {wanted}")
    leaves = pd.read_parquet(io.BytesIO(parts["leaves.parquet"]))
    return read_known(parts, valuer, np.ascontiguousarray(leaves.to_numpy("uint16").T))


def read_known(parts: Mapping[str, bytes], valuer: Valuer, leaves: np.ndarray) -> dict[str, Any]:
    """`memory`, `track` and `leaves` from `known_parts`; raises as `read_memory` does."""
    sales, track, vintages = (
        pd.read_parquet(io.BytesIO(parts[f"{name}.parquet"])) for name in ("sales", "track", "vintages")
    )
    terms = valuer.memory.terms
    known = {
        int(row["month"]): Hedonic(
            terms,
            np.array(row["worth"], dtype="float64"),
            MarketIndex(pd.Period(row["first_month"], "M"), np.array(row["levels"], dtype="float64")),
        )
        for row in vintages.to_dict("records")
    }
    memory = SaleMemory(valuer.market, sales, terms, valuer.memory.places, known)
    if leaves.shape[1] != len(memory.sales) or memory.end_month < valuer.track.trained:
        raise ValueError(
            f"{leaves.shape[1]} leaves of {len(memory.sales)} sales, up to {month_period(memory.end_month)}"
        )
    return {"memory": memory, "track": Track.from_frame(track, valuer.track.trained), "leaves": leaves}


def _text(forest: Any) -> bytes:
    """A forest as LightGBM writes it; one that is flat has nothing to write."""
    return bytes(forest.model_to_string(num_iteration=-1).encode())


def _told_term(term: Term) -> dict[str, Any]:
    told = {"categories": list(term.categories), "knots": list(term.knots)}
    return told | {"field": term.field.name, "log": term.log, "mean": term.mean, "spread": term.spread}


def _term(raw: Mapping[str, Any], market: Market) -> Term:
    categories, knots = tuple(raw["categories"]), tuple(raw["knots"])
    return Term(market[raw["field"]], categories, raw["log"], raw["mean"], raw["spread"], knots)
