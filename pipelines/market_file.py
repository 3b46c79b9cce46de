"""`data/markets/<name>.yaml`: a market's declaration, read and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.declaration import DeclarationError
from models.fault import Fault
from models.market import Market
from pipelines.places import MARKETS
from pipelines.yaml_lines import load_checked


class MarketFileError(Fault):
    """A market's file is absent or faulty; the text names file, line, value and what is allowed."""


def market_path(name: str) -> Path:
    return MARKETS / f"{name}.yaml"


def load_market(path: str | Path) -> Market:
    """The market that the file declares.

    Raises:
        MarketFileError: at the first fault.
    """
    path = Path(path)
    if not path.is_file():
        found = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml"))) or "none"
        raise MarketFileError(f"{path}: there is no such file; markets declared in {path.parent}: {found}")

    def check(raw: Any) -> Market:
        market = Market.from_dict(raw)
        if market.name != path.stem:
            raise DeclarationError(("name",), f"is {market.name!r}; allowed: {path.stem!r}, the name of the file")
        return market

    return load_checked(path, check, MarketFileError)
