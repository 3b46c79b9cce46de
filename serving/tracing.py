"""Spans of each request, for an OpenTelemetry collector. Imported only where one is named.

Spans are made when the request is over and sent by a thread of their own from a bounded queue: a
collector that is slow or dead costs spans, and no answer waits for it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from threading import Thread

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import Scope

from serving.logs import Seldom, tell
from serving.metrics import SPANS_LOST
from serving.notes import Notes

#: Seconds that one batch of spans may take, and that the end of a worker waits for the last.
SEND_SECONDS, STOP_SECONDS = 2.0, 1.0
METHODS = ("GET", "HEAD", "POST")
_callers = TraceContextTextMapPropagator()
_provider: TracerProvider | None = None
_tracer: Tracer | None = None


def start() -> None:
    """Spans go where OTEL_EXPORTER_OTLP_ENDPOINT says; the SDK's own OTEL_ settings (sampler, headers) hold as well."""
    global _provider, _tracer
    resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", "assay")})
    timeout = None if os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT") else SEND_SECONDS
    _provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    _provider.add_span_processor(BatchSpanProcessor(Counted(OTLPSpanExporter(timeout=timeout))))
    _tracer = _provider.get_tracer("assay")
    # Told by us, seldom and in one line.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    logging.getLogger("opentelemetry.sdk._shared_internal").setLevel(logging.CRITICAL)


def stop() -> None:
    """Sends what is left, for some seconds at most: a collector that hangs must not hold up the end."""
    if _provider is not None:
        ending = Thread(target=_provider.shutdown, daemon=True)
        ending.start()
        ending.join(STOP_SECONDS)


def trace(notes: Notes, route: str, status: int | None, scope: Scope) -> None:
    """The request's span, within the caller's own if they sent one, and a span for each stage in it."""
    if _tracer is None:
        return
    now = time.perf_counter()
    zero = time.time_ns() - round(now * 1e9)
    headers = Headers(scope=scope)
    carrier = {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}
    within = _callers.extract(carrier, Context())
    method = scope["method"] if scope["method"] in METHODS else "_OTHER"
    told = {"http.request.method": method, "http.route": route, "assay.request_id": notes.request_id}
    if notes.champion is not None:
        told["assay.model"] = notes.champion.digest
    if notes.valued:
        told["assay.id"] = notes.valued[0].id
    span = _tracer.start_span(route, within, SpanKind.SERVER, told, start_time=zero + round(notes.began * 1e9))
    if status is not None:
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
    inside = set_span_in_context(span, within)
    for stage, begin, end in notes.laps:
        _tracer.start_span(stage, inside, start_time=zero + round(begin * 1e9)).end(zero + round(end * 1e9))
    span.end(zero + round(now * 1e9))


class Counted(SpanExporter):
    """Counts the spans that the collector did not take."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._alert = Seldom()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            outcome = self._exporter.export(spans)
        except Exception:
            outcome = SpanExportResult.FAILURE
        if outcome is SpanExportResult.FAILURE:
            SPANS_LOST.inc(len(spans))
            if self._alert.now():
                tell("traces-lost", logging.WARNING, lost=len(spans))
        return outcome

    def shutdown(self) -> None:
        self._exporter.shutdown()
