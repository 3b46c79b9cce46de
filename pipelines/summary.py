"""What a model's card says, as sections for a reviewer: the verdict first.

The page of a version (`pipelines/report.py`) begins with all of them; MLflow's description of the run and of the
version is the first few.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from models.gate.check import MEANINGS, PASS, finite, shown
from models.gate.segments import TOO_FEW
from pipelines.card import SAID, called, percent
from pipelines.document import (
    BAD,
    GOOD,
    QUIET,
    Block,
    Cell,
    Command,
    Heading,
    Items,
    Paragraph,
    Section,
    Table,
    markdown,
)

#: The figures a reviewer compares models by.
COMPARED = ("mdape", "ppe10", "ppe20", "r2", "median_ratio", "cod", "prd", "prb", "vei")
#: What each group of checks asks, in the order in which they are told.
ASKED = {
    "accuracy": "Is it accurate?",
    "equity": "Is its level right, and are cheap and dear homes valued alike?",
    "segments": "Is it good everywhere?",
    "references": "Does it beat the simple ways?",
    "champion": "Is it as good as the champion?",
    "stability": "Does it move values for nothing?",
    "calibration": "Do its ranges hold what they promise?",
    "behaviour": "Does it behave when it is questioned?",
    "sanity": "Is it too good to be true?",
    "provenance": "Is it known where it comes from?",
    "cost": "Can it be served?",
}
#: Checks whose name is no figure of a ratio study.
NAMES = {
    "rows": "enough sales",
    "complete": "every figure",
    "segments": "every group of homes",
    "champion": "error beside the champion's",
    "churn": "typical move of values",
    "churn_p95": "large moves of values",
    "coverage": "prices inside the range",
    "coverage_80": "prices inside the 80 % range",
    "width": "width of the range",
    "directions": "more of what is better never lowers a value",
    "cliff": "no cliffs",
    "twins": "equal homes, equal values",
    "poison": "one absurd sale",
    "too_good": "not too good to be true",
    "validated": "sales as validated",
    "committed": "code in a commit",
    "locked": "libraries as locked",
    "studied": "parameters as found",
    "withdrawn": "not taken back by a person",
    "milliseconds": "time for one answer",
    "megabytes": "size",
    "load_seconds": "time to be ready",
    "slower": "time beside the champion's",
}
OUTCOMES = {"fail": "failed", "cannot tell": "cannot tell", "pass": "passed"}  # refusals first
#: What MLflow's table of versions can hold in every database.
LONGEST = 5000


def description(card: Mapping[str, Any]) -> str:
    """Markdown for MLflow, no longer than it can hold."""
    sections = [verdict_section(card), compared_section(card), trust_section(card), lineage_section(card)]
    text = markdown(sections)
    whole = "The whole page, with plots and every check: the run's artifact `report.html`."
    kept = text if len(text) + len(whole) < LONGEST else text[: LONGEST - len(whole) - 3].rpartition("\n")[0] + "\n\n"
    return kept + whole


def verdict_section(card: Mapping[str, Any], doubts: Sequence[str] = ()) -> Section:
    """The verdict, every reason against the model, who decided, and how to take it back.

    Args:
        doubts: why the model would be refused by today's bounds, where it serves by a verdict of before.
    """
    verdict, override, holdout = card["verdict"], card.get("override"), card["holdout"]
    checks, passed = verdict["checks"], verdict["outcome"] == PASS
    judged = f"{holdout['rows']:,} sales of {holdout['first']} to {holdout['last']}"
    blocks: list[Block] = [Paragraph(f"{called(card)}, {card['market']['label']}, judged on {judged}.", tone=QUIET)]
    if override:
        lead = f"Made champion all the same by {override['who']} on {_when(override['at'])}:"
        blocks.append(Paragraph(override["why"], lead, BAD))
    if passed:
        since = card.get("promoted_at")
        became = f" The gate made it the champion on {_when(since)}." if since else ""
        blocks.append(Paragraph(f"All {len(checks)} checks of the gate passed.{became}"))
    else:
        short = sum(check["outcome"] != PASS for check in checks)
        lead = f"{short} of {len(checks)} checks did not pass."
        blocks += [Paragraph(_refusal(card), lead), Items(verdict["reasons"])]
    if doubts:
        blocks += [Paragraph("", "It serves by an earlier verdict; by today's bounds it would be refused:", BAD)]
        blocks.append(Items(doubts))
    return Section(SAID[verdict["outcome"]], [*blocks, Paragraph(_in_short(card)), *_next_steps(card)])


def tone(card: Mapping[str, Any], doubts: Sequence[str] = ()) -> str:
    return GOOD if card["verdict"]["outcome"] == PASS and not doubts else BAD


def compared_section(card: Mapping[str, Any]) -> Section:
    """The model beside the champion and the reference models, on the same sales."""
    champion, intervals = _rival(card), card["intervals"]
    models = {"this model": card["figures"]}
    if champion:
        models[f"champion {champion['tag']}"] = champion["figures"]
    models |= {name.replace("_", " "): figures for name, figures in card["references"].items()}
    models["this model, frozen"] = card["frozen"]
    heads = ["figure", *models]
    heads.insert(2, "95 % interval")
    rows = []
    for name in COMPARED:
        told = [Cell(shown(name, finite(figures.get(name)))) for figures in models.values()]
        told.insert(1, Cell(_interval(name, *(intervals.get(name) or (None, None)))))
        rows.append([Cell(MEANINGS[name]), *told])
    says = "Each home valued with what was known before its month; frozen: with what was known at its training."
    return Section("Beside the champion and the simple ways", [Table(says, heads, rows)])


def gate_section(card: Mapping[str, Any]) -> Section:
    """Every check, by what it is about; what did not pass comes first."""
    checks = card["verdict"]["checks"]
    abouts = dict.fromkeys([*ASKED, *(check.get("about", "") for check in checks)])
    groups = [(about, [c for c in checks if c.get("about", "") == about]) for about in abouts]
    blocks: list[Block] = []
    for about, group in sorted(groups, key=lambda one: min((_rank(c) for c in one[1]), default=len(OUTCOMES))):
        if group:
            asked = ASKED.get(about, about or "Checks")
            rows = [_check(check) for check in sorted(group, key=_rank)]
            blocks += [Heading(asked), Table(_counted(group), CHECK_HEADS, rows, words=(0, 1, 4))]
    return Section("The gate, check by check", blocks)


CHECK_HEADS = ("check", "outcome", "measured", "95 % interval", "allowed", "rests on")


def segments_section(card: Mapping[str, Any]) -> Section | None:
    """Every group of sales that was judged or was too small to be; None where the gate has told of none."""
    rows = [row for check in card["verdict"]["checks"] for row in check.get("rows") or ()]
    if not rows:
        return None
    told = sorted(rows, key=lambda row: row["says"] in ("", TOO_FEW))
    heads = ("group", "sales", "typical error", "median value / price", "inside the range", "beside the champion", "")
    says = "Bad groups first. Beside the champion: mean error less the champion's, in points; below 0 is better."
    return Section("Group by group", [Table(says, heads, [_group(row) for row in told], words=(0, 6))])


def backtest_section(card: Mapping[str, Any]) -> Section | None:
    """Typical error of every earlier year, each valued from the years before it."""
    years = card["backtest"]
    if not years:
        return None
    names = list(next(iter(years.values())))
    rows = [
        [Cell(fold), *(Cell(shown("mdape", finite(models[name].get("mdape")))) for name in names)]
        for fold, models in years.items()
    ]
    heads = ["year from", *(name.replace("_", " ") for name in names)]
    says = "Typical error (MdAPE), each year valued from the years before it."
    return Section("Every earlier year", [Table(says, heads, rows)])


def trust_section(card: Mapping[str, Any]) -> Section:
    """Ranges and churn in two sentences."""
    churn, told = card["churn"], card["range"]
    ranges = (
        f"{percent(told.get('coverage'))} of the prices lie inside the {percent(told.get('level'))} range; at the "
        f"median it is {percent(told.get('median_width'))} of the value wide (one range for all homes that covers as "
        f"many: {percent(told.get('global_width'))})."
    )
    moves = (
        f"Trained again with another seed, values move by {percent(churn.get('churn_seed_median'))} at the median, "
        f"{percent(churn.get('churn_seed_p99'))} at the 99th percentile, {percent(churn.get('churn_seed_max'))} at "
        f"most; with a quarter of sales more, the market aside, by {percent(churn.get('churn_data_median'))} at the "
        f"median and {percent(churn.get('churn_data_p95'))} at the 95th percentile."
    )
    return Section("Ranges and churn", [Items([ranges, moves])])


def lineage_section(card: Mapping[str, Any]) -> Section:
    market = card["market"]
    run = [f"MLflow run `{card['run']}`"] if card.get("run") else []
    facts = [
        f"market: {market['label']} ({market['currency']}); knows sales up to {card['memory_end']}",
        f"bundle `{card['digest']}`",
        f"data `{card['data']}`",
        f"libraries `{card['lock']}`",
        f"commit `{card['commit']}`",
        *run,
    ]
    return Section("Where it comes from", [Items(facts)])


def _refusal(card: Mapping[str, Any]) -> str:
    if card.get("override"):
        return "The gate refused this model, because:"
    if since := card.get("promoted_at"):
        return f"It has been the champion since {_when(since)}; judged again, it would be refused, because:"
    return "This model may not serve, because:"


def _when(at: str) -> str:
    """A moment as the ledger has it, for people: both are in UTC."""
    return f"{at[:10]} {at[11:16]} UTC"


def _in_short(card: Mapping[str, Any]) -> str:
    """The typical error, beside the champion's and that of the best reference model."""
    told = shown("mdape", finite(card["figures"].get("mdape")))
    ends = _interval("mdape", *(card["intervals"].get("mdape") or (None, None)))
    beside = [f" (95 % interval {ends})"] if ends else []
    if champion := _rival(card):
        its = shown("mdape", finite(champion["figures"].get("mdape")))
        beside.append(f"; the champion's, {champion['tag']}, {its}")
    known = {name: error for name, row in card["references"].items() if (error := finite(row.get("mdape"))) is not None}
    if known:
        best = min(known, key=lambda name: known[name])
        beside.append(f"; that of the best simple way, {best.replace('_', ' ')}, {shown('mdape', known[best])}")
    return f"Its typical error is {told}{''.join(beside)}."


