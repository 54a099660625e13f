"""Delays the creation of a registered model for a version until the version can be registered.

`mlflow.register_model`, `log_model(registered_model_name=…)`, `copy_model_version` and `register_prompt` create the
registered model first and its version second. A failure between the two, such as a source that cannot be read, would
leave an unwanted empty model. Within these calls, the creation is therefore only noted, and happens together with the
creation of the version. A model that a program creates itself, by `create_registered_model`, is created at once and
stays.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from typing import Any, Callable, Iterator

from mlflow.exceptions import MlflowException

_logger = logging.getLogger(__name__)

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

    def __init__(self, create: Callable[..., Any], delete: Callable[[str], Any]) -> None:
        self._create = create
        self._delete = delete
        self._of_thread = threading.local()

    def note(self, call: int, name: str, arguments: dict[str, Any]) -> None:
        """Notes that a composite call creates a model."""
        self._of_thread.latest = (call, name, arguments)

    @contextlib.contextmanager
    def kept(self, name: str) -> Iterator[None]:
        """Creates the model that this composite call noted. Deletes the model again if the `with` block fails."""
        noted = getattr(self._of_thread, "latest", None)
        self._of_thread.latest = None
        if noted is None or noted[:2] != (composite_call(), name):
            yield
            return
        created = self._created(name, noted[2])
        try:
            yield
        except BaseException:
            if created:
                self._take_back(name)
            raise

    def _created(self, name: str, arguments: dict[str, Any]) -> bool:
        try:
            self._create(name, **arguments)
        except MlflowException as error:
            # Another caller created the model first. As in MLflow, the version is added to that model.
            if error.error_code == "RESOURCE_ALREADY_EXISTS":
                return False
            raise
        return True

    def _take_back(self, name: str) -> None:
        try:
            self._delete(name)
        except Exception as error:  # noqa: BLE001 - the first error is the one to see
            _logger.warning("The registered model '%s' is left without a version: %s", name, error)
