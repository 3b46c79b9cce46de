"""A bare BentoML echo, as its documentation would write it."""

from __future__ import annotations

from typing import Any

import bentoml


@bentoml.service(workers=1)
class Echo:
    @bentoml.api
    async def echo(self, home: dict[str, Any]) -> dict[str, Any]:
        return home
