"""The files of models on a registry's server: downloads, and uploads when a version is registered."""

from __future__ import annotations

import inspect
import mimetypes
import os
import posixpath
from typing import Any
from urllib.parse import quote

from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository
from mlflow.utils.rest_utils import MlflowHostCreds, augmented_raise_for_status, http_request

from mlflow_greenroom.credentials import credentials_for

API = "/api/2.0/mlflow-artifacts/artifacts"
"""The path of the artifacts API on the server."""

_PREFIX = "greenroom+"


def _checked(name: str) -> str:
    """Returns a file name that is one path component on this system; MLflow's own check also refuses `#` and decodes `%`."""
    is_path = "/" in name or "\\" in name or (os.name == "nt" and ":" in name)
    if name in ("", ".", "..") or is_path or any(ord(c) < 32 for c in name):
        raise MlflowException(f"The server lists a file with the name {name!r}, which is none.", INVALID_PARAMETER_VALUE)
    return name


class GreenroomArtifactRepository(HttpArtifactRepository):
    """Artifacts behind a registry's server: `greenroom+http://host/api/2.0/mlflow-artifacts/artifacts/…`.

    In contrast to MLflow's own repository, it sends the registry's credentials, not the tracking server's.
    """

    def __init__(
        self,
        artifact_uri: str,
        tracking_uri: str | None = None,
        registry_uri: str | None = None,
        credentials: MlflowHostCreds | None = None,
        **_: Any,
    ) -> None:
        plain = artifact_uri[len(_PREFIX) :] if artifact_uri.startswith(_PREFIX) else artifact_uri
        # MLflow 2 passes only the URI to an artifact repository; MLflow 3 also passes the two stores.
        stores = {"tracking_uri": tracking_uri, "registry_uri": registry_uri}
        taken = inspect.signature(HttpArtifactRepository.__init__).parameters
        super().__init__(plain, **{name: uri for name, uri in stores.items() if name in taken})
        self._known = credentials

    def _creds(self, host: str) -> MlflowHostCreds:
        known = self._known or credentials_for(host)
        return MlflowHostCreds(**{**vars(known), "host": host})

    @property
    def _host_creds(self) -> MlflowHostCreds:
        return self._creds(self.artifact_uri)

    def _is_multipart_upload_enabled(self) -> bool:
        # One request streams a file of any size.
        return False

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        """Lists the files and folders directly below a path; the list is empty for a file."""
        base, _, root = self.artifact_uri.partition(API)
        root = root.strip("/")
        asked = {"path": posixpath.join(root, path) if path else root}
        answer = http_request(self._creds(base), API, "GET", params=asked)
        augmented_raise_for_status(answer)
        found = []
        for entry in answer.json().get("files", []):
            name = _checked(entry["path"])
            size = int(entry["file_size"]) if "file_size" in entry else None
            found.append(FileInfo(posixpath.join(path, name) if path else name, entry["is_dir"], size))
        return sorted(found, key=lambda info: info.path)

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Uploads a file. The name may contain `#`, `?` and `%`, which MLflow's own repository parses as parts of a URL."""
        name = os.path.basename(local_file)
        path = posixpath.join(artifact_path, name) if artifact_path else name
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        with open(local_file, "rb") as file:
            headers = {"Content-Type": kind}
            answer = http_request(self._host_creds, f"/{quote(path)}", "PUT", data=file, extra_headers=headers)
            augmented_raise_for_status(answer)

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        answer = http_request(self._host_creds, f"/{quote(remote_file_path)}", "GET", stream=True)
        augmented_raise_for_status(answer)
        with open(local_path, "wb") as file:
            for chunk in answer.iter_content(chunk_size=1024 * 1024):
                file.write(chunk)

    def remove(self) -> None:
        """Deletes the whole folder on the server, for example an upload."""
        base, api, root = self.artifact_uri.partition(API)
        answer = http_request(self._creds(base), f"{api}/{root.strip('/')}", "DELETE")
        augmented_raise_for_status(answer)
