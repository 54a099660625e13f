"""Drives a served registry with MLflow's own client: every method of `MlflowClient` that is about registered models.

    python registry.py http://127.0.0.1:PORT

Prints `ok` if all answers are what the client's users rely on. What it tracks lies in the working folder. Runs with
MLflow 3 and with MLflow 2, which has no logged models and other prompts.
"""

import os
import sys

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

import warnings

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException

IS_2 = mlflow.__version__.startswith("2.")

warnings.filterwarnings("ignore", category=FutureWarning)


def refused(code, words, call, *args, **kwargs):
    """The call must fail with this code, and say these words."""
    try:
        call(*args, **kwargs)
    except MlflowException as e:
        assert e.error_code == code, f"{e.error_code} is not {code}: {e}"
        # What the server refuses has its class; what the client refuses by itself, before it asks, has not.
        assert isinstance(e, RestException) or code == "INVALID_PARAMETER_VALUE", type(e)
        assert words in str(e), f"{words!r} is not in {e}"
        return
    raise AssertionError(f"{call.__name__} was not refused")


def same(found, wanted):
    assert found == wanted, f"{found!r} is not {wanted!r}"


def models(client):
    made = client.create_registered_model("wine", tags={"team": "red", "n": 1}, description="Classes of wine")
    same((made.name, made.description, made.tags), ("wine", "Classes of wine", {"team": "red", "n": "1"}))
    same(made.latest_versions, [])
    assert made.creation_timestamp == made.last_updated_timestamp > 1_600_000_000_000
    exists = "Registered Model (name=wine) already exists."
    refused("RESOURCE_ALREADY_EXISTS", exists, client.create_registered_model, "wine")
    refused("INVALID_PARAMETER_VALUE", "cannot contain '/' or ':'", client.create_registered_model, "a/b")
    refused("INVALID_PARAMETER_VALUE", "Missing value for required parameter 'name'", client.create_registered_model, "")
    missing = "Registered Model with name=beer not found"
    refused("RESOURCE_DOES_NOT_EXIST", missing, client.get_registered_model, "beer")
    refused("RESOURCE_DOES_NOT_EXIST", missing, client.rename_registered_model, "beer", "ale")
    refused("RESOURCE_DOES_NOT_EXIST", missing, client.delete_registered_model, "beer")

    same(client.update_registered_model("wine", "Kinds of wine").description, "Kinds of wine")
    same(client.get_registered_model("wine").description, "Kinds of wine")
    client.set_registered_model_tag("wine", "a key/with: all.of-it_", "ünï 'q' \"d\"\n\ttab")
    same(client.get_registered_model("wine").tags["a key/with: all.of-it_"], "ünï 'q' \"d\"\n\ttab")
    client.set_registered_model_tag("wine", "empty", "")
    same(client.get_registered_model("wine").tags["empty"], "")
    client.delete_registered_model_tag("wine", "empty")
    client.delete_registered_model_tag("wine", "empty")
    assert "empty" not in client.get_registered_model("wine").tags
    refused("INVALID_PARAMETER_VALUE", "Names may only contain", client.set_registered_model_tag, "wine", "a@b", "x")

    client.rename_registered_model("wine", "wine red")
    same(client.get_registered_model("wine red").description, "Kinds of wine")
    client.rename_registered_model("wine red", "wine")
    client.create_registered_model("gone")
    refused("RESOURCE_ALREADY_EXISTS", "already exists", client.rename_registered_model, "gone", "wine")
    client.delete_registered_model("gone")
    refused("RESOURCE_DOES_NOT_EXIST", "name=gone not found", client.get_registered_model, "gone")


