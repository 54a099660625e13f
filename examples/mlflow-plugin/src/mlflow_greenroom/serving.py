"""Inside an MLflow server whose registry this is: for whom the server acts, and what it leaves to the registry's server.

A team's MLflow server can keep its registry here (`mlflow server --registry-store-uri greenroom://…`). Then this package
runs within a request of somebody to that server, and two things differ from a client:

- Models are not copied from here: the registry's server copies them from the MLflow server, which it knows by
  `greenroom serve --tracking-uri`. A copy within the request would ask the very server that is waiting for it.
- The MLflow server has one token for all. With `GREENROOM_PERSON_HEADER=X-Forwarded-User` in its environment, that header of
  the request is passed on, and the registry acts for that person (`greenroom serve --person-header X-Forwarded-User`, and a
  token of `greenroom token create --delegate`). Set it only where a proxy in front of the MLflow server signs people in,
  and removes the header from what they send.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from mlflow.tracking.request_header.abstract_request_header_provider import RequestHeaderProvider

PERSON_HEADER = "GREENROOM_PERSON_HEADER"
"""The variable that names the header."""


def _request() -> Any | None:
    """The request that the MLflow server is answering in this thread, if one is."""
    # A client has no flask, or has it for something else.
    flask = sys.modules.get("flask")
    if flask is None or not flask.has_request_context():
        return None
    return flask.request


def is_serving() -> bool:
    """Whether this runs within an MLflow server."""
    return "_MLFLOW_SERVER_FILE_STORE" in os.environ or (_request() is not None and "mlflow.server" in sys.modules)


def serves_file() -> bool:
    """Whether the MLflow server is about to send a file of a version to its pages, which it must read itself.

    It takes an `http` address of artifacts for one of its own; with the scheme of this package it is not.
    """
    request = _request()
    return request is not None and str(request.path).endswith("/model-versions/get-artifact")


class PersonHeader(RequestHeaderProvider):
    """Passes on who is behind a request to the MLflow server."""

    def in_context(self) -> bool:
        return bool(self.request_headers())

    def request_headers(self) -> dict[str, str]:
        name = os.environ.get(PERSON_HEADER)
        request = _request() if name else None
        if not name or request is None:
            return {}
        # Given twice, it says nothing that can be relied on; the registry refuses what has a comma in it.
        values = request.headers.getlist(name)
        return {name: ", ".join(values)} if values else {}
