"""What a model is trained with: the search's best settings, and the bag and seed that params ask for."""

from __future__ import annotations

from models.files import read_json
from models.fit import Settings
from pipelines.params import Params
from pipelines.places import BEST


def found_settings(params: Params) -> Settings:
    best = read_json(BEST)
    return Settings(best["searched"], best["rounds"], params.train.bags, params.seed)
