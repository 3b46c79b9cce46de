"""The line: one stage a file, run as `python -m pipelines.<stage>` from the folder with params.yaml.

Importing this package is the first thing that each stage does, so the switches below stand before
any library that reads them at import. They are defaults: what the environment sets already, stays.
"""

import os

_SWITCHES = {
    # Nothing here phones home.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "DVC_NO_ANALYTICS": "1",
    "DO_NOT_TRACK": "true",
    # Idle OpenMP threads sleep; spinning, they take the processors from the thread that works.
    "OMP_WAIT_POLICY": "passive",
    # Sums are added up in one order, whatever the machine's number of cores.
    "OPENBLAS_NUM_THREADS": "1",
}
for _name, _value in _SWITCHES.items():
    os.environ.setdefault(_name, _value)
