"""value_a_home.py URL POINTER: waits until the endpoint is ready and checks one valuation of the promoted model."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

READY_SECONDS = 180


def main(url: str, pointer: Path) -> None:
    wait_until_ready(url)
    question = ask(url + "/model")["example"]
    answer = ask(url + "/value", question)
    print(json.dumps(answer, indent=2))
    limits, reasons, model = answer["range"], answer["reasons"], answer["model"]
    assert 0 < limits["low"] <= answer["value"] <= limits["high"], "the value lies within its range"
    assert all(math.isfinite(reason["amount"]) for reason in reasons), "each reason is an amount of money"
    assert model["digest"] == json.loads(pointer.read_text("utf-8"))["digest"], "the promoted model answered"
    print("A home was valued by the promoted model.")


def wait_until_ready(url: str) -> None:
    give_up = time.monotonic() + READY_SECONDS
    while True:
        try:
            with urlopen(url + "/readyz", timeout=5):
                return
        except (URLError, OSError):
            if time.monotonic() > give_up:
                sys.exit(f"{url}/readyz did not answer 200 within {READY_SECONDS} s")
            time.sleep(0.5)


def ask(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data, {"Content-Type": "application/json"}), timeout=30) as answer:
        return json.load(answer)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
