"""The model as MLflow loads it back: the bundle, valued by the same code that serves it.

MLflow keeps this file's text, not a pickled object ("models from code"), with the bundle and the
`models` package beside it. The server never reads it; it is there for whoever compares versions with
`mlflow.pyfunc.load_model("models:/valuation-<market>@champion")`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from models.bundle import read_bundle
from models.valuer import PROPERTY


class LoggedValuer(PythonModel):
    """Rows of homes to values; an `as_of` column (ISO dates) and a `property_id` column
    are optional, as in the API."""

    def load_context(self, context: Any) -> None:
        self.valuer, _ = read_bundle(context.artifacts["bundle"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> np.ndarray:
        as_of = model_input["as_of"] if "as_of" in model_input else pd.Series(pd.NaT, index=model_input.index)
        days = pd.to_datetime(as_of).fillna(pd.Timestamp(self.valuer.current_day))
        names = (*self.valuer.market.field_names, PROPERTY)
        homes = {name: model_input.get(name, np.nan) for name in names}
        return self.valuer.value(pd.DataFrame(homes, index=model_input.index), days)


set_model(LoggedValuer())
