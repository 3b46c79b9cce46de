"""What is known of a model: its card (JSON, kept beside the bundle) and the page a reviewer reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.files import file_digest
from models.gate.check import MEANINGS, PASS, finite, shown
from models.gate.measures import COST
from models.valuer import Valuer
from pipelines.ledger import Line
from pipelines.places import SALES
from pipelines.provenance import changed, commit, lock_digest

SAID = {"pass": "Passed", "fail": "Refused", "cannot tell": "Refused: cannot tell"}
#: The figures a reviewer compares models by, in the page's table.
COMPARED = ("mdape", "ppe10", "ppe20", "r2", "median_ratio", "cod", "prd", "prb")


def model_name(market: str) -> str:
    return f"valuation-{market}"


def model_tag(card: Mapping[str, Any]) -> str:
    return f"{card['name']}:v{card['version']}"


def build_card(
    valuer: Valuer, digest: str, evaluation: Mapping[str, Any], verdict: Mapping[str, Any], best: Mapping[str, Any]
) -> dict[str, Any]:
    """All that is known before the registry has given the model a version and a run.

    Args:
        evaluation: as `pipelines/evaluate.py` writes it.
        verdict: the gate's, with the champion it was compared with under `champion` (tag, figures), or None.
        best: the study's best trial, as `pipelines/tune.py` writes it.
    """
    market = valuer.market
    return {
        "name": model_name(market.name),
        "digest": digest,
        "data": file_digest(SALES),
        "lock": lock_digest() or "none",
        "commit": commit() + ("+dirty" if changed() else ""),
        "market": {"name": market.name, "label": market.label, "currency": market.currency},
        "memory_end": valuer.memory_end.isoformat(),
        "horizon_days": valuer.horizon_days,
        "level": valuer.level,
        "trained": valuer.trained_day.isoformat(),
        "params": dict(best["searched"]) | {"rounds": best["rounds"], "bags": len(valuer.bag.forests)},
        "holdout": evaluation["holdout"],
        "figures": _finite(evaluation.get("figures")),
        "intervals": dict(evaluation.get("intervals") or {}),
        "frozen": _finite(evaluation.get("frozen")),
        "range": _finite(evaluation.get("range")),
        "churn": _finite(evaluation.get("churn")),
        "backtest": {
            fold: {name: _finite(figures) for name, figures in rows.items()}
            for fold, rows in (evaluation.get("backtest") or {}).items()
        },
        "references": {name: _finite(figures) for name, figures in (evaluation.get("references") or {}).items()},
        "verdict": dict(verdict),
    }


def unregistered(card: Mapping[str, Any]) -> dict[str, Any]:
    """The card as the registry keeps it: without what the registry itself decides."""
    return {k: v for k, v in card.items() if k not in ("version", "run", "promoted_at")}


def apart_from_time(card: Mapping[str, Any]) -> dict[str, Any]:
    """The card without what was timed: a clock says something else each time, and that makes no other model."""
    verdict = card["verdict"]
    untimed = [check for check in verdict["checks"] if check.get("about") != COST]
    return {**card, "verdict": {k: v for k, v in verdict.items() if k != "reasons"} | {"checks": untimed}}


def same_measure(card: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two cards of one model rest on the same data and say the same of it."""
    told = ("digest", "data", "holdout", "figures", "frozen", "range", "churn", "backtest", "references")
    return all(card.get(k) == other.get(k) for k in told)


def page(card: Mapping[str, Any]) -> str:
    """Markdown, the verdict first: what MLflow shows as the description of the run and of the version."""
    verdict, override = card["verdict"], card.get("override")
    lines = [f"## {SAID[verdict['outcome']]}", ""]
    if override:
        lines += [f"**Made champion all the same by {override['who']} on {override['at']}:** {override['why']}", ""]
    if verdict["outcome"] == PASS:
        lines += [f"All {len(verdict['checks'])} checks of the gate passed.", ""]
    else:
        lines += ["This model may not serve, because:", "", *(f"- {reason}" for reason in verdict["reasons"]), ""]
    return "\n".join([*lines, *_comparison(card), *_backtest(card), *_trust(card), *_checks(verdict), *_facts(card)])


