"""Works out again every number of an evidence pack, from the raw rows beside this file.

    python audit.py

It needs Python with numpy and pandas, and takes nothing from Assay: each figure is written here a second time, by
its definition. It ends with 1 and says what is wrong if a file was changed, if the digests don't lead from the
sales to the model and the decision, if a number differs, or if a number has no derivation here. Where pyarrow is
installed as well, the rows are held against the line's own tables too; where cryptography is, the signature.
"""

import base64
import hashlib
import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Z = 1.959964
RESAMPLES = 500
KINDS = ("sound", "wrong price", "wrong facts", "not at arm's length", "value not credible")
PRICE_WORDS = (
    r"price|\blist(ed|ing)?\b|\bask(ed|ing)?\b|\boffer|assessed|assessment|apprais|\bloan|lender|borrower|mortgage|"
    r"request|target|\btax|\bvalu(e|ation)|\brent"
)


class Pack:
    """The files of the pack, read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        told = self.json("numbers.json")
        self.numbers, self.seed = told["numbers"], told["seed"]
        self.card, self.market = self.json("card.json"), self.json("bundle/market.json")
        self.level = f"{100 * self.card['level']:.0f}"
        self.roles = {f["role"]: f["name"] for f in self.market["fields"] if "role" in f}
        self.numeric = [f["name"] for f in self.market["fields"] if f["type"] != "category"]
        self.rows = self.table("rows.csv")
        for name in map(str, self.rows.columns):
            if name.startswith(("price", "value", "low_", "high_", "chance", "reference.")):
                self.rows[name] = numbers(self.rows[name])
        self.rows["in_support"] = self.rows["in_support"] == "True"
        self.sales = self.table("sales.csv")
        for name in ("price", *self.numeric):
            self.sales[name] = numbers(self.sales[name])
        ledger = self.bytes("ledger.jsonl").splitlines(keepends=True)
        self.ledger = [(text, json.loads(text)) for text in ledger]
        self.decisions = [line for _, line in self.ledger if line["market"] == self.market["name"]]

    def bytes(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def json(self, name: str) -> Any:
        return json.loads(self.bytes(name))

    def sha256(self, name: str) -> str:
        return hashlib.sha256(self.bytes(name)).hexdigest()

    def table(self, name: str) -> pd.DataFrame:
        """Every cell as the text that stands there."""
        return pd.read_csv(self.folder / name, dtype=str, keep_default_na=False)

    def has(self, name: str) -> bool:
        return (self.folder / name).is_file()


def numbers(texts: pd.Series) -> pd.Series:
    return texts.map(lambda text: float(text) if text else math.nan)


# The chain, and that the rows are what they say they are: what is wrong, one text a fault.


def faults(pack: Pack) -> Iterator[str]:
    yield from changed_files(pack)
    yield from broken_chain(pack)
    yield from unsigned(pack)
    yield from wrong_rows(pack)
    yield from other_tables(pack)


def changed_files(pack: Pack) -> Iterator[str]:
    lines = [line.split("  ", 1) for line in pack.bytes("SHA256SUMS").decode().splitlines()]
    listed = {name: digest for digest, name in lines}
    for name, digest in listed.items():
        if not pack.has(name):
            yield f"{name} is missing"
        elif pack.sha256(name) != digest:
            yield f"{name} is not the file that SHA256SUMS names"
    found = {p.relative_to(pack.folder).as_posix() for p in pack.folder.rglob("*") if p.is_file()}
    yield from (f"{name} is not listed in SHA256SUMS" for name in sorted(found - set(listed) - {"SHA256SUMS"}))


def broken_chain(pack: Pack) -> Iterator[str]:
    before = "0" * 64
    for number, (text, line) in enumerate(pack.ledger, 1):
        if line["number"] != number or line["previous"] != before:
            yield f"ledger.jsonl: line {number} does not follow from the line before it"
        before = hashlib.sha256(text).hexdigest()
    manifests = [m for m in ("bundle/manifest.json", "bundle/memory/manifest.json") if pack.has(m)]
    for manifest in manifests:
        beside = Path(manifest).parent
        for name, digest in pack.json(manifest)["files"].items():
            if not pack.has(f"{beside}/{name}") or pack.sha256(f"{beside}/{name}") != digest:
                yield f"{beside}/{name} is not the file that {manifest} names"
    bundle, last = pack.sha256("bundle/manifest.json"), pack.decisions[-1]
    if pack.card["digest"] != bundle or last["digest"] != bundle:
        yield f"the bundle is {bundle}; card.json says {pack.card['digest']}, the ledger {last['digest']}"
    if last["evidence"] != verdict_digest(pack):
        yield "the verdict in card.json is not the one that the ledger's last line names as its evidence"
    validated, report = pack.sha256("validated.parquet"), pack.json("validation.json")
    if pack.card["data"] != validated or report["sales"] != validated or report["passed"] is not True:
        yield "validated.parquet is not what card.json and validation.json say that the model learnt from"


def unsigned(pack: Pack) -> Iterator[str]:
    """DSSE around an in-toto statement that names card and bundle, signed with ECDSA on the curve P-256."""
    envelope = pack.json("signature.json")["dsseEnvelope"]
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    for file in json.loads(payload)["predicate"]["resources"]:
        if not pack.has(file["name"]) or pack.sha256(file["name"]) != file["digest"]:
            yield f"{file['name']} is not the file that was signed"
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError:
        print("not checked: the signature itself, for cryptography is not installed")
        return
    key, signature = load_pem_public_key(pack.bytes("public.pem")), base64.b64decode(envelope["signatures"][0]["sig"])
    assert isinstance(key, ec.EllipticCurvePublicKey)
    try:
        key.verify(signature, b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload), ec.ECDSA(SHA256()))
    except InvalidSignature:
        yield "signature.json is not by the key in public.pem"


def verdict_digest(pack: Pack) -> str:
    text = json.dumps(pack.card["verdict"], indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return hashlib.sha256(text.encode()).hexdigest()


def wrong_rows(pack: Pack) -> Iterator[str]:
    rows, trained = pack.rows, pack.card["trained"]
    judged = pack.sales[pack.sales["fate"] == "hold-out"].set_index("sale_id")
    if sorted(judged.index) != sorted(rows["sale_id"]):
        yield "rows.csv does not hold exactly the hold-out sales of sales.csv"
        return
    judged = judged.loc[rows["sale_id"]]
    columns = {"price": "price", "sale_date": "sale_date", "property_id": "property_id"}
    columns |= {f"segment.{r}": pack.roles[r] for r in ("neighbourhood", "property_type") if r in pack.roles}
    for name, source in columns.items():
        theirs = judged[source].replace("", "missing").to_numpy() if name.startswith("segment.") else judged[source]
        for sale_id in rows["sale_id"][rows[name].to_numpy() != np.asarray(theirs)]:
            yield f"rows.csv: the {name} of sale {sale_id} is not the one in sales.csv"
    if (pack.sales.loc[pack.sales["fate"] == "training", "sale_date"] >= trained).any() or (
        rows["sale_date"] < trained
    ).any():
        yield f"a training sale is not before {trained}, or a hold-out sale is"
    by_value = rows["value"].rank(method="first").astype(int) - 1
    if (rows["segment.price_tier"] != "tier " + (by_value * 5 // len(rows) + 1).astype(str)).any():
        yield "rows.csv: a sale's tier is not the fifth that its value is in"
    seen = rows["property_id"].isin(pack.sales.loc[pack.sales["fate"] == "training", "property_id"])
    if (rows["segment.history"] != seen.map({True: "sold before", False: "first sale"})).any():
        yield "rows.csv: a sale's history is not that of its property among the training sales"
    tenth = (rows["chance"] * 10).astype(int).clip(upper=9) * 10
    if (rows["confidence"] != tenth.astype(str) + " to " + (tenth + 10).astype(str) + " %").any():
        yield "rows.csv: a sale's confidence band is not the tenth that its chance is in"
    if sorted(pack.table("review.csv")["sale_id"]) != sorted(drawn(pack)):
        yield "review.csv does not hold the sales that the draw gives"


def other_tables(pack: Pack) -> Iterator[str]:
    try:
        import pyarrow  # type: ignore[import-untyped, unused-ignore]  # noqa: F401
    except ImportError:
        print("not checked: sales.csv against the Parquet tables, for pyarrow is not installed")
        return
    kept = pack.sales[pack.sales["fate"] != "set aside"]
    for name, ours in (("raw.parquet", pack.sales), ("validated.parquet", kept)):
        theirs = pd.read_parquet(pack.folder / name)
        if sorted(theirs["sale_id"]) != sorted(ours["sale_id"]):
            yield f"{name} does not hold the sales that sales.csv says"
            continue
        theirs = theirs.set_index("sale_id").loc[ours["sale_id"]].reset_index()
        theirs["sale_date"] = theirs["sale_date"].dt.strftime("%Y-%m-%d")
        for column in theirs.columns:
            one, other = theirs[column].to_numpy(dtype=object), ours[column].to_numpy(dtype=object)
            same = (one == other) | (pd.isna(one) & (pd.isna(other) | (other == "")))
            yield from (f"sales.csv: {column} of sale {s} is not that of {name}" for s in ours["sale_id"][~same][:5])


def drawn(pack: Pack) -> list[str]:
    seed = f"{pack.sha256('bundle/manifest.json')}:{pack.decisions[-1]['number']}"
    lots = [(hashlib.sha256(f"{seed}:{sale}".encode()).hexdigest(), sale) for sale in pack.rows["sale_id"]]
    return [sale for _, sale in sorted(lots)[:50]]


# The numbers, by factor.


def derived(pack: Pack) -> dict[str, Any]:
    factors = {
        "confidence": confidence(pack),
        "manipulation": manipulation(pack),
        "conflicts": conflicts(pack),
        "sample": sample(pack),
        "nondiscrimination": nondiscrimination(pack),
    }
    return {f"{factor}/{name}": number for factor, found in factors.items() for name, number in found.items()}


def confidence(pack: Pack) -> dict[str, Any]:
    rows, n = pack.rows, len(pack.rows)
    price, value = rows["price"].to_numpy(), rows["value"].to_numpy()
    found: dict[str, Any] = (
        {"sales": n} | share("valued", rows["value"].notna()) | share("in support", rows["in_support"])
    )
    live, frozen = ratio_study(value, price), ratio_study(rows["value_frozen"].to_numpy(), price)
    found |= {f"live/{name}": live[name] for name in pack.card["figures"] if name in live}
    found |= {f"frozen/{name}": frozen[name] for name in pack.card["frozen"] if name in frozen}
    draws = np.random.default_rng(pack.seed).integers(0, n, (RESAMPLES, n))
    again = pd.DataFrame([ratio_study(value[draw], price[draw]) for draw in draws])
    for name in (name for name in pack.card["intervals"] if name in live):
        known = not again[name].isna().any()
        found[f"live/{name} low"] = again[name].quantile(0.025) if known else None
        found[f"live/{name} high"] = again[name].quantile(0.975) if known else None
    for column in (c for c in map(str, rows) if c.startswith("reference.")):
        figures = ratio_study(rows[column].to_numpy(), price)
        found |= {f"reference/{column[10:]}/{name}": figures[name] for name in pack.card["figures"] if name in figures}
    for column in (c for c in map(str, rows) if c.startswith("low_")):
        found |= under(f"range {column[4:]}", ranges(rows, column[4:]))
    for grouping in (c for c in map(str, rows) if c.startswith("segment.")):
        for group, part in rows.groupby(grouping):
            ratio = (part["value"] / part["price"]).to_numpy()
            told = {"n": len(part)} | median("mdape", abs(ratio - 1)) | median("median ratio", ratio)
            found |= under(f"{grouping[8:]}/{group}", told | ranges(part, pack.level))
    for band, part in rows.groupby("confidence"):
        within = (part["value"] / part["price"] - 1).abs() <= 0.1
        found |= under(f"band/{band}", {"n": len(part), "promised": part["chance"].mean()} | share("kept", within))
    checks = pack.card["verdict"]["checks"]
    found |= {"gate/outcome": pack.card["verdict"]["outcome"], "gate/checks": len(checks)}
    found["gate/passed"] = len([check for check in checks if check["outcome"] == "pass"])
    quoted = (pack.card["verdict"].get("champion") or {}).get("comparison") or {}
    quoted = {name: number for name, number in quoted.items() if isinstance(number, str | int | float)}
    return found | under("against the champion before", quoted)


def manipulation(pack: Pack) -> dict[str, Any]:
    sales, rows, fields = pack.sales, pack.rows, pack.market["fields"]
    found: dict[str, Any] = {"sales": len(sales)}
    found |= {fate: list(sales["fate"]).count(fate) for fate in ("training", "hold-out", "set aside", "not used")}
    for reason in sorted(set(sales["reason"]) - {""}):
        found[f"set aside/{reason}"] = list(sales["reason"]).count(reason)
    found["last training sale"] = max(sales["sale_date"][sales["fate"] == "training"])
    found |= {"first hold-out sale": min(rows["sale_date"]), "last hold-out sale": max(rows["sale_date"])}
    files = {"source": "raw.parquet", "validated": "validated.parquet", "bundle": "bundle/manifest.json"}
    found |= {
        "sha256/sales of the source, as read": pack.sha256(files["source"]),
        "sha256/sales that passed validation": pack.sha256(files["validated"]),
        "sha256/bundle": pack.sha256(files["bundle"]),
        "sha256/verdict": verdict_digest(pack),
        "sha256/ledger": pack.sha256("ledger.jsonl"),
        "sha256/public key": pack.sha256("public.pem"),
        "sha256/source, as declared": pack.market["source"]["sha256"],
    }
    found["inputs"] = len(fields)
    texts = [" ".join((f["name"], f["column"], f["label"])) for f in fields]
    found["inputs named like a price"] = len([t for t in texts if re.search(PRICE_WORDS, t, re.IGNORECASE)])
    judged = sales[sales["fate"] == "hold-out"]
    for name in pack.numeric:
        known = judged[[name, "price"]].dropna()
        if known[name].nunique() > 1:
            ranked = known.rank()
            found[f"rank correlation with the price/{name}"] = np.corrcoef(ranked[name], ranked["price"])[0, 1]
    found |= own_sale("own sale/before it is known", rows, "value_month_before", "value")
    found |= own_sale("own sale/once it is known", rows, "value", "value_month_after")
    return found | under("drills", quoted_tables(pack.bytes("drills.md").decode()) if pack.has("drills.md") else {})


def own_sale(name: str, rows: pd.DataFrame, first: str, then: str) -> dict[str, Any]:
    known = rows[rows[first].notna() & rows[then].notna()]
    if len(known) < 3:
        return {f"{name}/n": len(known)}
    way, gone = np.log(known["price"]) - np.log(known[first]), np.log(known[then]) - np.log(known[first])
    (slope, _), spread = np.polyfit(way, gone, 1, cov=True)
    reach = Z * math.sqrt(spread[0, 0])
    told = {"n": len(known), "share": slope, "share low": slope - reach, "share high": slope + reach}
    return under(name, told)


def quoted_tables(page: str) -> dict[str, str]:
    """Cells of Markdown tables, under row/column."""
    found: dict[str, str] = {}
    for block in re.findall(r"(?:^\|.*\n?)+", page, re.MULTILINE):
        heads, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        for row in rows:
            found |= {f"{row[0]}/{head}": cell for head, cell in zip(heads[1:], row[1:], strict=True)}
    return found


def conflicts(pack: Pack) -> dict[str, Any]:
    what = [line["what"] for line in pack.decisions]
    found: dict[str, Any] = {"decisions": len(what), "people": len({line["who"] for line in pack.decisions})}
    found |= {"overridden": what.count("overridden")} | {f"decisions/{one}": what.count(one) for one in set(what)}
    moved = (pack.rows["value_beside_request"] != pack.rows["value"]).sum()
    return found | {"values asked beside a request": len(pack.rows), "moved by the request": moved}


def sample(pack: Pack) -> dict[str, Any]:
    found: dict[str, Any] = {"drawn": len(drawn(pack)), "of": len(pack.rows), "reviewed": 0}
    if pack.has("findings.csv") and len(findings := pack.table("findings.csv")):
        kinds = list(findings["finding"])
        found |= {"reviewed": len(kinds)} | {f"found/{kind}": kinds.count(kind) for kind in KINDS}
        found |= share("not sound", findings["finding"] != "sound")
    return found


def nondiscrimination(pack: Pack) -> dict[str, Any]:
    rows = pack.rows
    found = under("all", treatment(rows, pack.level))
    amounts = pack.table("reasons.csv")
    amounts["amount"] = numbers(amounts["amount"])
    amounts = amounts[~amounts["group"].isin(["market", "rounding"])]
    weight = {
        str(group): part.groupby("sale_id")["amount"].sum().abs().sum() for group, part in amounts.groupby("group")
    }
    found |= {f"share of the reasons/{group}": total / sum(weight.values()) for group, total in weight.items()}
    of_place = weight.get("location", 0) + weight.get("comparables", 0)
    found["share of the reasons that rests on the place"] = of_place / sum(weight.values())
    trials = pack.table("trials.csv")
    with_equity = trials[[c for c in trials if re.search("prb|prd|vei|mki|equity", str(c))]]
    found |= {
        "trials searched": len(trials),
        "trials with a figure of equity": int((with_equity != "").any(axis=1).sum()),
    }
    if "neighbourhood" not in pack.roles:
        return found
    areas = {str(area): treatment(part, pack.level) for area, part in rows.groupby("segment.neighbourhood")}
    for area, told in areas.items():
        found |= under(f"area/{area}", told)
    large = pd.DataFrame([told for told in areas.values() if told["n"] >= 30], columns=list(next(iter(areas.values()))))
    found |= {"areas compared": len(large), "of them expected by chance": len(large) / 20}
    for name in ("signed error", "over-valued", "under-valued", "hit rate", "median width"):
        found[f"gap of {name}"] = large[name].max() - large[name].min() if len(large) else None
    found["areas valued high or low beyond chance"] = int(
        ((large["signed error low"] > 0) | (large["signed error high"] < 0)).sum()
    )
    used = pack.sales[pack.sales["fate"].isin(["training", "hold-out"])]
    place = used[pack.roles["neighbourhood"]].replace("", "missing")
    for name in ("price", *(f["name"] for f in pack.market["fields"] if f["name"] != place.name)):
        numeric = name == "price" or name in pack.numeric
        found[f"explained by the area/{name}"] = (correlation_ratio if numeric else tau)(used[name], place)
    return found


def treatment(rows: pd.DataFrame, level: str) -> dict[str, Any]:
    ratio = (rows["value"] / rows["price"]).to_numpy()
    found = {"n": len(rows)} | median("signed error", np.log(ratio)) | share("hit rate", rows["in_support"])
    found |= share("over-valued", ratio > 1.1) | share("under-valued", ratio < 1 / 1.1)
    return found | {"median width": ((rows[f"high_{level}"] - rows[f"low_{level}"]) / rows["value"]).median()}


def ranges(rows: pd.DataFrame, level: str) -> dict[str, Any]:
    low, high, price = rows[f"low_{level}"], rows[f"high_{level}"], rows["price"]
    found = share("coverage", (low <= price) & (price <= high))
    return found | {"median width": ((high - low) / rows["value"]).median()}


# Statistics, by their definitions.


def ratio_study(value: np.ndarray, price: np.ndarray) -> dict[str, Any]:
    """IAAO, Standard on Ratio Studies; the MKI by Quintos (2020); None where it can't be worked out."""
    n, ratio = len(value), value / price
    middle = np.median(ratio)
    proxy = (price + value / middle) / 2
    order = sorted(range(n), key=lambda i: (price[i], value[i])) if n else []
    rank = np.arange(1, n + 1)
    gini_value, gini_price = (
        2 * np.dot(rank, money[order]) / (n * money.sum()) - (n + 1) / n for money in (value, price)
    )
    groups = 10 if n >= 501 else 4 if n >= 51 else 2 if n >= 20 else 0
    lowest = ratio[np.argsort(proxy, kind="stable")][: (n - 1) // groups + 1] if groups else ratio
    highest = ratio[np.argsort(proxy, kind="stable")][(n - 1) * (groups - 1) // groups + 1 :] if groups else ratio
    found = {
        "mdape": np.median(abs(ratio - 1)),
        "ppe5": (abs(value - price) / price <= 0.05).mean(),
        "ppe10": (abs(value - price) / price <= 0.1).mean(),
        "ppe20": (abs(value - price) / price <= 0.2).mean(),
        "rmse_log": math.sqrt((np.log(ratio) ** 2).mean()),
        "r2": 1 - ((value - price) ** 2).sum() / ((price - price.mean()) ** 2).sum(),
        "median_ratio": middle,
        "cod": 100 * abs(ratio - middle).mean() / middle,
        "prd": ratio.mean() / (value.sum() / price.sum()),
        "prb": np.polyfit(np.log2(proxy), (ratio - middle) / middle, 1)[0],
        "mki": gini_value / gini_price,
        "vei": 100 * (np.median(highest) - np.median(lowest)) / middle if groups else math.nan,
    }
    return {"n": n} | {name: float(figure) if math.isfinite(figure) else None for name, figure in found.items()}


def share(name: str, which: Any) -> dict[str, float]:
    """A share and its interval by Wilson: where the share lies Z standard errors from what is seen."""
    n, seen = len(which), float(np.mean(which))
    low, high = sorted(np.roots([1 + Z**2 / n, -(2 * seen + Z**2 / n), seen**2]).real)
    return {name: seen, f"{name} low": low, f"{name} high": high}


def median(name: str, values: np.ndarray) -> dict[str, float | None]:
    """A median and its interval: the ranks that leave at most 2.5 % of the binomial distribution on either side."""
    n, ordered = len(values), sorted(values)
    rank, below, ways = 0, 0, 1  # of 2 ** n orders, those with fewer than `rank` values under the median
    while 40 * (below + ways) < 2**n:
        below, ways, rank = below + ways, ways * (n - rank) // (rank + 1), rank + 1
    ends = (ordered[rank - 1], ordered[n - rank]) if rank else (None, None)
    return {name: np.median(values), f"{name} low": ends[0], f"{name} high": ends[1]}


def correlation_ratio(fact: pd.Series, group: pd.Series) -> float | None:
    known = fact.notna()
    fact, group = fact[known], group[known]
    total = ((fact - fact.mean()) ** 2).sum()
    between = sum(len(part) * (part.mean() - fact.mean()) ** 2 for _, part in fact.groupby(group))
    return between / total if total > 0 else None


def tau(fact: pd.Series, group: pd.Series) -> float | None:
    """Goodman and Kruskal: how much less often a category is guessed wrong by those who know the group."""
    fact, group = fact[fact != ""], group[fact != ""]
    n = len(fact)
    both, rows, columns = ([len(part) for _, part in fact.groupby(keys)] for keys in ([group, fact], [group], [fact]))
    table = pd.crosstab(group, fact).to_numpy()
    assert table.sum() == n == sum(both) == sum(rows)
    within = (table**2 / table.sum(axis=1, keepdims=True)).sum() / n
    overall = sum((count / n) ** 2 for count in columns)
    return (within - overall) / (1 - overall) if overall < 1 else None


def under(name: str, found: dict[str, Any]) -> dict[str, Any]:
    return {f"{name}/{key}": number for key, number in found.items()}


def same(told: Any, found: Any) -> bool:
    if told is None or found is None or isinstance(told, str) or isinstance(found, str):
        return type(told) is type(found) and told == found
    return math.isclose(told, found, rel_tol=1e-9, abs_tol=1e-12)


def main() -> int:
    pack = Pack(Path(__file__).resolve().parent)
    wrong = 0
    for fault in faults(pack):
        print(f"WRONG          {fault}")
        wrong += 1
    found = derived(pack)
    for name in sorted({*pack.numbers, *found}):
        told = pack.numbers.get(name)
        if name not in found:
            print(f"NO DERIVATION  {name}: told {told}")
        elif name not in pack.numbers:
            print(f"NOT TOLD       {name}: derived {found[name]}")
        elif not same(told, found[name]):
            print(f"DIFFERS        {name}: told {told}, derived {found[name]}")
        else:
            print(f"OK             {name}: {told}")
            continue
        wrong += 1
    print(f"{len(pack.numbers)} numbers; {wrong or 'nothing'} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
