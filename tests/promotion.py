"""What the tests of promotion share: one promotion, and the state it leaves in registry, store and pointer."""

from __future__ import annotations

from pathlib import Path

from models.bundle import bundle_digest
from models.files import read_json
from models.gate.bounds import Bounds
from pipelines.decision import Decision
from pipelines.promote import promote
from pipelines.tracking import connect
from tests.line import BOUNDS


def run(experiment: bool = False, bounds: Bounds = BOUNDS) -> Decision:
    return promote(bounds, experiment)


def versions() -> dict[str, str]:
    """Version -> digest of the registry."""
    found = connect("town").client.search_model_versions("name = 'valuation-town'")
    return {str(v.version): v.tags["assay.digest"] for v in found}


def alias() -> str | None:
    registered = connect("town").client.search_registered_models("name = 'valuation-town'")
    name = registered[0].aliases.get("champion") if registered else None
    return None if name is None else str(name)


def agree(digest: str) -> str:
    """Registry, store and pointer all name this bundle, and it is whole; its version."""
    pointer = read_json(".assay/champion.json")
    version = alias()
    assert version is not None
    assert pointer == {"tag": f"valuation-town:v{version}", "digest": digest, "market": "town"}
    assert versions()[version] == digest
    folder = Path(f".assay/bentoml/models/valuation-town/v{version}")
    assert bundle_digest(folder / "bundle") == digest
    card = read_json(folder / "card.json")
    assert (card["digest"], card["version"]) == (digest, version)
    assert connect("town").client.get_run(card["run"]).data.metrics["mdape"] == card["figures"]["mdape"]
    return version
