"""The closed list of what our log can say; docs/runbook.md has a paragraph for each, with what to do."""

from __future__ import annotations

from collections.abc import Mapping

#: Name -> what it means, in one line.
EVENTS: Mapping[str, str] = {
    "model-serving": "a model, or a newer memory of sales, has taken the traffic",
    "no-champion": "there is no model to answer with",
    "swap-refused": "the model that was to take over did not pass; the one before serves on",
    "look-failed": "a fault of ours kept a worker from looking for a newly promoted model; it looks again",
    "kernel-missing": "the forests' own kernel can't be used; LightGBM answers, with the same values, slower",
    "request-refused": "a request got a problem in place of an answer",
    "request-failed": "a fault of ours: the caller got a 500",
    "slots-exhausted": "more work came in than the slots can take; requests were told to come again",
    "keys-read": "API keys were read, at the start or because the file has changed",
    "keys-damaged": "the file of API keys can't be read; the keys known before stay in force",
    "events-lost": "answers were told whose events will never be on disk",
    "breaker-open": "something that serving can do without has failed repeatedly and is left alone for a while",
    "breaker-closed": "it works again",
    "traces-lost": "the collector of traces does not take what it is sent",
    "metrics-local": "workers can't add their metrics up: each tells its own",
    "clock-jumped": "the wall clock was set",
    "server-answering": "the first worker is up, and callers are answered",
    "start-failed": "the first workers ended before they could answer, and the server with them",
    "worker-started": "a worker process is up",
    "worker-ended": "a worker process ended without being asked to",
    "worker-silent": "a worker showed no sign of life, and is killed",
    "worker-late": "a worker did not end in time when it was asked to, and is killed",
    "crash-loop": "workers end as soon as they start",
    "library": "a line of a library that serving stands on",
}