def _rival(card: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The champion that it was compared with, where that is another model."""
    champion: Mapping[str, Any] | None = card["verdict"].get("champion")
    return champion if champion and champion["digest"] != card["digest"] else None


def _next_steps(card: Mapping[str, Any]) -> Iterator[Block]:
    if card.get("promoted_at"):
        yield Paragraph("While it serves, this goes back to the champion before it:")
        yield Command("make rollback WHY='...'")
        return
    if card["verdict"]["outcome"] != PASS and card.get("version"):
        yield Paragraph("A person may overrule the gate; the reason is kept in the ledger and told in every answer:")
        yield Command(f"python -m pipelines.champions promote v{card['version']} --why '...'")


def _rank(check: Mapping[str, Any]) -> int:
    return list(OUTCOMES).index(check["outcome"])


def _counted(group: Sequence[Mapping[str, Any]]) -> str:
    passed = sum(check["outcome"] == PASS for check in group)
    return f"{passed} of {len(group)} passed"


def _check(check: Mapping[str, Any]) -> list[Cell]:
    name, figure, n = check["name"], finite(check.get("figure")), check.get("n")
    mark = GOOD if check["outcome"] == PASS else BAD
    return [
        Cell(_named(name), note=check["reason"]),
        Cell(OUTCOMES[check["outcome"]], mark),
        Cell(check.get("told") or shown(name, figure)),
        Cell(_interval(name, check.get("low"), check.get("high"), check.get("about", ""))),
        Cell(check["bound"]),
        Cell("" if n is None else f"{n:,}"),
    ]


def _named(check: str) -> str:
    reference = check.removeprefix("reference.")
    told = f"against {reference}" if reference != check else check
    return NAMES.get(check) or MEANINGS.get(check) or told.replace("_", " ")


def _group(row: Mapping[str, Any]) -> list[Cell]:
    against = finite(row.get("against_champion"))
    bad = BAD if row["says"] not in ("", TOO_FEW) else ""
    return [
        Cell(f"{row['segment'].replace('_', ' ')}: {row['group']}", bad),
        Cell(f"{row['n']:,}"),
        Cell(shown("mdape", finite(row.get("mdape")))),
        Cell(shown("median_ratio", finite(row.get("median_ratio")))),
        Cell(percent(row.get("coverage"))),
        Cell("none" if against is None else _points(against)),
        Cell(row["says"], bad or QUIET),
    ]


def _interval(name: str, low: Any, high: Any, about: str = "") -> str:
    """Both ends as the figure itself is told; empty where there is no interval."""
    ends = [finite(low), finite(high)]
    if None in ends:
        return ""
    if about == "champion":
        return " to ".join(_points(end or 0) for end in ends)
    return " to ".join(percent(end) if about == "calibration" else shown(name, end) for end in ends)


def _points(error: float) -> str:
    """Hundredths with their sign; nothing is plus zero."""
    return f"{round(100 * error, 2) + 0.0:+.2f}"
