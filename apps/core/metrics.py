"""What this process counts; `ragflow.metrics` shows it. Labels are from small closed sets: no id or name is one."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from ragflow.engine.calls import Call

disable_created_metrics()  # type: ignore[no-untyped-call]  # when each series began, which nobody asks for
REGISTRY = CollectorRegistry()

_FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SLOW = (0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 13, 21, 34, 60, 120)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

requests = Counter(
    "ragflow_http_requests", "Requests that were answered.", ("method", "route", "status"), registry=REGISTRY
)
_request_seconds = Histogram(
    "ragflow_http_request_seconds",
    "Time from a request to the end of its answer.",
    ("method", "route"),
    buckets=_FAST,
    registry=REGISTRY,
)
open_requests = Gauge("ragflow_http_open_requests", "Requests that are being answered.", registry=REGISTRY)
open_streams = Gauge("ragflow_open_streams", "Answers that are flowing to a client.", registry=REGISTRY)
first_token_seconds = Histogram(
    "ragflow_first_token_seconds",
    "Time from a question to the first text of its answer, retrieval included.",
    buckets=_SLOW,
    registry=REGISTRY,
)
answers = Counter("ragflow_answers", "Answers to questions, by how they ended.", ("outcome",), registry=REGISTRY)
tokens = Counter(
    "ragflow_tokens",
    "Tokens that calls to providers of models took, by kind of model.",
    ("kind", "direction"),
    registry=REGISTRY,
)
provider_tokens = Counter(
    "ragflow_provider_tokens",
    "The same tokens by the provider of the model.",
    ("provider",),
    registry=REGISTRY,
)
model_calls = Counter(
    "ragflow_model_calls",
    "Calls to providers of models, by kind of model and how they ended.",
    ("kind", "outcome"),
    registry=REGISTRY,
)
model_call_seconds = Histogram(
    "ragflow_model_call_seconds", "Time that these calls took.", ("kind",), buckets=_SLOW, registry=REGISTRY
)


def count_request(*, method: str, route: str, status: int, seconds: float) -> None:
    """Count an answer. `route` is the template of the path; a path that is none of ours has no template."""
    method = method if method in _METHODS else "other"
    requests.labels(method, route, str(status)).inc()
    _request_seconds.labels(method, route).observe(seconds)


def count_call(call: Call) -> None:
    model_calls.labels(call.kind, call.outcome).inc()
    model_call_seconds.labels(call.kind).observe(call.seconds)
