"""A plain BentoML service of the forests: ready-made features in, value and range out."""

from __future__ import annotations

import os

import bentoml
from pydantic import BaseModel

from tests.bench.peers.forest import served


class Row(BaseModel):
    features: list[float | None]


class Value(BaseModel):
    value: float
    low: float
    high: float


@bentoml.service(workers=os.cpu_count() or 1)
class Plain:
    def __init__(self) -> None:
        self.forest = served()

    @bentoml.api
    async def value(self, row: Row) -> Value:
        value, low, high = self.forest.range(row.features)
        return Value(value=value, low=low, high=high)
