"""What MLflow shows of a candidate's run: its name, parameters, metrics, tags and the sales it rests on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from models.files import file_digest
from models.gate.check import PASS, ends, finite
from pipelines.card import SAID
from pipelines.places import SALES
from pipelines.tracking import Tracking

if TYPE_CHECKING:
    from mlflow.entities import Run

HELD_OUT = "assay.holdout"
#: Figures of the reference models and the champion that are worth a column in MLflow's table of runs.
BESIDE = ("mdape", "ppe10", "r2", "cod")
NAMED = 3  # checks that a run's name tells of


def log_dataset(tracking: Tracking, run: Run, card: Mapping[str, Any]) -> None:
    """The validated sales by the MD5 that DVC knows them by; MLflow's digests hold 36 characters."""
    if (run.inputs and run.inputs.dataset_inputs) or not SALES.is_file() or file_digest(SALES) != card["data"]:
        return
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.pandas_dataset import from_pandas
    from mlflow.entities import Dataset, DatasetInput, InputTag

    md5 = hashlib.md5(SALES.read_bytes(), usedforsecurity=False).hexdigest()
    sales = pd.read_parquet(SALES)
    numeric = sales.select_dtypes("number").columns
    dataset = from_pandas(
        sales.astype(dict.fromkeys(numeric, "float64")),
        source=CodeDatasetSource({"dvc_path": str(SALES), "dvc_md5": md5}),
        targets="price",
        name=f"sales-{card['market']['name']}",
        digest=md5,
    )
    context = [InputTag("mlflow.data.context", "training")]
    tracking.client.log_inputs(run.info.run_id, [DatasetInput(Dataset(**dataset.to_dict()), context)])


def people_name(card: Mapping[str, Any]) -> str:
    """The run's name: in a table of runs it says what came of each, and on what account."""
    against = [check["name"] for check in card["verdict"]["checks"] if check["outcome"] != PASS]
    more = [f"{len(against) - NAMED} more"] if len(against) > NAMED else []
    outcome = "passed" if card["verdict"]["outcome"] == PASS else f"refused: {', '.join([*against[:NAMED], *more])}"
    return f"{card['market']['name']} {card['digest'][:8]} {outcome}"


def run_params(card: Mapping[str, Any]) -> dict[str, Any]:
    facts = {k: card[k] for k in ("memory_end", "horizon_days", "level")}
    return {"market": card["market"]["name"], **facts, **card["params"]}


def run_metrics(card: Mapping[str, Any]) -> dict[str, float]:
    verdict = card["verdict"]
    figures = dict(card["figures"]) | {f"range.{k}": card["range"].get(k) for k in ("coverage", "median_width")}
    for name, interval in card["intervals"].items():
        figures |= dict(zip((f"{name}.low", f"{name}.high"), ends(interval), strict=True))
    figures |= dict(card["churn"]) | {f"frozen.{name}": card["frozen"].get(name) for name in BESIDE}
    figures |= {f"backtest.{fold}.mdape": rows["candidate"].get("mdape") for fold, rows in card["backtest"].items()}
    beside = {f"reference.{name}": row for name, row in card["references"].items()}
    if champion := verdict.get("champion"):
        beside["champion"] = champion["figures"]
    figures |= {f"{who}.{name}": row.get(name) for who, row in beside.items() for name in BESIDE}
    figures["gate.checks"] = len(verdict["checks"])
    figures["gate.not_passed"] = sum(c["outcome"] != PASS for c in verdict["checks"])
    return {name: figure for name, raw in figures.items() if (figure := finite(raw)) is not None}


def lineage_tags(card: Mapping[str, Any]) -> dict[str, str]:
    verdict = card["verdict"]
    commit = {} if card["commit"] == "none" else {"mlflow.source.git.commit": card["commit"].removesuffix("+dirty")}
    return commit | {
        "verdict": SAID[verdict["outcome"]],
        "verdict.reason": " ".join(verdict["reasons"]) or f"All {len(verdict['checks'])} checks passed.",
        "assay.data": card["data"],
        "assay.lock": card["lock"],
        "assay.commit": card["commit"],
        HELD_OUT: holdout_tag(card),
    }


def holdout_tag(card: Mapping[str, Any]) -> str:
    """What the sales that judged are told apart by."""
    holdout = card["holdout"]
    return f"{holdout['rows']} sales, {holdout['first']} to {holdout['last']}"
