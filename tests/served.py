"""A small market with every kind of field, a model trained on it, and a BentoML store that holds it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
import pandas as pd
import requests
from bentoml._internal.models import ModelStore

from models.bundle import write_bundle, write_memory
from models.files import read_json, write_bytes, write_json
from models.fit import Settings, fit_valuer, judge_folds
from models.golden import golden_answers
from models.market import Market
from models.memory import build_memory
from models.split import plan_split
from models.training import learn, make_fold
from models.valuer import Valuer
from models.version import signature_file
from pipelines import signing, store

ROOT = Path(__file__).resolve().parent.parent
TAG = "valuation-harbour:v7"
SETTINGS = Settings({"num_leaves": 15, "learning_rate": 0.1, "alpha": 0.2}, rounds=60, bags=2, seed=1)

MARKET = Market.from_dict(
    {
        "name": "harbour",
        "label": "The <Harbour> market",
        "currency": "EUR",
        "source": {"csv": "sales.csv", "sha256": "0" * 64},
        "columns": {"property_id": "parcel", "sale_id": "deed", "sale_date": "day", "price": "paid"},
        "price": {"range": [1000, 10000000]},
        "fields": [
            {
                "name": "living_area",
                "column": "m2",
                "type": "number",
                "unit": "m2",
                "range": [10, 1000],
                "label": "Living area",
                "direction": "up",
                "role": "living_area",
            },
            {"name": "plot", "column": "ground", "type": "number", "unit": "m2", "range": [0, None], "label": "Plot"},
            {"name": "rooms", "column": "rms", "type": "integer", "range": [1, 20], "label": "Rooms"},
            {"name": "lift", "column": "elevator", "type": "flag", "label": "Lift"},
            {
                "name": "kind",
                "column": "kind",
                "type": "category",
                "values": ["flat", "house", "1"],
                "label": "Kind",
                "role": "property_type",
            },
            {"name": "quarter", "column": "q", "type": "category", "label": "Quarter", "role": "neighbourhood"},
            {
                "name": "energy",
                "column": "kwh",
                "type": "number",
                "range": [0, 900],
                "label": "Energy",
                "missing": True,
            },
            {
                "name": "lat",
                "column": "y",
                "type": "number",
                "range": [50, 52],
                "label": "Latitude",
                "role": "latitude",
            },
            {
                "name": "lon",
                "column": "x",
                "type": "number",
                "range": [3, 5],
                "label": "Longitude",
                "role": "longitude",
            },
        ],
        "rules": [
            {
                "name": "rooms_fit",
                "smaller": "rooms",
                "larger": "living_area",
                "times": 0.2,
                "says": "a room needs five square metres",
            }
        ],
    }
)
HOME: dict[str, Any] = {
    "living_area": 80,
    "plot": 120.5,
    "rooms": 3,
    "lift": True,
    "kind": "house",
    "quarter": "old port",
    "energy": 150,
    "lat": 51.2,
    "lon": 4.4,
}


def sales(count: int = 900, seed: int = 7, first: str = "2019-01-01", days: int = 3 * 365) -> pd.DataFrame:
    """Canonical sales, the price a known function of the home, a rising market, and what no field tells of the home.

    Most homes sell more than once, so what no field tells can be learnt from their own earlier sales.
    """
    rng = np.random.default_rng(seed)
    homes = _homes()
    sold = homes.iloc[rng.integers(0, len(homes), count)].reset_index(drop=True)
    day = pd.Timestamp(first) + pd.to_timedelta(np.sort(rng.integers(0, days, count)), unit="D")
    trend = 0.0002 * (day - pd.Timestamp("2019-01-01")).days.to_numpy()
    log_price = (
        8
        + 0.9 * np.log(sold["living_area"])
        + 0.05 * sold["lift"]
        + 0.1 * (sold["kind"] == "house")
        + sold.pop("untold")
        + trend
        + rng.normal(0, 0.04, count)
    )
    sold.insert(0, "sale_id", [f"{first}-{i}" for i in range(count)])
    sold.insert(2, "sale_date", day)
    sold.insert(3, "price", np.exp(log_price).round())
    return sold


def _homes(count: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "property_id": [f"p{i}" for i in range(count)],
            "untold": rng.normal(0, 0.15, count),
            "living_area": rng.uniform(30, 300, count).round(1),
            "plot": rng.uniform(0, 500, count).round(1),
            "rooms": rng.integers(1, 6, count).astype("float64"),
            "lift": rng.integers(0, 2, count).astype("float64"),
            "kind": rng.choice(["flat", "house"], count),
            "quarter": rng.choice(["old port", "hill", "new town"], count),
            "energy": np.where(rng.uniform(size=count) < 0.3, np.nan, rng.uniform(20, 400, count).round()),
            "lat": rng.uniform(51, 51.4, count).round(4),
            "lon": rng.uniform(4.2, 4.6, count).round(4),
        }
    )


def later_sales() -> pd.DataFrame:
    """Sales of the quarter after those that the model is trained on."""
    return sales(90, seed=8, first="2022-01-01", days=90)


def train(seed: int = SETTINGS.seed) -> Valuer:
    """The model of the sales of 2019 to 2021, its ranges read from errors out of time."""
    settings = replace(SETTINGS, seed=seed)
    table = sales()
    learnt = learn(build_memory(table, MARKET))
    windows = plan_split(table["sale_date"], holdout_months=6, fold_count=2, fold_months=6).folds
    judged = judge_folds([make_fold(learnt, window) for window in windows], settings)
    return fit_valuer(learnt, judged, settings, level=0.9, horizon_days=366)


def promote(valuer: Valuer, place: Path) -> dict[str, str]:
    """Puts the model in a BentoML store under `place` with a card and a pointer, signed with a key of its own; returns
    the server's environment."""
    home = place / "bentoml"
    (home / "models").mkdir(parents=True)
    with bentoml.models.create(TAG, _model_store=ModelStore(home / "models")) as model:
        digest = write_bundle(Path(model.path) / "bundle", valuer)
        card = {
            "name": "valuation-harbour",
            "version": "7",
            "digest": digest,
            "run": "r1",
            "data": "d" * 64,
            "commit": "c" * 40,
            "market": {"name": "harbour", "label": MARKET.label, "currency": "EUR"},
            "figures": {"mdape": 0.06},
            "golden": golden_answers(valuer),
        }
    with contextlib.chdir(place):
        signing.make_keys(signing.key_folder())
    tell(place, card)
    write_json(place / "champion.json", {"tag": TAG, "digest": digest, "market": "harbour"})
    return environment(place)


