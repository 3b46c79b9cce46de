"""changed: why a home's value differs between two versions of the model, or two days: steps that add up, to the cent.

    python -m pipelines.changed PROPERTY --from 2016-01-01 --to 2016-12-31
    python -m pipelines.changed PROPERTY --from v3 --to v4@2016-12-31

A side is a version in the store, a day, or both; the version that is served and the last day that all its
sales count for are meant where one is not said. The home is as its last sale describes it.
"""

from __future__ import annotations

import argparse
import re
from datetime import date

import pandas as pd

from models.change import Asked, what_changed
from models.drill import records
from models.fault import Fault
from models.valuer import PROPERTY, Valuer
from pipelines import store
from pipelines.card import model_name
from pipelines.params import load_params
from pipelines.places import SALES
from pipelines.stage import run

SIDE = re.compile(r"(?:v(?P<version>\d+))?@?(?P<day>\d{4}-\d{2}-\d{2})?")


def main() -> None:
    parser = argparse.ArgumentParser(prog="changed", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("property", help="a property_id among the validated sales")
    parser.add_argument("--from", dest="before", default="", metavar="SIDE", help="v3, 2016-01-01 or v3@2016-01-01")
    parser.add_argument("--to", dest="after", default="", metavar="SIDE")
    given = parser.parse_args()
    market = load_params().market
    sales = pd.read_parquet(SALES)
    sold = sales[sales[PROPERTY] == given.property].tail(1)
    if sold.empty:
        some = ", ".join(sales[PROPERTY].tail(3))
        raise Fault(f"{SALES} has no sale of {given.property!r}; it has, for instance, {some}")
    before, after = (_asked(sold, market, side) for side in (given.before, given.after))
    change = what_changed(before, after)
    print(f"{given.property}, in {before.valuer.market.currency}")
    lines = [(_side(before), change.before), *((f"  {s.label}", s.amount) for s in change.steps)]
    for label, amount in [*lines, (_side(after), change.after)]:
        print(f"{label:<60} {amount:>16,.2f}")


def _asked(sold: pd.DataFrame, market: str, side: str) -> Asked:
    said = SIDE.fullmatch(side)
    if said is None:
        raise Fault(f"{side!r} is no side; allowed: a version (v3), a day (2016-01-01) or both (v3@2016-01-01)")
    valuer = _valuer(market, said["version"])
    try:
        day = date.fromisoformat(said["day"]) if said["day"] else valuer.current_day
    except ValueError as error:
        raise Fault(f"{said['day']} is no day: {error}") from None
    return Asked(valuer, records(sold, valuer.market)[0], day)


def _valuer(market: str, version: str | None) -> Valuer:
    """A version with the memory that it is served with; the one that is served where none is said."""
    stored = store.serving() if version is None else store.numbered(market, version)
    if stored is None:
        name = model_name(market)
        kept = ", ".join(f"v{number}" for number in sorted(store.numbers(name), key=int)) or "none; run `dvc repro`"
        raise Fault(f"the store has no whole {name} {'to serve' if version is None else f'v{version}'}; it has {kept}")
    return store.read(stored)


def _side(asked: Asked) -> str:
    return f"Trained up to {asked.valuer.trained_day}, sales up to {asked.valuer.memory_end}, value of {asked.as_of}"


if __name__ == "__main__":
    run(main)
