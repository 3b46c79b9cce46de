"""The past, worked through with progress shown: memory and evidence of all sales that a stage may know."""

from __future__ import annotations

import pandas as pd
from tqdm import tqdm

from models.market import Market
from models.memory import build_memory
from models.training import Learnt, learn


def learn_from(sales: pd.DataFrame, market: Market, stage: str) -> Learnt:
    """Every sale with what was known before its month."""
    memory = build_memory(sales, market, lambda months: tqdm(months, desc=f"{stage}: market by month"))
    return learn(memory, lambda months: tqdm(months, desc=f"{stage}: evidence by month"))
