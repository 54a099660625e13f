"""The parameters and metrics of a model's run. The registry records them, so that search, comparison and approval need
no tracking server later."""

from __future__ import annotations

import logging
import math
from typing import Any, Iterable

from mlflow import MlflowClient

_logger = logging.getLogger(__name__)


def collect(tracking_uri: str | None, run_id: str | None, model_id: str | None) -> dict[str, list[dict[str, Any]]]:
    """Returns the fields `params` and `metrics` of a request to create a version, from the logged model and its run.

    If a tracking store cannot be read, the model is registered all the same, and a warning names the missing data.
    """
    client = MlflowClient(tracking_uri=tracking_uri)
    params: dict[str, str] = {}
    metrics: dict[str, dict[str, Any]] = {}
    if model_id:
        try:
            model = client.get_logged_model(model_id)
            run_id = run_id or model.source_run_id
            params.update(model.params or {})
            metrics.update(_latest(model.metrics or []))
        except Exception as error:  # noqa: BLE001 - stores raise what their backends raise
            _logger.warning("The parameters and metrics of the logged model %s are not recorded: %s", model_id, error)
    if run_id:
        try:
            run = client.get_run(run_id)
            params = {**run.data.params, **params}
            metrics = _merged(metrics, _latest(_metrics_of(run)))
        except Exception as error:  # noqa: BLE001
            _logger.warning("The parameters and metrics of the run %s are not recorded: %s", run_id, error)
    return {
        "params": [{"key": key, "value": str(value)} for key, value in sorted(params.items())],
        "metrics": [metrics[key] for key in sorted(metrics)],
    }


def _merged(of_model: dict[str, dict[str, Any]], of_run: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Merges metrics. The logged model's metrics win, except where the run has the same measurement: the run's value is
    exact, while MLflow stores 0 for a NaN of a logged model."""
    merged = dict(of_model)
    for key, metric in of_run.items():
        known = merged.get(key)
        if known is None or (known["step"], known["timestamp"]) == (metric["step"], metric["timestamp"]):
            merged[key] = metric
    return merged


def _metrics_of(run: Any) -> Iterable[Any]:
    # The public dictionary `run.data.metrics` has neither step nor time.
    return getattr(run.data, "_metric_objs", None) or []


def _latest(metrics: Iterable[Any]) -> dict[str, dict[str, Any]]:
    latest: dict[str, Any] = {}
    for metric in metrics:
        known = latest.get(metric.key)
        if known is None or (metric.step, metric.timestamp) >= (known.step, known.timestamp):
            latest[metric.key] = metric
    return {key: _shown(metric) for key, metric in latest.items()}


def _shown(metric: Any) -> dict[str, Any]:
    return {
        "key": metric.key,
        "value": number(float(metric.value)),
        "step": int(metric.step),
        "timestamp": int(metric.timestamp),
    }


def number(value: float) -> float | str:
    """Returns a number as JSON can represent it: NaN and the infinities as strings."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
