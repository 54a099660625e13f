"""The ways in which people bring a model into a registry with MLflow, and load it.

    python flows.py register REGISTRY_URI TRACKING_URI   trains a model and registers it in every way
    python flows.py log TRACKING_URI                     logs a model, for `greenroom register` to fetch
    python flows.py load REGISTRY_URI                    loads what `register` registered, as another person elsewhere

Each prints a JSON object: `register` with what the model predicts, `log` with the run, the logged model and the SHA-256 of
each file, `load` with what each address predicts. Whoever loads
has no tracking store. It runs with MLflow 3 and with MLflow 2, which has no logged models.
"""

import hashlib
import json
import logging
import os
import pathlib
import sys
import warnings

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

warnings.filterwarnings("ignore", category=FutureWarning)
logging.getLogger("mlflow").setLevel(logging.ERROR)
logging.getLogger("alembic").setLevel(logging.ERROR)

IGNORED = "*.pyc\n"
IS_2 = mlflow.__version__.startswith("2.")
ROWS = pd.DataFrame({"a": [0.0, 1.0, 2.0], "b": [1.0, 0.0, 1.0]})
ADDRESSES = [
    "models:/flow/1",
    "models:/flow/2",
    "models:/flow/Production",
    "models:/flow@champion",
    "models:/flow/latest",
    "models:/flow copy/1",
    "models:/flow other/1",
]


def same(found, wanted):
    assert found == wanted, f"{found!r} is not {wanted!r}"


def register(registry, tracking):
    # Linear models only: MLflow saves scikit-learn models with skops, which does not trust trees.
    from sklearn.linear_model import LinearRegression

    mlflow.set_tracking_uri(tracking)
    mlflow.set_registry_uri(registry)
    client = MlflowClient()
    model = LinearRegression().fit(ROWS, [1.0, 2.0, 3.0])
    with mlflow.start_run() as run:
        mlflow.log_params({"C": 0.1, "solver": "linear"})
        mlflow.log_metric("auc", 0.5, step=1)
        mlflow.log_metric("auc", 0.91, step=3)
        mlflow.log_metric("loss", float("nan"))
        place = {"artifact_path": "model"} if IS_2 else {"name": "model"}
        # A package brings its own .gitignore, which must not steer the registry's repository.
        package = pathlib.Path("helpers")
        package.mkdir()
        (package / "__init__.py").write_text("x = 1\n")
        (package / ".gitignore").write_text(IGNORED)
        given = {"input_example": ROWS, "code_paths": [str(package)], **place}
        logged = mlflow.sklearn.log_model(model, registered_model_name="flow", **given)
    by_run = f"runs:/{run.info.run_id}/model"
    model_id = None if IS_2 else logged.model_id
    versions = [
        client.get_model_version("flow", "1"),
        mlflow.register_model(by_run, "flow"),
        mlflow.register_model(by_run if IS_2 else f"models:/{model_id}", "flow", tags={"from": "logged"}),
        client.copy_model_version("models:/flow/3", "flow copy"),
        mlflow.register_model("models:/flow/3", "flow other"),
    ]
    same([v.version for v in versions], ["1", "2", "3", "1", "1"])
    same([client.get_model_version(v.name, v.version).status for v in versions], ["READY"] * 5)
    # MLflow 2 gives a registry the place of the files, MLflow 3 the logged model.
    source = f"{run.info.artifact_uri}/model" if IS_2 else f"models:/{model_id}"
    same([v.source for v in versions], [source] * 3 + ["models:/flow/3"] * 2)
    same(versions[2].tags, {"from": "logged"})
    client.transition_model_version_stage("flow", "2", "Production")
    client.set_registered_model_alias("flow", "champion", "3")
    found = client.search_model_versions(f"run_id = '{run.info.run_id}' and name = 'flow'")
    same(sorted(v.version for v in found), ["1", "2", "3"])
    client.register_prompt("greet", "Hello {{name}}")
    same(client.load_prompt("prompts:/greet/1").template, "Hello {{name}}")
    if registry.startswith("greenroom"):
        nothing_is_left_of_a_failure(client)
    return {"predicted": list(model.predict(ROWS)), "run": run.info.run_id, "model": model_id}


def log(tracking):
    from sklearn.linear_model import LinearRegression

    mlflow.set_tracking_uri(tracking)
    with mlflow.start_run() as run:
        mlflow.log_params({"C": 0.1, "solver": "linear"})
        mlflow.log_metric("auc", 0.5, step=1)
        mlflow.log_metric("auc", 0.91, step=3)
        mlflow.log_metric("loss", float("nan"))
        place = {"artifact_path": "model"} if IS_2 else {"name": "model"}
        model = LinearRegression().fit(ROWS, [1.0, 2.0, 3.0])
        # What it needs is named, so that nothing is tried out to find it.
        logged = mlflow.sklearn.log_model(model, pip_requirements=["scikit-learn"], **place)
    folder = pathlib.Path(mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/model", dst_path="logged"))
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "registered_model_meta"]
    hashes = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    model_id = None if IS_2 else logged.model_id
    return {"run": run.info.run_id, "model": model_id, "mlflow": mlflow.__version__, "files": hashes}


def nothing_is_left_of_a_failure(client):
    """A source that cannot be read registers nothing, not even an empty model; a model made before stays."""
    client.create_registered_model("before")
    for name in ["none", "before"]:
        try:
            mlflow.register_model("runs:/0123456789abcdef0123456789abcdef/model", name)
            raise AssertionError("a model that is not there was registered")
        except MlflowException:
            pass
    try:
        client.create_registered_model("mine")
        client.create_model_version("mine", os.path.abspath("not there"))
        raise AssertionError("a folder that is not there was registered")
    except MlflowException as e:
        assert "GREENROOM_UPLOAD" in str(e), e
    names = {m.name for m in client.search_registered_models()}
    same(names & {"none", "before", "mine"}, {"before", "mine"})


def load(registry):
    mlflow.set_tracking_uri("sqlite:///none.db")
    mlflow.set_registry_uri(registry)
    folder = pathlib.Path(mlflow.artifacts.download_artifacts("models:/flow/1"))
    same((folder / "code" / "helpers" / ".gitignore").read_text(), IGNORED)
    return {address: list(mlflow.pyfunc.load_model(address).predict(ROWS)) for address in ADDRESSES}


print(json.dumps({"register": register, "log": log, "load": load}[sys.argv[1]](*sys.argv[2:])))
