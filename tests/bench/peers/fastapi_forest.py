"""A plain FastAPI service of the forests: ready-made features in, a bare number out."""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel

from tests.bench.peers.forest import served


class Row(BaseModel):
    features: list[float | None]


class Value(BaseModel):
    value: float


app = FastAPI()
forest = served()


@app.post("/sync")
def in_a_thread(row: Row) -> Value:
    return Value(value=forest.value(row.features))


@app.post("/async")
async def in_the_loop(row: Row) -> Value:
    return Value(value=forest.value(row.features))
