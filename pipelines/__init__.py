"""The line: one stage a file, run as `python -m pipelines.<stage>` from the folder with params.yaml.

Importing this package is the first thing that each stage does, so the switches below stand before
any library that reads them at import.
"""

import os

# Defaults: what the environment sets already, stays.
_SWITCHES = {
    # Nothing here phones home.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "DO_NOT_TRACK": "true",
    # Idle OpenMP threads sleep; spinning, they take the processors from the thread that works.
    "OMP_WAIT_POLICY": "passive",
}
for _name, _value in _SWITCHES.items():
    os.environ.setdefault(_name, _value)

# No default: sums are added up in one order, whatever the machine's number of cores or its environment.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
