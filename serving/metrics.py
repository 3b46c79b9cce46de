"""Prometheus metrics of all workers together."""

from __future__ import annotations

import os
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from serving import metrics_folder


def metrics_page() -> tuple[bytes, str]:
    """The page and its content type. Reads files: not for the event loop."""
    if metrics_folder.SETTING not in os.environ:
        return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
    registry = CollectorRegistry()
    collector: Any = MultiProcessCollector
    collector(registry, os.environ[metrics_folder.SETTING])
    return generate_latest(registry), CONTENT_TYPE_LATEST
