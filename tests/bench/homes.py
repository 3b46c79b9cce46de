"""Real homes as requests: each asked about once, so that no cache knows the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import orjson
import pandas as pd

from models.valuer import PROPERTY, Valuer
from serving.home import parse_home
from tests.bench.load import post

HOLDOUT = Path("data/split/holdout.parquet")
#: Homes that are asked about, before they are asked about anew with another lot.
HOMES = 2000
#: How often the same home may be asked about, each time a little larger.
TIMES = 500


class Homes:
    """Homes that were sold, as callers send them; `again` is the field that grows when they are asked about anew."""

    def __init__(self, valuer: Valuer, sales: pd.DataFrame) -> None:
        roomy = [field for field in valuer.market.fields if field.type == "number"]
        self.again = max(roomy, key=lambda field: np.inf if field.maximum is None else field.maximum).name
        told = (_home(valuer, sale) for sale in cast(list[dict[str, Any]], sales.to_dict("records")))
        sound = (home for home in told if not _faults(valuer, home) and not _faults(valuer, self._grown(home, TIMES)))
        self.homes = list(islice(sound, HOMES))
        self.rows = valuer.view(valuer.columns(self.homes), valuer.current_day).matrix

    def many(self, number: int) -> list[dict[str, Any]]:
        """So many distinct homes."""
        return list(islice(self._distinct(), number))

    def bodies(self) -> Iterator[bytes]:
        """The bodies of questions about one home each, no two alike."""
        return (orjson.dumps({"home": home}) for home in self._distinct())

    def _distinct(self) -> Iterator[dict[str, Any]]:
        return (self._grown(home, times) for times in count() for home in self.homes)

    def _grown(self, home: dict[str, Any], times: int) -> dict[str, Any]:
        return home | {self.again: home[self.again] + times}


def sold_homes(valuer: Valuer) -> Homes:
    """Of the hold-out; where there is none, of the last sales that the champion knows."""
    return Homes(valuer, pd.read_parquet(HOLDOUT) if HOLDOUT.exists() else valuer.memory.sales.iloc[::-1])


def rows_as(rows: np.ndarray, path: str, key: str, listed: bool = False) -> Sequence[bytes]:
    """Requests for peers that want ready-made features: `{key: row}`, or `{key: [row]}` where they want a list.

    A missing value is null, and NaN in a list: MLflow reads it as Python does.
    """
    missing = b"NaN" if listed else b"null"
    texts = (b",".join(repr(float(x)).encode() if x == x else missing for x in row) for row in rows)
    begin, end = (b"[[", b"]]") if listed else (b"[", b"]")
    return [post(path, b'{"' + key.encode() + b'":' + begin + text + end + b"}") for text in texts]


def _home(valuer: Valuer, sale: dict[str, Any]) -> dict[str, Any]:
    """A sale's facts as JSON has them; what is not known is left out."""
    home: dict[str, Any] = {}
    for field in valuer.market.fields:
        if pd.isna(sale[field.name]):
            continue
        match field.type:
            case "integer":
                home[field.name] = int(sale[field.name])
            case "flag":
                home[field.name] = bool(sale[field.name])
            case _:
                home[field.name] = sale[field.name]
    return home | {PROPERTY: sale[PROPERTY]}


def _faults(valuer: Valuer, home: dict[str, Any]) -> bool:
    return bool(parse_home(valuer.market, home)[1])
