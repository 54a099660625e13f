"""Sends a model to a served registry with MLflow's own code, makes a version of it, and loads it as people do.

    python artifacts.py send MODEL_DIR      with the URL of the server and a token in the environment
    python artifacts.py load                the same, with another's token, in another working folder
    python artifacts.py load-databricks     through Databricks' client
    python artifacts.py names GOOD BAD      which names of two files come through MLflow's own client as they are
    python artifacts.py refused             who may not read the model is answered as if it were not there

The server's URL is in GREENROOM_URL, the token where each client looks for it. `send` prints `sent`; the others print
the predictions on fixed rows as JSON, or `refused`.
"""

import json
import logging
import os
import sys
import uuid

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
# So small that the client asks for several parts of each file of more than this.
os.environ.setdefault("MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE", "4096")

import warnings

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository
from predict import sample

warnings.filterwarnings("ignore", category=FutureWarning)
logging.getLogger("mlflow").setLevel(logging.ERROR)

URL = os.environ["GREENROOM_URL"]
NAME = "wine"


def same(found, wanted):
    assert found == wanted, f"{found!r} is not {wanted!r}"


def predictions(uri):
    model = mlflow.pyfunc.load_model(uri)
    known = [column.name for column in model.metadata.get_input_schema()]
    return [int(kind) for kind in model.predict(sample()[known])]


def send(folder):
    """What any client of MLflow can do without a plugin."""
    mlflow.set_registry_uri(URL)
    client = MlflowClient()
    upload = uuid.uuid4().hex
    repository = HttpArtifactRepository(f"{URL}/api/2.0/mlflow-artifacts/artifacts/uploads/{upload}")
    repository.log_artifacts(folder)
    listed = {f.path: f.file_size for f in repository.list_artifacts()}
    same(listed["MLmodel"], os.path.getsize(os.path.join(folder, "MLmodel")))
    # In parts: the client asks, is told no, and sends the file whole.
    os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD"] = "true"
    os.environ["MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE"] = "1"
    repository.log_artifact(os.path.join(folder, "MLmodel"))
    repository.log_artifact(os.path.join(folder, "MLmodel"), "extra")
    same([f.path for f in repository.list_artifacts("extra")], ["extra/MLmodel"])
    repository.delete_artifacts("extra")
    same(repository.list_artifacts("extra"), [])

    client.create_registered_model(NAME)
    made = client.create_model_version(NAME, f"mlflow-artifacts:/uploads/{upload}")
    same((made.version, made.status), ("1", "READY"))
    # MLmodel says which run made it, and the version knows.
    assert made.run_id, made
    client.transition_model_version_stage(NAME, "1", "Production")
    client.set_registered_model_alias(NAME, "champion", "1")
    uri = client.get_model_version_download_uri(NAME, "1")
    assert uri.startswith(f"{URL}/api/2.0/mlflow-artifacts/artifacts/models/"), uri
    never = HttpArtifactRepository(uri)
    for change in [lambda: never.log_artifact(os.path.join(folder, "MLmodel")), lambda: never.delete_artifacts("MLmodel")]:
        try:
            change()
            raise AssertionError("a registered version was changed")
        except Exception as e:
            assert "403" in str(e) or "never change" in str(e), e
    print("sent")


def load():
    # Whatever else is tracked where: the model comes from the registry.
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_registry_uri(URL)
    found = [predictions(f"models:/{NAME}{pick}") for pick in ["/1", "/Production", "@champion", "/latest"]]
    assert all(p == found[0] for p in found), found
    folder = mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{NAME}/1", dst_path="downloaded")
    assert os.path.exists(os.path.join(folder, "MLmodel"))
    one = mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{NAME}/1/MLmodel", dst_path="one")
    same(open(one).read(), open(os.path.join(folder, "MLmodel")).read())
    print(json.dumps(found[0]))


def load_databricks():
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_registry_uri("databricks")
    found = [predictions(f"models:/{NAME}/{pick}") for pick in ["1", "Production"]]
    assert found[0] == found[1], found
    print(json.dumps(found[0]))


def names(good, bad):
    """Version 1 of `good` has the names of one file and an empty folder, version 1 of `bad` those of the other."""
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_registry_uri(URL)
    lines = [open(path, encoding="utf-8").read().splitlines() for path in (good, bad)]
    folder = mlflow.artifacts.download_artifacts(artifact_uri="models:/good/1", dst_path="good")
    found = {os.path.relpath(os.path.join(at, name), folder) for at, _, files in os.walk(folder) for name in files}
    same(found - {"registered_model_meta"}, {os.path.join(str(i), name) for i, name in enumerate(lines[0])})
    for i, name in enumerate(lines[0]):
        same(open(os.path.join(folder, str(i), name), encoding="utf-8").read(), name)
    same([os.listdir(os.path.join(folder, name)) for name in ["none", os.path.join("deep", "none")]], [[], []])
    # Each of the others stands alone in a folder, since one is enough to break the list of a folder.
    uri = MlflowClient().get_model_version_download_uri("bad", "1")
    loaded = []
    for i, name in enumerate(lines[1]):
        try:
            path = HttpArtifactRepository(uri).download_artifacts(str(i), os.path.abspath("."))
            kept = os.path.join(path, name)
            if os.path.exists(kept) and open(kept, encoding="utf-8").read() == name:
                loaded.append(name)
        except Exception:
            pass
    same(loaded, [])
    print("names")


def refused():
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_registry_uri(URL)
    said = {}
    for name in [NAME, "none"]:
        try:
            mlflow.pyfunc.load_model(f"models:/{name}/1")
            raise AssertionError(f"{name} was loaded")
        except MlflowException as e:
            said[name] = (e.error_code, str(e).replace(name, "NAME"))
    same(said[NAME], said["none"])
    same(said[NAME][0], "RESOURCE_DOES_NOT_EXIST")
    print("refused")


{"send": send, "load": load, "load-databricks": load_databricks, "names": names, "refused": refused}[sys.argv[1]](*sys.argv[2:])
