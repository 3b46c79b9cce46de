"""The one request that everybody is shown: a home in the middle of what the model knows."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any


def curl(address: str, body: Mapping[str, Any]) -> str:
    """The command that posts the body to `/value` at that address."""
    told = shlex.quote(json.dumps(body, ensure_ascii=False))
    return f"curl -s {address}/value -H 'Content-Type: application/json' -d {told}"