def versions(client):
    one = client.create_model_version("wine", "s3://bucket/one", run_id="run1", run_link="https://runs/1", tags={"k": 1})
    same((one.version, one.current_stage, one.status, one.description), ("1", "None", "READY", ""))
    same((one.source, one.run_id, one.run_link, one.tags), ("s3://bucket/one", "run1", "https://runs/1", {"k": "1"}))
    two = client.create_model_version("wine", "s3://bucket/two", description="Better")
    same((two.version, two.description, two.run_id), ("2", "Better", ""))
    same(client.get_model_version("wine", "2").description, "Better")
    same(client.get_model_version("wine", 2).source, "s3://bucket/two")
    missing = "Model Version (name=wine, version=7) not found"
    refused("RESOURCE_DOES_NOT_EXIST", missing, client.get_model_version, "wine", "7")
    refused("RESOURCE_DOES_NOT_EXIST", missing, client.update_model_version, "wine", "7", "x")
    refused("INVALID_PARAMETER_VALUE", "must be an integer, got 'x'", client.get_model_version, "wine", "x")
    refused("RESOURCE_DOES_NOT_EXIST", "name=beer", client.create_model_version, "beer", "s3://b/m")
    refused("INVALID_PARAMETER_VALUE", "Invalid model version source", client.create_model_version, "wine", "s3://b/../c")
    same(client.update_model_version("wine", "2", "Best").description, "Best")
    same(client.get_model_version_download_uri("wine", "1"), "s3://bucket/one")

    client.set_model_version_tag("wine", "1", "quality", "good")
    client.set_model_version_tag("wine", "1", "quality", "fair")
    same(client.get_model_version("wine", "1").tags, {"k": "1", "quality": "fair"})
    client.delete_model_version_tag("wine", "1", "quality")
    client.delete_model_version_tag("wine", "1", "quality")
    same(client.get_model_version("wine", "1").tags, {"k": "1"})

    client.create_model_version("wine", "s3://bucket/three")
    client.delete_model_version("wine", "3")
    refused("RESOURCE_DOES_NOT_EXIST", "version=3) not found", client.get_model_version, "wine", "3")
    refused("RESOURCE_DOES_NOT_EXIST", "version=3) not found", client.delete_model_version, "wine", "3")
    same(client.create_model_version("wine", "s3://bucket/four").version, "4")


def stages(client):
    same(client.get_model_version_stages("wine", "1"), ["None", "Staging", "Production", "Archived"])
    same(client.transition_model_version_stage("wine", "1", "production").current_stage, "Production")
    moved = client.transition_model_version_stage("wine", "2", "Production", archive_existing_versions=True)
    same(moved.current_stage, "Production")
    same(client.get_model_version("wine", "1").current_stage, "Archived")
    newest = {v.current_stage: v.version for v in client.get_latest_versions("wine")}
    same(newest, {"None": "4", "Production": "2", "Archived": "1"})
    same([v.version for v in client.get_latest_versions("wine", ["Production"])], ["2"])
    same(client.get_latest_versions("wine", ["Staging"]), [])
    same({v.version for v in client.get_registered_model("wine").latest_versions}, {"1", "2", "4"})
    invalid = "Invalid Model Version stage: Prod. Value must be one of None, Staging, Production, Archived."
    refused("INVALID_PARAMETER_VALUE", invalid, client.transition_model_version_stage, "wine", "1", "Prod")
    refused("INVALID_PARAMETER_VALUE", "Invalid Model Version stage", client.get_latest_versions, "wine", ["Prod"])
    no_active = "Model version transition cannot archive existing model versions because 'Archived' is not an Active stage."
    refused("INVALID_PARAMETER_VALUE", no_active, client.transition_model_version_stage, "wine", "1", "Archived", True)
    client.set_model_version_tag("wine", key="by", value="stage", stage="Production")
    same(client.get_model_version("wine", "2").tags, {"by": "stage"})
    client.delete_model_version_tag("wine", key="by", stage="Production")
    same(client.get_model_version("wine", "2").tags, {})