def reigns(told: Sequence[Line]) -> str:
    """Markdown: who serves, and every decision that led there, the latest first; the page of the registered model."""
    last = told[-1]
    rows = [
        f"| {line.at} | {line.what} | {line.was or ''} | {line.tag} | {line.who} | {_cell(line.why)} |"
        for line in reversed(told)
    ]
    return "\n".join(
        [
            f"## {last.tag} serves",
            "",
            f"{last.what.capitalize()} on {last.at} by {last.who}: {last.why}",
            "",
            "Back to the one before, in seconds: `make rollback WHY='...'`.",
            "",
            "| when | decision | from | to | who | why |",
            "|---|---|---|---|---|---|",
            *rows,
        ]
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _comparison(card: Mapping[str, Any]) -> list[str]:
    champion = card["verdict"].get("champion")
    rows = {"**this model**": card["figures"], "this model, frozen at its training": card["frozen"]}
    if champion:
        rows[f"champion {champion['tag']}"] = champion["figures"]
    rows |= {name.replace("_", " "): figures for name, figures in card["references"].items()}
    table = [
        "### On the same hold-out sales",
        "",
        f"| model | {' | '.join(COMPARED)} |",
        "|---|" + "---:|" * len(COMPARED),
        *(f"| {who} | {' | '.join(shown(f, finite(row.get(f))) for f in COMPARED)} |" for who, row in rows.items()),
        "",
    ]
    return [*table, "; ".join(f"{name}: {MEANINGS[name]}" for name in COMPARED) + ".", ""]


def _backtest(card: Mapping[str, Any]) -> list[str]:
    """Typical error of every earlier year, each valued from the years before it."""
    years = card["backtest"]
    if not years:
        return []
    names = list(next(iter(years.values())))
    return [
        "### Every earlier year, valued from the years before it (MdAPE)",
        "",
        f"| year from | {' | '.join(name.replace('_', ' ') for name in names)} |",
        "|---|" + "---:|" * len(names),
        *(
            f"| {fold} | {' | '.join(shown('mdape', finite(rows[n].get('mdape'))) for n in names)} |"
            for fold, rows in years.items()
        ),
        "",
    ]


def _trust(card: Mapping[str, Any]) -> list[str]:
    """Ranges and churn in two sentences."""
    churn, told = card["churn"], card["range"]
    return [
        "### Ranges and churn",
        "",
        f"- {percent(told.get('coverage'))} of the prices lie inside the {percent(told.get('level'))} range; at the "
        f"median it is {percent(told.get('median_width'))} of the value wide (one range for all homes that covers as "
        f"many: {percent(told.get('global_width'))})",
        f"- trained again with another seed, values move by {percent(churn.get('churn_seed_median'))} at the median, "
        f"{percent(churn.get('churn_seed_p99'))} at the 99th percentile, {percent(churn.get('churn_seed_max'))} at "
        f"most; with a quarter of sales more, the market aside, by {percent(churn.get('churn_data_median'))} at the "
        f"median and {percent(churn.get('churn_data_p95'))} at the 95th percentile",
        "",
    ]


def _checks(verdict: Mapping[str, Any]) -> list[str]:
    """The gate's table, refusals first."""
    refused_first = sorted(verdict["checks"], key=lambda c: ("fail", "cannot tell", "pass").index(c["outcome"]))
    rows = (
        f"| {c['about']} | {c['name']} | {c['outcome'] if c['outcome'] == PASS else '**' + c['outcome'] + '**'} | "
        f"{c['told']} | {c['bound']} | {_cell(c['reason'])} |"
        for c in refused_first
    )
    return [
        "### The gate",
        "",
        "| about | check | outcome | figure | allowed | in words |",
        "|---|---|---|---:|---|---|",
        *rows,
        "",
    ]


def _facts(card: Mapping[str, Any]) -> list[str]:
    holdout, market = card["holdout"], card["market"]
    return [
        "### What it is",
        "",
        f"- market: {market['label']} ({market['currency']})",
        f"- knows sales up to {card['memory_end']}; judged on {holdout['rows']:,} sales from {holdout['first']} "
        f"to {holdout['last']}",
        f"- bundle `{card['digest']}`",
        f"- data `{card['data']}`",
        f"- libraries `{card['lock']}`",
        f"- commit `{card['commit']}`",
        "",
    ]


def percent(raw: Any) -> str:
    """A share for people; "none" for what is no finite number."""
    return shown("mdape", finite(raw))


def _finite(figures: Mapping[str, Any] | None) -> dict[str, Any]:
    """Whole numbers stay whole; what is no finite number becomes None, which JSON can hold."""
    return {name: figure if finite(figure) is not None else None for name, figure in (figures or {}).items()}
