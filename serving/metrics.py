"""Prometheus metrics: how fast, how many, how accurate, which model, what was refused and why.

No label comes from a caller's text: only routes, statuses, problems and stages that our code names.
One worker tells the sum over all, where `serving.metrics_folder` has given them a folder.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from serving import metrics_folder
from serving.logs import tell
from serving.routes import ROUTES

#: The kinds of file that prometheus_client keeps for the metrics below; it may be imported only when they are there.
_NO_ROOM = metrics_folder.reserve(("counter", "histogram", "summary", "gauge_livesum", "gauge_livemostrecent"))

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary  # noqa: E402
from prometheus_client.core import GaugeMetricFamily, Metric  # noqa: E402
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest  # noqa: E402
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead  # noqa: E402
from prometheus_client.registry import Collector  # noqa: E402

#: Seconds. The finest tell a cached answer from a computed one, the coarsest a batch from a hang.
BUCKETS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 2)
#: What an answer is made of, in order.
STAGES = ("read", "parse", "features", "forests", "reasons", "comparables", "appraise", "encode")
#: Whose slots work takes: of one home, or of many.
LANES = ("one", "many")
SWAPS = ("served", "refused")
#: The figures of the gate that are told: median absolute error as a share of the price, and the COD.
FIGURES = ("mdape", "cod")
_MODEL = ("name", "version", "digest", "memory", "memory_end")

registry = CollectorRegistry()


def _sum_of_workers(name: str, about: str, labels: tuple[str, ...] = ()) -> Gauge:
    return Gauge(name, about, labels, registry=registry, multiprocess_mode="livesum")


REQUESTS = Counter("assay_requests", "Requests ended, by route and status", ("route", "status"), registry=registry)
SECONDS = Histogram(
    "assay_request_seconds", "From the request's head to the last byte", ("route",), registry=registry, buckets=BUCKETS
)
VALUES = Counter("assay_values", "Values told, and whether from a cache", ("route", "cached"), registry=registry)
REFUSALS = Counter("assay_refusals", "Problems told in place of an answer, by slug", ("problem",), registry=registry)
_STAGE = Summary("assay_stage_seconds", "Time spent on one stage of an answer", ("stage",), registry=registry)
STAGE = {stage: _STAGE.labels(stage) for stage in STAGES}
_USED = _sum_of_workers("assay_slots_used", "Slots in use, by lane", ("lane",))
_WAITING = _sum_of_workers("assay_requests_waiting", "Requests that wait for a slot, by lane", ("lane",))
SLOTS_USED, WAITING = ({lane: gauge.labels(lane) for lane in LANES} for gauge in (_USED, _WAITING))
EVENTS_WRITTEN = Counter("assay_events_written", "Events of answers handed to the disk", registry=registry)
EVENTS_LOST = Counter("assay_events_lost", "Events of answers that will never be on disk", registry=registry)
EVENTS_WAITING = _sum_of_workers("assay_events_waiting", "Events in memory, not yet written")
SPANS_LOST = Counter("assay_spans_lost", "Spans that the collector did not take", registry=registry)
BREAKER_OPEN = _sum_of_workers("assay_breaker_open", "Workers whose breaker is open", ("breaker",))
WORKERS = _sum_of_workers("assay_workers", "Workers that are up")
WORKERS_READY = _sum_of_workers("assay_workers_ready", "Workers that have a model to answer with")
STARTS = Counter("assay_worker_starts", "Workers started since the server was", registry=registry)
MODEL = _sum_of_workers("assay_model", "Workers that answer with this model and memory of sales", _MODEL)
_SWAP = Counter("assay_swaps", "Models that were to take over", ("outcome",), registry=registry)
SWAP = {outcome: _SWAP.labels(outcome) for outcome in SWAPS}
ACCURACY = Gauge(
    "assay_accuracy",
    "Accuracy of the model that serves, as its source has it: the gate's hold-out",
    ("figure", "source"),
    registry=registry,
    multiprocess_mode="livemostrecent",
)
_serving: list[Any] = []
#: What alerts count begins at 0: Prometheus sees no increase in a series that begins with the first failure.
for _route in (*ROUTES, "other"):
    REQUESTS.labels(_route, "500")
REFUSALS.labels("busy")


def begin() -> None:
    """This process is a worker."""
    if _NO_ROOM is not None:
        tell("metrics-local", logging.WARNING, why=str(_NO_ROOM))
    STARTS.inc()
    WORKERS.set(1)


def model_serves(told: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
    """A model has taken the traffic of this worker.

    Args:
        told: what answers cite of it.
        figures: of its gate, on the hold-out.
    """
    for child in _serving:
        child.set(0)
    _serving[:] = [MODEL.labels(*(str(told[name]) for name in _MODEL))]
    _serving[0].set(1)
    WORKERS_READY.set(1)
    for figure in FIGURES:
        if figure in figures:
            ACCURACY.labels(figure, "holdout").set(figures[figure])


def metrics_page() -> tuple[bytes, str]:
    """The page and its content type. Takes milliseconds and reads files: not for the event loop."""
    folder = Path(os.environ.get(metrics_folder.SETTING, ""))
    counted, measured, pids = registry, CollectorRegistry(), {os.getpid()}
    if metrics_folder.SETTING in os.environ and folder.is_dir():
        pids = _living(folder)
        counted = CollectorRegistry()
        MultiProcessCollector(counted, str(folder))  # type: ignore[no-untyped-call]
    measured.register(_Memory(pids))
    return generate_latest(counted) + generate_latest(measured), CONTENT_TYPE_LATEST


def _living(folder: Path) -> set[int]:
    """The workers that are up. What one that ended held (slots, a model) went with it; what it counted stays."""
    pids = {int(path.stem.rsplit("_", 1)[1]) for path in folder.glob("gauge_live*.db")}
    dead = {pid for pid in pids if not _alive(pid)}
    for pid in dead:
        mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
    return pids - dead


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class _Memory(Collector):
    """Memory of workers, read when asked for: what each has to itself, and what it shares."""

    def __init__(self, pids: set[int]) -> None:
        self._pids = pids

    def collect(self) -> Iterator[Metric]:
        told = GaugeMetricFamily("assay_worker_memory_bytes", "Memory of a worker", labels=("pid", "kind"))
        for pid in sorted(self._pids):
            try:
                _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text("ascii").split()
            except OSError:
                continue  # it ended just now, or this system tells nobody
            page = os.sysconf("SC_PAGESIZE")
            told.add_metric((str(pid), "own"), (int(resident) - int(shared)) * page)
            told.add_metric((str(pid), "shared"), int(shared) * page)
        yield told
