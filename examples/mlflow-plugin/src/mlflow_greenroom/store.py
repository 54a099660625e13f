"""The registry store of MLflow's client: MLflow's own REST client, extended by the copying of models."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import tempfile
import uuid
from typing import Any, Iterator

import mlflow.artifacts
from mlflow.entities.model_registry import ModelVersion, ModelVersionTag, RegisteredModel, RegisteredModelTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS
from mlflow.protos.model_registry_pb2 import CreateModelVersion
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.model_registry.rest_store import RestStore
from mlflow.utils.proto_json_utils import message_to_json
from mlflow.utils.rest_utils import MlflowHostCreds

from mlflow_greenroom import address, evidence, local
from mlflow_greenroom.artifacts import API, GreenroomArtifactRepository
from mlflow_greenroom.credentials import credentials_for, local_credentials
from mlflow_greenroom.promise import Promises, composite_call
from mlflow_greenroom.serving import is_serving, serves_file

_IS_PROMPT = "mlflow.prompt.is_prompt"

# `models:/name/1` is a version of the registry itself, which the server copies; `models:/m-…` is a logged model.
_REGISTERED = re.compile(r"models:/(?!m-[0-9a-f]+$)")


def open_store(store_uri: str, tracking_uri: str | None = None) -> GreenroomStore:
    """Opens the registry at a URI. MLflow calls this function for the schemes of this package."""
    found = address.parse(store_uri)
    if found.folder is not None:
        folder = found.folder
        # Evaluated before each request, so that a server that exited while idle is started again.
        return GreenroomStore(lambda: local_credentials(local.url_of(folder)), tracking_uri)
    assert found.url is not None
    return GreenroomStore(functools.partial(credentials_for, found.url), tracking_uri)


class GreenroomStore(RestStore):
    """A Greenroom registry."""

    def __init__(self, get_host_creds: Any, tracking_uri: str | None = None) -> None:
        super().__init__(get_host_creds)
        self._credentials = get_host_creds
        self._tracking_uri = tracking_uri
        self._promises = Promises()

    def create_registered_model(
        self,
        name: str,
        tags: list[Any] | None = None,
        description: str | None = None,
        deployment_job_id: str | None = None,
    ) -> RegisteredModel:
        """Creates a registered model. A model that MLflow creates for a version is created together with the version."""
        call = composite_call()
        tags = _as_entities(tags, RegisteredModelTag)
        if call is None:
            return super().create_registered_model(name, tags, description)
        if self._exists(name):
            raise MlflowException(f"Registered Model (name={name}) already exists.", RESOURCE_ALREADY_EXISTS)
        fields: dict[str, Any] = {"tags": [{"key": tag.key, "value": str(tag.value)} for tag in tags or []]}
        if description:
            fields["description"] = description
        self._promises.note(call, name, fields)
        return RegisteredModel(name, description=description, tags=tags)

    def create_model_version(
        self,
        name: str,
        source: str,
        run_id: str | None = None,
        tags: list[Any] | None = None,
        run_link: str | None = None,
        description: str | None = None,
        local_model_path: str | None = None,
        model_id: str | None = None,
    ) -> ModelVersion:
        """Registers a version. Uploads its files first, and records the parameters and metrics of its run."""
        tags = _as_entities(tags, ModelVersionTag)
        message = CreateModelVersion(
            name=name,
            source=source,
            run_id=run_id,
            run_link=run_link,
            tags=[tag.to_proto() for tag in tags or []],
            description=description,
        )
        body: dict[str, Any] = json.loads(message_to_json(message))
        if model_id:
            # The protobuf message of MLflow 2 does not have this field.
            body["model_id"] = model_id
        is_prompt = any(tag.key == _IS_PROMPT and str(tag.value).lower() == "true" for tag in tags or [])
        is_reference = os.environ.get("GREENROOM_UPLOAD", "always") == "never" or is_serving()
        if is_prompt or is_reference or _REGISTERED.match(source):
            return self._create(name, body)
        body.update(evidence.collect(self._tracking_uri, run_id or _run_of(source), model_id or _model_of(source)))
        with self._uploaded(source, local_model_path) as upload:
            body.update(source=upload, original_source=source)
            return self._create(name, body)

    def get_model_version_download_uri(self, name: str, version: str) -> str:
        """Returns the location of a version's files. Downloads from the registry use its credentials."""
        found = str(super().get_model_version_download_uri(name, version))
        if is_serving() and not serves_file():
            # Clients of that server may lack this package; they send the registry's token themselves.
            return found
        host = str(self._credentials().host).rstrip("/")
        return f"greenroom+{found}" if found.startswith(f"{host}{API}/") else found

    def list_webhooks_by_event(self, event: Any, max_results: int | None = None, page_token: str | None = None) -> Any:
        """Returns no webhooks: the registry's server sends all events to webhooks."""
        return PagedList([], None)

    def _create(self, name: str, body: dict[str, Any]) -> ModelVersion:
        model = self._promises.take(name)
        if model is not None:
            # The server creates the model and its first version in one commit.
            body = {**body, "registered_model": model}
        answer = self._call_endpoint(CreateModelVersion, json.dumps(body))
        return ModelVersion.from_proto(answer.model_version)

    def _exists(self, name: str) -> bool:
        try:
            self.get_registered_model(name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        return True

    @contextlib.contextmanager
    def _uploaded(self, source: str, local_model_path: str | None) -> Iterator[str]:
        """Uploads a model's files and yields the URI of the upload. Removes the upload afterwards."""
        upload = uuid.uuid4().hex
        credentials: MlflowHostCreds = self._credentials()
        uri = f"{str(credentials.host).rstrip('/')}{API}/uploads/{upload}"
        repository = GreenroomArtifactRepository(uri, credentials=credentials)
        with tempfile.TemporaryDirectory(prefix="greenroom-") as folder:
            files = local_model_path or self._downloaded(source, folder)
            repository.log_artifacts(files)
        try:
            yield f"mlflow-artifacts:/uploads/{upload}"
        finally:
            # The server also removes abandoned uploads, but later.
            with contextlib.suppress(Exception):
                repository.remove()

    def _downloaded(self, source: str, folder: str) -> str:
        try:
            return str(
                mlflow.artifacts.download_artifacts(
                    artifact_uri=source, dst_path=folder, tracking_uri=self._tracking_uri
                )
            )
        except Exception as error:
            raise MlflowException(
                f"The model at '{source}' cannot be read, and so not be copied into the registry: {error}. "
                "Set GREENROOM_UPLOAD=never to register the address alone."
            ) from error


def _as_entities(tags: list[Any] | None, kind: Any) -> list[Any]:
    """Returns tags as entities; an MLflow server passes protobuf messages of its own API."""
    return [tag if hasattr(tag, "to_proto") else kind(tag.key, tag.value) for tag in tags or []]


def _run_of(source: str) -> str | None:
    found = re.match(r"runs:/([^/]+)/", source)
    return found[1] if found else None


def _model_of(source: str) -> str | None:
    found = re.fullmatch(r"models:/(m-[0-9a-f]+)", source)
    return found[1] if found else None
