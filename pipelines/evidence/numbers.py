"""Every number that an evidence pack tells, under the name of its factor: `confidence/live/mdape`.

The page is written from these alone, and `audit.py` works each of them out again from the raw rows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from models.appraisal import RIGHT_WITHIN
from models.evaluation import range_columns
from models.fairness import ends, gaps, share, share_explained, treatment
from models.interval import median_interval, slope
from models.market import Market
from models.ratio_study import study
from models.segments import PREFIX, groups
from pipelines.evidence.rows import KINDS
from pipelines.ledger import OVERRIDDEN, Line

Numbers = dict[str, Any]
REFERENCE = "reference."  # prefix of the columns with what reference models say
AREA = PREFIX + "neighbourhood"
#: Words in the name of an input that would make it a price by another name.
PRICE_WORDS = re.compile(
    r"price|\blist(ed|ing)?\b|\bask(ed|ing)?\b|\boffer|assessed|assessment|apprais|\bloan|lender|borrower|mortgage|"
    r"request|target|\btax|\bvalu(e|ation)|\brent",
    re.IGNORECASE,
)
EQUITY = "prb|prd|vei|mki|equity"  # columns of the study that would hold a figure of equity
#: Groups of reasons that rest on where the home is; those of the market and of rounding are no home's own.
PLACE, NOT_THE_HOMES = ("location", "comparables"), ("market", "rounding")


def confidence(rows: pd.DataFrame, card: Mapping[str, Any], levels: Sequence[float]) -> Numbers:
    """How good the values and their ranges are on sales that came after the training."""
    prices, n = rows["price"].to_numpy(), len(rows)
    found: Numbers = {"sales": n}
    for name, count in (("valued", rows["value"].notna().sum()), ("in support", rows["in_support"].sum())):
        found |= share(name, int(count), n)
    found |= _under("live", dict(card["figures"]))
    for name, interval in card["intervals"].items():
        found |= _under("live", ends(name, interval))
    found |= _under("frozen", dict(card["frozen"]))
    for name in (str(column) for column in rows if str(column).startswith(REFERENCE)):
        found |= _under(f"reference/{name.removeprefix(REFERENCE)}", study(rows[name].to_numpy(), prices))
    for level in levels:
        found |= _under(f"range {100 * level:.0f}", _range(rows, level))
    for grouping, labels in groups(rows).items():
        for group, part in rows.groupby(labels, sort=True):
            found |= _under(f"{grouping}/{group}", _accuracy(part) | _range(part, card["level"]))
    for band, part in rows.groupby("confidence", sort=True):
        kept = ((part["value"] / part["price"] - 1).abs() <= RIGHT_WITHIN).sum()
        told = {"n": len(part), "promised": float(part["chance"].mean())}
        found |= _under(f"band/{band}", told | share("kept", int(kept), len(part)))
    verdict = card["verdict"]
    passed = sum(check["outcome"] == "pass" for check in verdict["checks"])
    found |= _under("gate", {"outcome": verdict["outcome"], "checks": len(verdict["checks"]), "passed": passed})
    comparison = (verdict.get("champion") or {}).get("comparison") or {}
    return _under("confidence", found | _under("against the champion before", _plain(comparison)))


def manipulation(
    sales: pd.DataFrame, rows: pd.DataFrame, market: Market, digests: Mapping[str, str], drills: str | None
) -> Numbers:
    """What the sales went through, what the inputs are, and whether values follow a home's own sale.

    Args:
        digests: name -> SHA-256 of what the chain is made of.
        drills: the page that `make drills` wrote, if there is one.
    """
    fate = sales["fate"]
    counts = {name: int((fate == name).sum()) for name in ("training", "hold-out", "set aside", "not used")}
    found: Numbers = {"sales": len(sales)} | counts
    found |= _under("set aside", sales["reason"].dropna().value_counts().sort_index().to_dict())
    days = {"last training sale": sales.loc[fate == "training", "sale_date"].max()}
    days |= {"first hold-out sale": rows["sale_date"].min(), "last hold-out sale": rows["sale_date"].max()}
    found |= {name: f"{day:%Y-%m-%d}" for name, day in days.items()}
    found |= _under("sha256", dict(digests))
    named = [f for f in market.fields if any(PRICE_WORDS.search(text) for text in (f.name, f.column, f.label))]
    found |= {"inputs": len(market.fields), "inputs named like a price": len(named)}
    holdout = sales[fate == "hold-out"]
    for field in market.fields:
        if not field.is_category and holdout[field.name].nunique() > 1:
            correlation = holdout[field.name].astype("float64").corr(holdout["price"], method="spearman")
            found[f"rank correlation with the price/{field.name}"] = float(correlation)
    found |= _under("own sale", dict(_chasing(rows)))
    return _under("manipulation", found | _under("drills", dict(cells(drills or ""))))


def conflicts(rows: pd.DataFrame, decisions: Sequence[Line]) -> Numbers:
    """Who decided, and whether what a requester wants can move a value."""
    found: Numbers = {"decisions": len(decisions), "people": len({line.who for line in decisions})}
    found["overridden"] = sum(line.what == OVERRIDDEN for line in decisions)
    found |= _under("decisions", dict(Counter(line.what for line in decisions)))
    moved = int((rows["value"] != rows["value_beside_request"]).sum())
    return _under("conflicts", found | {"values asked beside a request": len(rows), "moved by the request": moved})


def sample(review: pd.DataFrame, rows: pd.DataFrame, findings: pd.DataFrame | None) -> Numbers:
    """What was drawn for people, and what they found."""
    found: Numbers = {"drawn": len(review), "of": len(rows), "reviewed": 0 if findings is None else len(findings)}
    if findings is not None and len(findings):
        found |= _under("found", {kind: int((findings["finding"] == kind).sum()) for kind in KINDS})
        unsound = int((findings["finding"] != KINDS[0]).sum())
        found |= share("not sound", unsound, len(findings))
    return _under("sample", found)


def nondiscrimination(
    rows: pd.DataFrame, sales: pd.DataFrame, reasons: pd.DataFrame, trials: pd.DataFrame, market: Market, level: float
) -> Numbers:
    """Whether homes of one area are treated as those of another, and what the inputs tell of the area."""
    low, high = range_columns(level)
    rows = rows.assign(low=rows[low], high=rows[high])
    found: Numbers = _under("all", treatment(rows))
    amounts = reasons.groupby(["sale_id", "group"])["amount"].sum().abs().groupby("group").sum()
    amounts = amounts.drop(labels=[g for g in NOT_THE_HOMES if g in amounts])
    found |= _under("share of the reasons", (amounts / amounts.sum()).to_dict())
    found["share of the reasons that rests on the place"] = float(
        amounts[amounts.index.isin(PLACE)].sum() / amounts.sum()
    )
    with_equity = trials.filter(regex=EQUITY).notna().any(axis=1).sum()
    found |= {"trials searched": len(trials), "trials with a figure of equity": int(with_equity)}
    if AREA in rows:
        areas = {str(area): treatment(part) for area, part in rows.groupby(AREA, sort=True)}
        found |= gaps(areas)
        for area, told in areas.items():
            found |= _under(f"area/{area}", told)
        accepted, place = sales[sales["fate"].isin(("training", "hold-out"))], market.role("neighbourhood")
        assert place is not None
        for name in ("price", *(f.name for f in market.fields if f is not place)):
            told_by = share_explained(accepted[name], accepted[place.name].fillna("missing"))
            found[f"explained by the area/{name}"] = told_by
    return _under("nondiscrimination", found)


def cells(page: str) -> Iterator[tuple[str, str]]:
    """Every cell of the Markdown tables of a page, as it stands there, under `row/column`."""
    heads: list[str] = []
    for text in page.splitlines():
        if not text.startswith("|"):
            heads = []
        elif not heads:
            heads = _cells(text)
        elif not set(text) <= set("|-: "):
            row = _cells(text)
            yield from ((f"{row[0]}/{head}", cell) for head, cell in zip(heads[1:], row[1:], strict=True))


def _cells(text: str) -> list[str]:
    return [cell.strip() for cell in text.strip().strip("|").split("|")]


def _accuracy(rows: pd.DataFrame) -> Numbers:
    ratio = (rows["value"] / rows["price"]).to_numpy()
    error = np.abs(ratio - 1)
    found: Numbers = {"n": len(rows), "mdape": float(np.median(error)), "median ratio": float(np.median(ratio))}
    return found | ends("mdape", median_interval(error)) | ends("median ratio", median_interval(ratio))


def _range(rows: pd.DataFrame, level: float) -> Numbers:
    """Coverage with its interval, and the median width as a share of the value."""
    low, high = (rows[name] for name in range_columns(level))
    inside = int(((rows["price"] >= low) & (rows["price"] <= high)).sum())
    return share("coverage", inside, len(rows)) | {"median width": float(((high - low) / rows["value"]).median())}


def _chasing(rows: pd.DataFrame) -> Iterator[tuple[str, float | int]]:
    """How far a home's value goes towards the price of its own sale, as a share of the way: before it is known,
    and after."""
    for name, first, then in (
        ("before it is known", "value_month_before", "value"),
        ("once it is known", "value", "value_month_after"),
    ):
        known = rows[rows[first].notna() & rows[then].notna()]
        yield f"{name}/n", len(known)
        if len(known) > 2:
            start, end, price = (np.log(known[column].to_numpy()) for column in (first, then, "price"))
            found, low, high = slope(price - start, end - start)
            yield from ((f"{name}/share", found), (f"{name}/share low", low), (f"{name}/share high", high))


def _under(name: str, numbers: Mapping[Any, Any]) -> Numbers:
    return {f"{name}/{key}": number for key, number in numbers.items()}


def _plain(raw: Mapping[str, Any]) -> Numbers:
    """Only what is a number or a word."""
    return {k: v for k, v in raw.items() if v is not None and not isinstance(v, Mapping | list)}
