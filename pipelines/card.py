"""What is known of a model: its card (JSON, kept beside the bundle), and the page that tells who has served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.files import file_digest
from models.gate.check import finite, shown
from models.gate.measures import COST
from models.golden import golden_answers
from models.valuer import Valuer
from pipelines.ledger import Line
from pipelines.places import SALES
from pipelines.provenance import changed, commit, lock_digest

SAID = {"pass": "Passed", "fail": "Refused", "cannot tell": "Refused: cannot tell"}
SHORT = 12  # of a digest, where people only tell models apart by it


def model_name(market: str) -> str:
    return f"valuation-{market}"


def model_tag(card: Mapping[str, Any]) -> str:
    return f"{card['name']}:v{card['version']}"


def called(card: Mapping[str, Any]) -> str:
    """The model in words, also before the registry has given it a version."""
    return model_tag(card) if card.get("version") else f"{card['name']}, bundle {card['digest'][:SHORT]}"


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
        "memory_start": f"{valuer.memory.sales['sale_date'].min():%Y-%m-%d}",
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
        "golden": golden_answers(valuer),
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


def percent(raw: Any) -> str:
    """A share for people; "none" for what is no finite number."""
    return shown("mdape", finite(raw))


def _finite(figures: Mapping[str, Any] | None) -> dict[str, Any]:
    """Whole numbers stay whole; what is no finite number becomes None, which JSON can hold."""
    return {name: figure if finite(figure) is not None else None for name, figure in (figures or {}).items()}