def tell(place: Path, card: dict[str, Any]) -> None:
    """Gives the promoted model that card, signed."""
    with contextlib.chdir(place):
        store.write_card(bundle_of(place).parent, card, signing.sign_version(card, bundle_of(place)))


def refresh(valuer: Valuer, place: Path) -> str:
    """Puts the valuer's memory beside the promoted model, names it in the pointer, and returns its digest."""
    fresh = place / "memory"
    digest = write_memory(fresh, valuer)
    with contextlib.chdir(place):
        write_bytes(signature_file(bundle_of(place).parent, digest), signing.sign(fresh))
    kept = memory_of(place, digest)
    kept.parent.mkdir(exist_ok=True)
    fresh.replace(kept)
    write_json(place / "champion.json", read_json(place / "champion.json") | {"memory": digest})
    return digest


def environment(place: Path) -> dict[str, str]:
    """A server's surroundings: nothing of ours but the store and the pointer under `place`."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    ours = {"BENTOML_HOME": str(place / "bentoml"), "ASSAY_CHAMPION": str(place / "champion.json"), "HOME": str(place)}
    ours |= {"ASSAY_KEY": str(key_of(place)), "ASSAY_EVENTS": str(place / "events")}
    ours["ASSAY_LAYOUTS"] = str(place / "layouts")
    return kept | ours | {"BENTOML_DO_NOT_TRACK": "True", "OMP_WAIT_POLICY": "passive"}


def bundle_of(place: Path) -> Path:
    return place / "bentoml" / "models" / "valuation-harbour" / "v7" / "bundle"


def key_of(place: Path) -> Path:
    return place / ".assay" / "keys" / "public.pem"


def memory_of(place: Path, digest: str) -> Path:
    return bundle_of(place).parent / "memory" / digest


@dataclass(frozen=True)
class Server:
    url: str
    log: Path
    process: subprocess.Popen[bytes]

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=60, **kwargs)

    def post(self, path: str, body: Any = None, **kwargs: Any) -> requests.Response:
        return requests.post(self.url + path, json=body, timeout=60, **kwargs)

    def send(self, path: str, body: bytes | str, content_type: str = "application/json") -> requests.Response:
        return requests.post(self.url + path, data=body, headers={"content-type": content_type}, timeout=60)

    def lines(self, event: str) -> list[dict[str, Any]]:
        """What the log says of it so far."""
        told = (json.loads(line) for line in self.log.read_text().splitlines() if line.startswith('{"time"'))
        return [line for line in told if line["event"] == event]

    def missing(self) -> str:
        """Why there is no champion, once the promoted version has been looked at."""
        give_up = time.monotonic() + 60
        while "still being made ready" in (detail := str(self.get("/model").json().get("detail"))):
            assert time.monotonic() < give_up, detail
            time.sleep(0.1)
        return detail


@contextlib.contextmanager
def serving(target: str, cwd: Path, env: dict[str, str], log: Path, wait_for: str = "/readyz") -> Iterator[Server]:
    """`bentoml serve` on a free port, ended by SIGTERM; waits until `wait_for` answers 200."""
    port = free_port()
    command = ["bentoml", "serve", target, "--host", "127.0.0.1", "--port", str(port)]
    with _running(command, port, cwd, env, log, wait_for) as server:
        yield server


@contextlib.contextmanager
def supervised(
    place: Path,
    env: dict[str, str],
    *options: str,
    port: int | None = None,
    wait_for: str = "/readyz",
    module: str = "serving.server",
) -> Iterator[Server]:
    """`python -m serving.server` in the folder `place`, with its log there; ended by SIGTERM."""
    port = port or free_port()
    command = [module, "--port", str(port), *options]
    with _running(command, port, place, env | {"PYTHONPATH": str(ROOT)}, place / "log", wait_for) as server:
        yield server


@contextlib.contextmanager
def _running(
    command: list[str], port: int, cwd: Path, env: dict[str, str], log: Path, wait_for: str
) -> Iterator[Server]:
    command = [sys.executable, "-m", *command]
    with log.open("wb") as out, subprocess.Popen(command, cwd=cwd, env=env, stdout=out, stderr=out) as process:
        server = Server(f"http://127.0.0.1:{port}", log, process)
        try:
            _await(server, wait_for)
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def until(true: Callable[[], bool]) -> None:
    """Waits for it, for half a minute at most."""
    give_up = time.monotonic() + 30
    while not true():
        assert time.monotonic() < give_up, "it did not come about"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def copied(place: Path, to: Path) -> dict[str, str]:
    """The store and the pointer of `place` under another folder, to be damaged there."""
    shutil.copytree(place, to, ignore=shutil.ignore_patterns("layouts", "events"))
    return environment(to)


def _await(server: Server, path: str) -> None:
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up and server.process.poll() is None:
        with contextlib.suppress(requests.RequestException):
            if server.get(path).status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"the server did not answer {path}:\n{server.log.read_text()[-4000:]}")
