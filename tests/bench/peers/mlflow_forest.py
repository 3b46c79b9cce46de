"""The forests as an MLflow model, from code: ready-made features in, a bare number out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow.models
import numpy as np
from mlflow.pyfunc.model import PythonModel

from tests.bench.peers.forest import Forest


class Served(PythonModel):
    def load_context(self, context: Any) -> None:
        self.forest = Forest(Path(context.artifacts["forests"]))

    def predict(self, context: Any, model_input: Any, params: Any = None) -> list[float]:
        return [self.forest.value(row) for row in np.asarray(model_input, dtype="float64")]


mlflow.models.set_model(Served())
