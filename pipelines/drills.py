"""drills: what the model must hold up to, counted; poisoned sales, measured. Writes `docs/drills.md`.

Not a stage of the line: it takes minutes and decides nothing.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from tqdm import tqdm

from models.bundle import read_bundle
from models.drill import directions, mislabelled, reasons_off, waterfalls_off, with_noise, with_typo
from models.files import read_json, write_text
from models.fit import Settings, fit_valuer, judge_folds
from models.gate.check import shown
from models.market import Market
from models.memory import Progress
from models.ratio_study import study
from models.split import Split, Window
from models.training import make_fold
from models.valuer import PROPERTY, Valuer
from pipelines.market_file import load_market
from pipelines.params import load_params
from pipelines.past import learn_from
from pipelines.places import BUNDLE, DRILLS, HOLDOUT, SALES, TRAIN, WINDOWS
from pipelines.settings import found_settings
from pipelines.stage import run

WHAT_IFS = 1_000_000
TOLD = 10_000  # homes whose reasons and waterfalls are added up


def main() -> None:
    params = load_params()
    market = load_market(params.market_file)
    valuer, _ = read_bundle(BUNDLE)
    train, holdout, sales = (pd.read_parquet(path) for path in (TRAIN, HOLDOUT, SALES))
    live = valuer.refreshed(sales)
    homes = sales.sample(min(TOLD, len(sales)), random_state=params.seed)
    lines = [
        "# Drills",
        "",
        f"Written by `make drills`: the model of the line, {market.label}.",
        "",
        "## Counted",
        "",
        "| drill | asked | wrong |",
        "|---|---:|---:|",
    ]
    asked = directions(live, homes, -(-WHAT_IFS // len(homes)), params.seed, _shown("what-ifs"))
    while asked.asked < WHAT_IFS and asked.asked:  # facts that are missing, or drawn as they were, ask nothing
        asked += directions(live, homes, 20, params.seed + asked.asked)
    lines.append(f"| one fact moved: the value never goes against its direction | {asked.asked:,} | {asked.wrong:,} |")
    off = reasons_off(live, homes, _shown("reasons"))
    lines.append(f"| reasons add up to the value, to the cent | {len(homes):,} | {off:,} |")
    off = waterfalls_off(valuer, live, homes, params.seed, _shown("waterfalls"))
    lines.append(f"| what changed adds up to the difference, to the cent | {len(homes):,} | {off:,} |")
    windows = Split.from_dict(read_json(WINDOWS)).folds
    lines += [
        "",
        "## Poisoned sales",
        "",
        *poison(valuer, train, holdout, sales, windows, found_settings(params), market, params.seed),
        "",
    ]
    write_text(DRILLS, "\n".join(lines))
    print("\n".join(lines))


def poison(
    clean: Valuer,
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    sales: pd.DataFrame,
    windows: tuple[Window, ...],
    settings: Settings,
    market: Market,
    seed: int,
) -> list[str]:
    """The line's model trained anew on poisoned sales that slipped past validation, beside the clean one."""
    typo, where = with_typo(train, seed)
    noisy, noisy_market = with_noise(train, market, seed)
    drills = {
        "one sale of the last year at 10,000,000": (typo, market, sales),
        "that sale left out": (train[typo["price"].eq(train["price"])], market, sales),
        "1 % of the prices belong to other homes": (mislabelled(train, seed), market, sales),
        "a fact drawn by lot": (noisy, noisy_market, with_noise(sales, market, seed)[0]),
    }
    others = holdout[holdout[PROPERTY] != where]
    told = [
        "Trained anew with the same seed. Values of the hold-out's homes on the day the training ended; the error is",
        "that of the hold-out, valued live.",
        "",
        f"| poison | median move | P99 | most | of {len(others):,} homes by over 1 % | MdAPE clean | MdAPE poisoned |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    before = clean.value(others, clean.trained_day)
    untouched = _mdape(clean.refreshed(sales), holdout)
    for name, (poisoned, of, memory) in tqdm(drills.items(), desc="drills: poison"):
        valuer = _trained(poisoned, of, windows, settings, clean)
        homes = others if of is market else memory[memory["sale_id"].isin(others["sale_id"])]
        moved = np.abs(valuer.value(homes, clean.trained_day) / before - 1)
        later = memory[memory["sale_id"].isin(holdout["sale_id"])]
        worse = _mdape(valuer.refreshed(memory), later)
        figures = " | ".join(shown("mdape", float(np.quantile(moved, q))) for q in (0.5, 0.99, 1.0))
        over = f"{int((moved > 0.01).sum()):,}"
        told.append(f"| {name} | {figures} | {over} | {shown('mdape', untouched)} | {shown('mdape', worse)} |")
    return told


def _trained(
    sales: pd.DataFrame, market: Market, windows: tuple[Window, ...], settings: Settings, clean: Valuer
) -> Valuer:
    learnt = learn_from(sales, market, "drills")
    judged = judge_folds([make_fold(learnt, windows[-1])], settings)
    return fit_valuer(learnt, judged, settings, clean.level, clean.horizon_days)


def _shown(what: str) -> Progress:
    return lambda turns: tqdm(turns, desc=f"drills: {what}")


def _mdape(valuer: Valuer, holdout: pd.DataFrame) -> float:
    figure = study(valuer.value(holdout, holdout["sale_date"]), holdout["price"].to_numpy())["mdape"]
    return float("nan") if figure is None else float(figure)


if __name__ == "__main__":
    run(main)
