"""The credentials that identify the caller to a registry's server.

`GREENROOM_TOKEN` is only for the registry. Without it, a remote server gets the credentials that MLflow sends to every
server: `MLFLOW_TRACKING_TOKEN`, or `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`.
"""

from __future__ import annotations

import os

from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import MlflowHostCreds


def credentials_for(url: str) -> MlflowHostCreds:
    """Returns the credentials for the server at this URL."""
    usual = get_default_host_creds(url)
    token = os.environ.get("GREENROOM_TOKEN")
    if token:
        return MlflowHostCreds(
            host=url,
            token=token,
            ignore_tls_verification=usual.ignore_tls_verification,
            client_cert_path=usual.client_cert_path,
            server_cert_path=usual.server_cert_path,
        )
    return usual


def local_credentials(url: str) -> MlflowHostCreds:
    """Returns the credentials for a server that this user started on this machine: only `GREENROOM_TOKEN` is sent."""
    return MlflowHostCreds(host=url, token=os.environ.get("GREENROOM_TOKEN"))
