"""Support for running inside an MLflow server: the person that the server acts for, and copies by the registry's server.

A team's MLflow server can use a Greenroom registry (`mlflow server --registry-store-uri greenroom://…`). This package
then runs within a person's request to that server. Two things differ from a client:

- This package does not copy models. The registry's server copies them from the MLflow server, which it knows by
  `greenroom serve --tracking-uri`. A copy within the request would send requests to the server that waits for the copy.
- The MLflow server has one token for all people. With `GREENROOM_PERSON_HEADER=X-Forwarded-User` in its environment,
  this package forwards that header of the request, and the registry acts for that person (`greenroom serve
  --person-header X-Forwarded-User`, and a token from `greenroom token create --delegate`). Set the variable only if a
  proxy in front of the MLflow server authenticates people and removes the header from their requests.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from mlflow.tracking.request_header.abstract_request_header_provider import RequestHeaderProvider

PERSON_HEADER = "GREENROOM_PERSON_HEADER"
"""The environment variable that holds the name of the header."""


def _request() -> Any | None:
    """Returns the request that the MLflow server handles in this thread, or `None`."""
    # A client has no flask, or uses flask for other purposes.
    flask = sys.modules.get("flask")
    if flask is None or not flask.has_request_context():
        return None
    return flask.request


def is_serving() -> bool:
    """Returns whether this code runs within an MLflow server."""
    return "_MLFLOW_SERVER_FILE_STORE" in os.environ or (_request() is not None and "mlflow.server" in sys.modules)


def serves_file() -> bool:
    """Returns whether the MLflow server is about to send a file of a version to its web pages and must read it itself.

    MLflow treats an `http` URL of artifacts as its own; a URL with the scheme of this package is read by this package.
    """
    request = _request()
    return request is not None and str(request.path).endswith("/model-versions/get-artifact")


class PersonHeader(RequestHeaderProvider):
    """Forwards the person header of a request to the MLflow server."""

    def in_context(self) -> bool:
        return bool(self.request_headers())

    def request_headers(self) -> dict[str, str]:
        name = os.environ.get(PERSON_HEADER)
        request = _request() if name else None
        if not name or request is None:
            return {}
        # A header that is given twice is not reliable; the registry refuses a value with a comma.
        values = request.headers.getlist(name)
        return {name: ", ".join(values)} if values else {}