def aliases(client):
    client.set_registered_model_alias("wine", "champion", "2")
    same(client.get_model_version_by_alias("wine", "champion").version, "2")
    client.set_registered_model_alias("wine", "champion", "1")
    same(client.get_model_version_by_alias("wine", "champion").aliases, ["champion"])
    same(client.get_registered_model("wine").aliases, {"champion": "1"})
    same(client.get_model_version("wine", "1").aliases, ["champion"])
    same(client.get_model_version_by_alias("wine", "latest").version, "4")
    refused("INVALID_PARAMETER_VALUE", "Registered model alias nix not found.", client.get_model_version_by_alias, "wine", "nix")
    refused("INVALID_PARAMETER_VALUE", "Invalid alias name: 'a b'", client.set_registered_model_alias, "wine", "a b", "1")
    refused("INVALID_PARAMETER_VALUE", "is reserved", client.set_registered_model_alias, "wine", "Latest", "1")
    refused("INVALID_PARAMETER_VALUE", "is reserved", client.set_registered_model_alias, "wine", "v1", "1")
    refused("RESOURCE_DOES_NOT_EXIST", "version=9) not found", client.set_registered_model_alias, "wine", "x", "9")
    client.delete_registered_model_alias("wine", "champion")
    client.delete_registered_model_alias("wine", "champion")
    same(client.get_registered_model("wine").aliases, {})


def searches(client):
    for n in range(5):
        client.create_registered_model(f"model {n}", tags={"n": str(n), "team": "blue"})
    names = lambda found: [m.name for m in found]
    same(names(client.search_registered_models()), [f"model {n}" for n in range(5)] + ["wine"])
    same(names(client.search_registered_models("name = 'wine'")), ["wine"])
    same(names(client.search_registered_models("name ILIKE 'MODEL %' AND tag.n != '3'")), [f"model {n}" for n in (0, 1, 2, 4)])
    same(names(client.search_registered_models("tags.team = 'blue'", order_by=["name DESC"])), [f"model {n}" for n in (4, 3, 2, 1, 0)])
    page = client.search_registered_models("name LIKE 'model%'", max_results=2)
    seen = names(page)
    while page.token:
        page = client.search_registered_models("name LIKE 'model%'", max_results=2, page_token=page.token)
        seen += names(page)
    same(seen, [f"model {n}" for n in range(5)])
    refused("INVALID_PARAMETER_VALUE", "Invalid attribute key 'foo' specified", client.search_registered_models, "foo = 'x'")
    refused("INVALID_PARAMETER_VALUE", "Invalid page token", client.search_registered_models, page_token="evilhax")
    refused("INVALID_PARAMETER_VALUE", "Invalid value", client.search_registered_models, max_results=1001)

    numbers = lambda found: [v.version for v in found]
    same(numbers(client.search_model_versions("name = 'wine'", order_by=["version_number ASC"])), ["1", "2", "4"])
    same(numbers(client.search_model_versions("run_id = 'run1'")), ["1"])
    same(numbers(client.search_model_versions("source_path = 's3://bucket/four'")), ["4"])
    same(numbers(client.search_model_versions("name = 'wine' and version_number >= 2", order_by=["version_number"])), ["2", "4"])
    same(numbers(client.search_model_versions("tag.k = '1'")), ["1"])
    page = client.search_model_versions("name = 'wine'", order_by=["version_number ASC"], max_results=2)
    same(numbers(page), ["1", "2"])
    same(numbers(client.search_model_versions("name = 'wine'", order_by=["version_number ASC"], max_results=2, page_token=page.token)), ["4"])
    refused("INVALID_PARAMETER_VALUE", "Invalid comparator for attribute version_number", client.search_model_versions, "version_number LIKE '1'")


def copies(client):
    copy = client.copy_model_version("models:/wine/2", "wine-copy")
    same((copy.name, copy.version, copy.source), ("wine-copy", "1", "models:/wine/2"))
    same(client.get_model_version_download_uri("wine-copy", "1"), "s3://bucket/two")
    client.set_registered_model_alias("wine", "best", "2")
    same(client.copy_model_version("models:/wine@best", "wine-copy").source, "models:/wine/2")


