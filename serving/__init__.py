"""The service: it loads the promoted model and answers requests.

The environment below must stand before BentoML reads it. `make serve` exports the same; here it is
set for whoever calls `bentoml` directly, and for the workers that inherit it.
"""

import os
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent

os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# No default: sums are added up in the line's order, whatever the machine's number of cores.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
if (_ROOT / "pyproject.toml").is_file():  # a checkout, not a bento, which lies in a store already
    os.environ.setdefault("BENTOML_HOME", str(_ROOT / ".assay" / "bentoml"))

# BentoML's command line has asked, and remembered, whether to send usage figures before it imports us.
if _usage := sys.modules.get("bentoml._internal.utils.analytics.usage_stats"):
    _usage.do_not_track.cache_clear()
