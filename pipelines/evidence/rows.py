"""The raw rows of an evidence pack: tables from which every number told in it can be worked out again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.appraisal import appraise
from models.drill import records
from models.files import digest
from models.valuer import Valuer

DRAWN = 50  # sales for people to look into
#: What no valuation may rest on, put beside the facts of every home to see whether a value moves.
REQUESTER, TARGET, LOAN = "the lender", 1.25, 0.8  # who asks; what for and how much of it, as shares of the price
#: What a reviewer fills in.
FINDINGS = ("reviewer", "reviewed_on", "finding", "remark")
#: What a finding may be.
KINDS = ("sound", "wrong price", "wrong facts", "not at arm's length", "value not credible")


@dataclass(frozen=True)
class Tables:
    """Every row of the pack.

    Attributes:
        rows: one hold-out sale a row: price, values, ranges, and under `segment.*` the groups it is in.
        sales: every sale of the source, with its facts and what became of it (`fate`, `reason`).
        review: the sales drawn for people, with empty columns for what they find.
        reasons: of the drawn sales' values, one amount a row.
    """

    rows: pd.DataFrame
    sales: pd.DataFrame
    review: pd.DataFrame
    reasons: pd.DataFrame


def tables(live: Valuer, homes: pd.DataFrame, valued: pd.DataFrame, sales: pd.DataFrame, seed: str) -> Tables:
    """All tables of a champion.

    Args:
        live: the champion with every validated sale in its memory.
        homes, valued: the hold-out with its facts, and as the line has valued it.
        sales: as `fates` gives them.
        seed: of the draw; a text that nobody can choose.
    """
    homes = homes.set_index("sale_id").loc[valued["sale_id"]].reset_index()
    rows = holdout_rows(live, homes, valued)
    drawn = homes[homes["sale_id"].isin(draw(rows["sale_id"], seed))].reset_index(drop=True)
    return Tables(rows, sales, review(drawn, rows, live.level), reasons(live, drawn))


def fates(raw: pd.DataFrame, set_aside: pd.DataFrame, train: pd.DataFrame, holdout: pd.DataFrame) -> pd.DataFrame:
    """Every sale of the source, with `fate` (training, hold-out, set aside, not used) and, if set aside, `reason`."""
    reason = raw["sale_id"].map(set_aside.set_index("sale_id")["reason"])
    used = [raw["sale_id"].isin(part["sale_id"]) for part in (train, holdout)]
    fate = np.select([*used, reason.notna()], ["training", "hold-out", "set aside"], "not used")
    return raw.assign(fate=fate, reason=reason)


def holdout_rows(live: Valuer, homes: pd.DataFrame, valued: pd.DataFrame) -> pd.DataFrame:
    """The hold-out as the line has valued it, the band of its confidence, and its home valued three times
    more.

    `value_beside_request` is told anew with a requester, a target value and a loan amount beside the facts;
    `value_month_before` and `value_month_after` are for the first days of the months around the sale's own: in the
    first the sale is unknown and to come, in the second it is known.
    """
    month = homes["sale_date"].dt.to_period("M")
    wished = {"target_value": TARGET * homes["price"], "loan_amount": LOAN * homes["price"]}
    asked = homes.assign(requester=REQUESTER, **wished)
    return valued.assign(
        confidence=bands(valued["chance"]),
        value_beside_request=live.value(asked, homes["sale_date"]),
        value_month_before=_told(live, homes, (month - 1).dt.start_time),
        value_month_after=_told(live, homes, (month + 1).dt.start_time),
    )


def bands(chance: pd.Series) -> np.ndarray:
    """The tenth that each promised chance is in, in words."""
    tenth = np.clip((10 * chance).astype("int64"), 0, 9)
    return np.array([f"{10 * t} to {10 * t + 10} %" for t in tenth])


def draw(sale_ids: pd.Series, seed: str) -> list[str]:
    """The sales whose SHA-256 of `seed:sale_id` is lowest: a draw that anybody can repeat and nobody can steer."""
    return sorted(sale_ids, key=lambda one: digest(f"{seed}:{one}".encode()))[:DRAWN]


def review(drawn: pd.DataFrame, rows: pd.DataFrame, level: float) -> pd.DataFrame:
    """The queue: what was told of each drawn home, its facts, and columns to fill in."""
    low, high = (f"{end}_{100 * level:.0f}" for end in ("low", "high"))
    told = drawn.merge(rows[["sale_id", "value", low, high]], on="sale_id", validate="one_to_one")
    return told.assign(**dict.fromkeys(FINDINGS, ""))


def reasons(live: Valuer, drawn: pd.DataFrame) -> pd.DataFrame:
    """One row an amount of a reason of a drawn home's value, in the market's currency."""
    told = []
    for home, sale_id, day in zip(
        records(drawn, live.market), drawn["sale_id"], drawn["sale_date"].dt.date, strict=True
    ):
        (appraisal,) = appraise(live, [home], day)
        told += [
            (sale_id, reason.name, line.name, line.amount) for reason in appraisal.reasons for line in reason.lines
        ]
    return pd.DataFrame(told, columns=["sale_id", "group", "name", "amount"])


def _told(live: Valuer, homes: pd.DataFrame, days: pd.Series) -> np.ndarray:
    """Values for those days; NaN for a day that the model doesn't speak for."""
    told = np.full(len(homes), np.nan)
    can = ((days >= pd.Timestamp(live.first_day)) & (days <= pd.Timestamp(live.last_day))).to_numpy()
    if can.any():
        told[can] = live.value(homes[can], days[can])
    return told