def prompts(client):
    client.register_prompt("greet", "Hello {{name}}", commit_message="first", tags={"lang": "en"})
    client.register_prompt("greet", "Hi {{name}}")
    same(client.load_prompt("prompts:/greet/1").template, "Hello {{name}}")
    same(client.load_prompt("prompts:/greet@latest").version, 2)
    client.set_prompt_alias("greet", "live", 1)
    same(client.load_prompt("prompts:/greet@live").version, 1)
    client.delete_prompt_alias("greet", "live")
    same([p.name for p in client.search_prompts()], ["greet"])
    same([v.version for v in client.search_prompt_versions("greet")], [2, 1])
    client.set_prompt_tag("greet", "tone", "warm")
    client.delete_prompt_tag("greet", "tone")
    client.set_prompt_version_tag("greet", "1", "used", "yes")
    client.delete_prompt_version_tag("greet", "1", "used")
    assert "greet" not in [m.name for m in client.search_registered_models()]
    taken = "the name is already taken by a prompt"
    refused("RESOURCE_ALREADY_EXISTS", taken, client.create_registered_model, "greet")
    same(client.search_model_versions("name = 'greet'"), [])


def prompts_of_3(client):
    too_long = "Prompt text exceeds max length of 100000 characters."
    for register in [client.register_prompt, client.create_prompt_version]:
        refused("INVALID_PARAMETER_VALUE", too_long, register, "greet", "x" * 100_001)
    client.create_prompt("made", description="By hand", tags={"a": "b"})
    same((client.get_prompt("made").description, client.get_prompt("made").tags), ("By hand", {"a": "b"}))
    one = client.create_prompt_version("made", "Hello {{name}}", description="first", tags={"k": "v"})
    same((one.version, one.template), (1, "Hello {{name}}"))
    same(client.get_prompt_version("made", "1").template, "Hello {{name}}")
    client.set_prompt_alias("made", "live", 1)
    same(client.get_prompt_version_by_alias("made", "live").version, 1)
    same(client.get_prompt("none"), None)
    client.delete_prompt_version("made", "1")
    client.delete_prompt("made")
    same([p.name for p in client.search_prompts()], ["greet"])


# What `MlflowClient` offers besides registered models, and where it is tested or why it is nothing for a registry.
NOT_HERE = {
    "webhook": "deliveries have tests of their own",
    "mcp_": "servers of the model context protocol are no models",
    "workspace": "a registry is one workspace",
    "dataset": "tracking", "experiment": "tracking", "logged_model": "tracking", "run": "tracking", "trace": "tracking",
    "span": "tracking", "log_": "tracking", "artifacts": "tracking", "table": "tracking", "metric_history": "tracking",
    "set_tag": "tracking", "delete_tag": "tracking", "set_terminated": "tracking", "batch": "tracking",
    "link_prompt_version_to_model": "tracking: the link is kept with a logged model",
    "list_logged_prompts": "tracking: the prompts of a run",
    "parse_prompt_uri": "asks nobody",
}


def every_method(_client):
    """Every method of the client is called above, or is about something else than a registry."""
    with open(__file__, encoding="utf-8") as f:
        source = f.read()
    called = lambda name: f"client.{name}(" in source or f"client.{name}," in source
    methods = [name for name in dir(MlflowClient) if not name.startswith("_") and callable(getattr(MlflowClient, name))]
    forgotten = [name for name in methods if not called(name) and not any(part in name for part in NOT_HERE)]
    same(forgotten, [])
    about = lambda name: any(word in name for word in ("registered_model", "model_version", "prompt", "latest_versions"))
    left_out = [name for name in methods if about(name) and not called(name)]
    linked = {"detach_prompt_from_run", "link_prompt_version_to_model", "link_prompt_version_to_run", "link_prompt_versions_to_trace"}
    same(set(left_out) - linked - {"list_logged_prompts", "parse_prompt_uri"}, set())


