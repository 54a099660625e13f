"""Delays the creation of a registered model for a version until the version can be registered.

`mlflow.register_model`, `log_model(registered_model_name=…)`, `copy_model_version` and `register_prompt` create the
registered model first and its version second. A failure between the two, such as a source that cannot be read, would
leave an unwanted empty model, and each registration would make two commits. Within these calls, the creation is therefore
only noted, and the request that creates the version creates the model, too, in one commit. A model that a program creates
itself, by `create_registered_model`, is created at once and stays.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

_COMPOSITE_CALLS = frozenset({"_register_model", "copy_model_version", "register_prompt"})
"""The functions of MLflow that create a registered model before they create a version of it."""


def composite_call() -> int | None:
    """Returns an id of the outermost composite call of MLflow in this thread, or `None` outside of such a call."""
    found = None
    frame = sys._getframe(1)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if frame.f_code.co_name in _COMPOSITE_CALLS and module.startswith("mlflow."):
            found = id(frame)
        frame = frame.f_back  # type: ignore[assignment]
    return found


class Promises:
    """The registered models that composite calls of MLflow are about to create: the latest one of each thread."""

    def __init__(self) -> None:
        self._of_thread = threading.local()

    def note(self, call: int, name: str, fields: dict[str, Any]) -> None:
        """Notes that a composite call creates a model with these fields."""
        self._of_thread.latest = (call, name, fields)

    def take(self, name: str) -> dict[str, Any] | None:
        """Returns the fields of the model that this composite call noted, once; otherwise `None`."""
        noted = getattr(self._of_thread, "latest", None)
        self._of_thread.latest = None
        if noted is None or noted[:2] != (composite_call(), name):
            return None
        fields: dict[str, Any] = noted[2]
        return fields
