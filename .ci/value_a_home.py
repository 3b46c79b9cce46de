"""value_a_home.py URL POINTER: waits until the endpoint is ready and checks one valuation of the promoted model."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from itertools import pairwise
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
    value, pointed = answer["value"], json.loads(pointer.read_text("utf-8"))
    for narrow, wide in pairwise([{"low": value, "high": value}, *answer["ranges"]]):
        assert 0 < wide["low"] <= narrow["low"] <= narrow["high"] <= wide["high"], "ranges lie around the value, nested"
    assert leads_to(value, answer["base"]["amount"], answer["reasons"]), "base and reasons are the value"
    assert answer["comparables"], "sales like the home are told"
    for sale in answer["comparables"]:
        assert leads_to(value, sale["price"], sale["adjustments"]), "price and adjustments are the value"
    assert answer["model"]["digest"] == pointed["digest"], "the promoted model answered"
    assert answer["model"]["memory"] == pointed.get("memory", answer["model"]["memory"]), "with the memory it was given"
    change = ask(url + "/compare", {"from": question | {"as_of": answer["model"]["memory_end"]}, "to": question})
    assert change["to"]["id"] == answer["id"], "the same valuation is known by the same id"
    assert leads_to(change["to"]["value"], change["from"]["value"], change["steps"]), "the steps are the difference"
    print("A home was valued by the promoted model, and its value compared with an earlier day's.")


def leads_to(end: float, start: float, steps: Iterable[dict[str, Any]]) -> bool:
    """To the cent."""
    return sum(round(100 * amount) for amount in (start, *(step["amount"] for step in steps))) == round(100 * end)


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
