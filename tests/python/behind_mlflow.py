"""Uses an MLflow server whose registry is Greenroom, as people do: with MLflow's own client and with MLflow's own pages.

    python behind_mlflow.py URL PERSON SCHEME

A proxy in front of the MLflow server would name the person in X-Forwarded-User; here each request carries that header.
MLFLOW_TRACKING_TOKEN is the person's own token of the registry. SCHEME is how the MLflow server names the registry. Prints
`ok`.
"""

import json
import logging
import os
import sys
import warnings

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.tracking.request_header.abstract_request_header_provider import RequestHeaderProvider
from mlflow.tracking.request_header.registry import _request_header_provider_registry
from sklearn.linear_model import LinearRegression

warnings.filterwarnings("ignore", category=FutureWarning)
logging.getLogger("mlflow").setLevel(logging.ERROR)

URL, PERSON, SCHEME = sys.argv[1:]
HEADERS = {"X-Forwarded-User": PERSON}


class Proxy(RequestHeaderProvider):
    """The header on what goes to the MLflow server; the registry's own server is not behind that proxy."""

    is_before = True

    def in_context(self):
        return Proxy.is_before

    def request_headers(self):
        return HEADERS


_request_header_provider_registry.register(Proxy)


def same(found, wanted):
    assert found == wanted, f"{found!r} is not {wanted!r}"


def page(address, **query):
    """What MLflow's pages ask."""
    answer = requests.get(f"{URL}{address}", params=query, headers=HEADERS, timeout=60)
    assert answer.status_code == 200, f"{address}: {answer.status_code} {answer.text}"
    return answer


mlflow.set_tracking_uri(URL)
client = MlflowClient()
rows = [[0.0], [1.0], [2.0]]
model = LinearRegression().fit(rows, [0.0, 1.0, 2.0])
with mlflow.start_run() as run:
    mlflow.log_param("C", 0.1)
    mlflow.log_metric("auc", 0.91)
    mlflow.sklearn.log_model(model, name="model", registered_model_name="flow")
made = client.get_model_version("flow", "1")
same((made.status, made.run_id), ("READY", run.info.run_id))
same(client.transition_model_version_stage("flow", "1", "Staging").current_stage, "Staging")
client.set_registered_model_alias("flow", "champion", "1")
client.set_registered_model_tag("flow", "team", "red")
client.set_model_version_tag("flow", "1", "checked", "yes")
Proxy.is_before = False
for address in ["models:/flow/1", "models:/flow/Staging", "models:/flow@champion"]:
    same([round(float(y), 6) for y in mlflow.pyfunc.load_model(address).predict(rows)], [0.0, 1.0, 2.0])
Proxy.is_before = True
if SCHEME != "databricks":
    same(client.copy_model_version("models:/flow/1", "flow copy").version, "1")

# MLflow's own pages: the list of models, a model, a version, its files.
shown = page("/ajax-api/2.0/mlflow/registered-models/search").json()["registered_models"]
same({m["name"] for m in shown} - {"flow copy"}, {"flow"})
of_model = page("/ajax-api/2.0/mlflow/registered-models/get", name="flow").json()["registered_model"]
same((of_model["aliases"], of_model["tags"]), ([{"alias": "champion", "version": "1"}], [{"key": "team", "value": "red"}]))
found = page("/ajax-api/2.0/mlflow/model-versions/search", filter="name='flow'").json()["model_versions"]
same([(v["version"], v["current_stage"]) for v in found], [("1", "Staging")])
if SCHEME != "databricks":
    of_file = page("/model-versions/get-artifact", name="flow", version="1", path="MLmodel")
    assert "sklearn" in of_file.text, of_file.text

# What the rules refuse is an answer at once, with the reason, and not a server that seems to have failed.
try:
    client.transition_model_version_stage("flow", "1", "Production")
    raise AssertionError("it moved to Production without an approval")
except MlflowException as e:
    refusal = str(e)

if SCHEME != "databricks":
    client.register_prompt("greet", "Hello {{name}}", tags={"lang": "en"})
    same(client.load_prompt("prompts:/greet/1").template, "Hello {{name}}")
    client.create_registered_model("tagged", tags={"a": "b"})
    same(client.get_registered_model("tagged").tags, {"a": "b"})
print(json.dumps({"ok": True, "refusal": refusal}))
