"""Every file of the line, named once, under the stage that makes it (or the market's own)."""

from pathlib import Path

MARKETS = Path("data/markets")
LOCK = Path("requirements.lock")
STATE = Path(".assay")  # what no cache can bring back, and no clone shares

# ingest
RAW = Path("data/raw/sales.parquet")

REPORTS = Path("data/reports")

# validate
SALES = Path("data/validated/sales.parquet")
SET_ASIDE = Path("data/validated/set_aside.parquet")
VALIDATION, VALIDATION_PAGE = REPORTS / "validation.json", REPORTS / "validation.html"
PROFILE = REPORTS / "profile.json"

# split
TRAIN, HOLDOUT = Path("data/split/train.parquet"), Path("data/split/holdout.parquet")
WINDOWS = Path("data/split/split.json")

# tune
STUDY = Path("data/study")
BEST, TRIALS = STUDY / "best.json", STUDY / "trials.parquet"

# train
BUNDLE = Path("data/model")
BACKTEST = Path("data/backtest.parquet")

# evaluate
VALUED = REPORTS / "holdout.parquet"
EVALUATION, METRICS = REPORTS / "evaluation.json", REPORTS / "metrics.json"
PLOTS = REPORTS / "plots"

# experiments and drills, by hand
EXPERIMENTS, DRILLS = Path("docs/experiments.md"), Path("docs/drills.md")

# promote and the scorecard
VERDICT, SCORECARD = REPORTS / "verdict.json", REPORTS / "scorecard.json"
REPORT, REPORT_TEXT = REPORTS / "report.html", REPORTS / "report.md"

# the evidence pack, by hand
EVIDENCE = REPORTS / "evidence"

# what a change does to the figures, by CI
COMPARISON = REPORTS / "comparison.md"