def sources_of_files(client):
    """A folder that both machines see is loaded by version, stage and alias without any tracking server."""
    import pandas as pd
    from sklearn.linear_model import LinearRegression

    rows = pd.DataFrame({"a": [0.0, 1.0, 2.0], "b": [1.0, 0.0, 1.0]})
    model = LinearRegression().fit(rows, [1.0, 2.0, 3.0])
    folder = os.path.abspath("saved")
    mlflow.sklearn.save_model(model, folder)
    client.create_registered_model("folder")
    client.create_model_version("folder", f"file://{folder}")
    client.create_model_version("folder", folder)
    client.transition_model_version_stage("folder", "1", "Production")
    client.set_registered_model_alias("folder", "champion", "2")
    for uri in ["models:/folder/1", "models:/folder/2", "models:/folder/Production", "models:/folder@champion"]:
        same(list(mlflow.pyfunc.load_model(uri).predict(rows)), list(model.predict(rows)))


def flows_of_2(client):
    import pandas as pd
    from sklearn.linear_model import LinearRegression

    rows = pd.DataFrame({"a": [0.0, 1.0, 2.0], "b": [1.0, 0.0, 1.0]})
    model = LinearRegression().fit(rows, [1.0, 2.0, 3.0])
    with mlflow.start_run() as run:
        mlflow.sklearn.log_model(model, "model", registered_model_name="flow")
    found = client.get_model_version("flow", "1")
    same((found.run_id, found.status), (run.info.run_id, "READY"))
    same(mlflow.register_model(f"runs:/{run.info.run_id}/model", "flow").version, "2")
    client.transition_model_version_stage("flow", "2", "Production")
    client.set_registered_model_alias("flow", "champion", "1")
    for uri in ["models:/flow/1", "models:/flow/Production", "models:/flow@champion", "models:/flow/latest"]:
        same(list(mlflow.pyfunc.load_model(uri).predict(rows)), list(model.predict(rows)))


def flows(client):
    import pandas as pd
    from sklearn.linear_model import LinearRegression

    rows = pd.DataFrame({"a": [0.0, 1.0, 2.0], "b": [1.0, 0.0, 1.0]})
    model = LinearRegression().fit(rows, [1.0, 2.0, 3.0])
    wanted = list(model.predict(rows))
    with mlflow.start_run() as run:
        logged = mlflow.sklearn.log_model(model, name="model", registered_model_name="flow", input_example=rows)
    same(client.get_model_version("flow", "1").source, logged.model_uri if logged.model_uri.startswith("models:/m-") else f"models:/{logged.model_id}")
    by_run = mlflow.register_model(f"runs:/{run.info.run_id}/model", "flow")
    same(by_run.version, "2")
    same(mlflow.register_model(f"models:/{logged.model_id}", "flow", tags={"from": "logged"}).version, "3")
    same(mlflow.register_model("models:/flow/3", "flow copy").source, "models:/flow/3")
    client.transition_model_version_stage("flow", "2", "Production")
    client.set_registered_model_alias("flow", "champion", "3")
    for uri in ["models:/flow/1", "models:/flow/Production", "models:/flow@champion", "models:/flow/latest", "models:/flow copy/1"]:
        same(list(mlflow.pyfunc.load_model(uri).predict(rows)), wanted)
    no_stage = "No versions of model with name 'flow' and stage 'Staging' found"
    try:
        mlflow.pyfunc.load_model("models:/flow/Staging")
        raise AssertionError("a model was loaded from a stage without versions")
    except MlflowException as e:
        assert no_stage in str(e), e


def main():
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_registry_uri(sys.argv[1])
    client = MlflowClient()
    both = [models, versions, stages, aliases, searches, copies, sources_of_files]
    for part in both + ([flows_of_2] if IS_2 else [prompts, prompts_of_3, flows, every_method]):
        part(client)
    print("ok")


main()
