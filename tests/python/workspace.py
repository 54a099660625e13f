"""Drives a served registry with databricks-sdk: every method of `w.model_registry` but those of webhooks, by several people.

    DATABRICKS_TOKENS="alice=… bob=… carol=… dave=… erin=…" python workspace.py http://127.0.0.1:PORT

Alice manages the registry. Bob may read, Carol may move versions to Production, Erin may read and approves together with
Carol what goes to the declared stage Canary, which needs two approvals. Dave has no grant at all. The person Bob has the
address bob@example.org. Prints `ok` if all answers are what the SDK's users rely on.
"""

import contextlib
import inspect
import io
import logging
import os
import sys
import time

HOST = sys.argv[1]
TOKENS = dict(pair.split("=", 1) for pair in os.environ.pop("DATABRICKS_TOKENS").split())
for name in list(os.environ):
    if name.startswith("DATABRICKS_"):
        del os.environ[name]
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.errors import (
    InvalidParameterValue,
    InvalidState,
    NotFound,
    PermissionDenied,
    ResourceAlreadyExists,
    ResourceDoesNotExist,
    Unauthenticated,
)
from databricks.sdk.service import iam, ml

#: Covered by the tests of webhooks.
ELSEWHERE = {"create_webhook", "delete_webhook", "list_webhooks", "test_registry_webhook", "update_webhook"}

called = set()


class Recorded(ml.ModelRegistryAPI):
    """Notes which methods are called."""

    def __getattribute__(self, name):
        if not name.startswith("_"):
            called.add(name)
        return super().__getattribute__(name)


def client(token):
    config = Config(host=HOST, token=token, retry_timeout_seconds=5)
    w = WorkspaceClient(config=config)
    w._model_registry = Recorded(w.api_client)
    assert isinstance(w.model_registry, Recorded)
    return w


def refused(kind, words, call, *args, **kwargs):
    """The call must fail with exactly this exception, at once, and say these words."""
    began = time.monotonic()
    try:
        call(*args, **kwargs)
    except kind as e:
        assert type(e) is kind, f"{type(e)} is not {kind}: {e}"
        assert words in str(e), f"{words!r} is not in {e}"
        assert time.monotonic() - began < 3, "the client repeated it"
        return
    raise AssertionError(f"{call.__name__} was not refused")


def same(found, wanted):
    assert found == wanted, f"{found!r} is not {wanted!r}"


def construction():
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    logging.getLogger().addHandler(handler)
    with contextlib.redirect_stderr(said):
        w = client(TOKENS["alice"])
    logging.getLogger().removeHandler(handler)
    same(said.getvalue(), "")
    me = w.current_user.me()
    same((me.user_name, me.active, [e.value for e in me.emails]), ("alice", True, ["alice@example.org"]))
    assert w.get_workspace_id() > 0
    same([g.display for g in client(TOKENS["erin"]).current_user.me().groups], ["risk"])
    refused(Unauthenticated, "is unknown", client("grm_" + "x" * 32).current_user.me)
    return w


def models(w, bob, dave):
    r = w.model_registry
    tags = [ml.ModelTag("team", "red"), ml.ModelTag("n", "1")]
    made = r.create_model("wine", description="Classes of wine", tags=tags).registered_model
    same((made.name, made.description, made.user_id), ("wine", "Classes of wine", "alice"))
    same({t.key: t.value for t in made.tags}, {"team": "red", "n": "1"})
    assert made.creation_timestamp == made.last_updated_timestamp > 1_600_000_000_000
    refused(ResourceAlreadyExists, "already exists", r.create_model, "wine")
    refused(InvalidParameterValue, "name", r.create_model, "")
    refused(InvalidParameterValue, "'/' or ':'", r.create_model, "a/b")

    detailed = r.get_model("wine").registered_model_databricks
    same((detailed.name, detailed.permission_level), ("wine", ml.PermissionLevel.CAN_MANAGE))
    assert len(detailed.id) == 32 and int(detailed.id, 16)
    same(bob.model_registry.get_model("wine").registered_model_databricks.permission_level, ml.PermissionLevel.CAN_READ)
    gone = "RegisteredModel 'beer' does not exist. It might have been deleted."
    refused(ResourceDoesNotExist, gone, r.get_model, "beer")
    hidden = "RegisteredModel 'wine' does not exist. It might have been deleted."
    refused(ResourceDoesNotExist, hidden, dave.model_registry.get_model, "wine")
    for name in ["Unexpected error", "ClusterNotReadyException", "Unknown worker environment"]:
        refused(ResourceDoesNotExist, "does not exist", r.get_model, name)

    same(r.update_model("wine", description="Kinds of wine").registered_model.description, "Kinds of wine")
    refused(PermissionDenied, "CAN_EDIT", bob.model_registry.update_model, "wine", description="Bob was here")
    same(r.rename_model("wine", new_name="wine red").registered_model.name, "wine red")
    renamed = r.get_model("wine red").registered_model_databricks
    same(renamed.id, detailed.id)
    r.rename_model("wine red", new_name="wine")
    refused(PermissionDenied, "CAN_MANAGE", bob.model_registry.rename_model, "wine", new_name="beer")

    r.set_model_tag("wine", "colour", "white")
    r.set_model_tag("wine", "colour", "ünï 'q' \"d\"")
    r.delete_model_tag("wine", "n")
    now = {t.key: t.value for t in r.get_model("wine").registered_model_databricks.tags}
    same(now, {"team": "red", "colour": "ünï 'q' \"d\""})
    refused(PermissionDenied, "CAN_EDIT", bob.model_registry.set_model_tag, "wine", "k", "v")

    for n in range(5):
        r.create_model(f"other-{n}")
    same([m.name for m in r.list_models(max_results=2)], [f"other-{n}" for n in range(5)] + ["wine"])
    same([m.name for m in r.search_models(filter="name LIKE 'other%'", max_results=2, order_by=["name DESC"])],
         [f"other-{n}" for n in reversed(range(5))])
    same([m.name for m in r.search_models(order_by=["timestamp DESC", "name"], max_results=3)][:1], ["other-4"])
    same(list(dave.model_registry.list_models()), [])
    refused(InvalidParameterValue, "", lambda: list(r.search_models(filter="nonsense")))
    for n in range(5):
        r.delete_model(f"other-{n}")
    refused(ResourceDoesNotExist, "other-0", r.delete_model, "other-0")
    refused(PermissionDenied, "CAN_MANAGE", bob.model_registry.delete_model, "wine")


def versions(w, bob):
    r = w.model_registry
    tags = [ml.ModelVersionTag("k", "1")]
    made = r.create_model_version("wine", "s3://bucket/one", run_id="run1", run_link="https://runs/1", tags=tags)
    one = made.model_version
    same((one.version, one.current_stage, one.status, one.user_id), ("1", "None", ml.ModelVersionStatus.READY, "alice"))
    same((one.source, one.run_id, one.run_link), ("s3://bucket/one", "run1", "https://runs/1"))
    same(r.create_model_version("wine", "s3://bucket/two", description="Better").model_version.version, "2")
    r.create_model_version("wine", "s3://bucket/three")
    same(r.get_model_version("wine", "2").model_version.description, "Better")
    refused(ResourceDoesNotExist, "version=9", r.get_model_version, "wine", "9")
    refused(InvalidParameterValue, "must be an integer", r.get_model_version, "wine", "x")
    same(r.update_model_version("wine", "2", description="Best").model_version.description, "Best")
    same(r.get_model_version_download_uri("wine", "1").artifact_uri, "s3://bucket/one")
    r.set_model_version_tag("wine", "1", "k", "2")
    r.set_model_version_tag("wine", "1", "l", "3")
    r.delete_model_version_tag("wine", "1", "k")
    same({t.key: t.value for t in r.get_model_version("wine", "1").model_version.tags}, {"l": "3"})
    found = r.search_model_versions(filter="name='wine'", max_results=2, order_by=["version_number ASC"])
    same([v.version for v in found], ["1", "2", "3"])
    refused(PermissionDenied, "CAN_EDIT", bob.model_registry.create_model_version, "wine", "s3://bucket/x")
    r.delete_model_version("wine", "3")
    refused(ResourceDoesNotExist, "version=3", r.delete_model_version, "wine", "3")


def stages(w, bob, carol):
    r = w.model_registry
    moved = carol.model_registry.transition_stage("wine", "1", "production", False, comment="First one")
    v = moved.model_version_databricks
    same((v.current_stage, v.status, v.permission_level),
         ("Production", ml.Status.READY, ml.PermissionLevel.CAN_MANAGE_PRODUCTION_VERSIONS))
    same((v.open_requests, v.version), ([], "1"))
    refused(PermissionDenied, "CAN_MANAGE_STAGING_VERSIONS",
            bob.model_registry.transition_stage, "wine", "2", "Staging", False)
    refused(InvalidParameterValue, "Invalid Model Version stage", r.transition_stage, "wine", "2", "Prod", False)
    refused(InvalidParameterValue, "not an Active stage", r.transition_stage, "wine", "2", "Archived", True)
    same([v.version for v in r.get_latest_versions("wine", stages=["Production"])], ["1"])
    same({v.current_stage: v.version for v in r.get_latest_versions("wine")}, {"None": "2", "Production": "1"})
    refused(InvalidParameterValue, "Production", r.delete_model_version, "wine", "1")
    refused(InvalidParameterValue, "Production", r.delete_model, "wine")


def requests(w, bob, carol, dave):
    r, reader, mover = w.model_registry, bob.model_registry, carol.model_registry
    asked = reader.create_transition_request("wine", "2", "Production", comment="please").request
    same((asked.user_id, asked.to_stage, asked.comment), ("bob", "Production", "please"))
    same(asked.available_actions, [ml.ActivityAction.CANCEL_TRANSITION_REQUEST])
    assert asked.creation_timestamp > 1_600_000_000_000
    refused(ResourceAlreadyExists, "already", reader.create_transition_request, "wine", "2", "Production", comment="so")
    refused(InvalidParameterValue, "already", reader.create_transition_request, "wine", "1", "Production")
    refused(ResourceDoesNotExist, "not found", dave.model_registry.create_transition_request, "wine", "2", "Staging")
    reader.create_transition_request("wine", "2", "Staging")
    opened = list(mover.list_transition_requests("wine", "2"))
    same([(a.to_stage, a.user_id, a.activity_type) for a in opened],
         [("Production", "bob", ml.ActivityType.REQUESTED_TRANSITION),
          ("Staging", "bob", ml.ActivityType.REQUESTED_TRANSITION)])
    same(list(mover.list_transition_requests("wine", "1")), [])

    refused(PermissionDenied, "CAN_MANAGE_PRODUCTION_VERSIONS",
            reader.approve_transition_request, "wine", "2", "Production", False)
    refused(PermissionDenied, "", reader.reject_transition_request, "wine", "2", "Production")
    no = mover.reject_transition_request("wine", "2", "Staging", comment="not there").activity
    same((no.activity_type, no.user_id, no.comment, no.to_stage),
         (ml.ActivityType.REJECTED_REQUEST, "carol", "not there", "Staging"))
    yes = mover.approve_transition_request("wine", "2", "Production", True, comment="fine").activity
    same((yes.activity_type, yes.user_id, yes.comment, yes.from_stage, yes.to_stage),
         (ml.ActivityType.APPROVED_REQUEST, "carol", "fine", "None", "Production"))
    assert yes.id
    stages = {v.version: v.current_stage for v in r.search_model_versions(filter="name='wine'")}
    same(stages, {"1": "Archived", "2": "Production"})
    refused(ResourceDoesNotExist, "no open request", mover.approve_transition_request, "wine", "2", "Staging", False)
    refused(ResourceDoesNotExist, "no open request", mover.reject_transition_request, "wine", "2", "Staging")

    # Several people ask; each may be named by id or by address, and cancels only the own.
    reader.create_transition_request("wine", "1", "Staging")
    mover.create_transition_request("wine", "1", "Staging")
    refused(PermissionDenied, "", mover.delete_transition_request, "wine", "1", "Staging", "bob")
    gone = reader.delete_transition_request("wine", "1", "Staging", "BOB@example.org", comment="no need").activity
    same((gone.activity_type, gone.user_id, gone.comment), (ml.ActivityType.CANCELLED_REQUEST, "bob", "no need"))
    same([a.user_id for a in r.list_transition_requests("wine", "1")], ["carol"])
    r.delete_transition_request("wine", "1", "Staging", "carol")
    refused(ResourceDoesNotExist, "no open request", r.delete_transition_request, "wine", "1", "Staging", "carol")
    refused(ResourceDoesNotExist, "no open request", r.delete_transition_request, "wine", "1", "Staging", "no one!")


def quorum(bob, carol, erin):
    """A stage that needs two approvals: the first leaves the request open."""
    bob.model_registry.create_transition_request("wine", "1", "Canary")
    first = carol.model_registry.approve_transition_request("wine", "1", "Canary", False, comment="one").activity
    same((first.activity_type, first.comment, first.from_stage), (ml.ActivityType.APPROVED_REQUEST, "one", None))
    assert "stays open" in first.system_comment, first
    same([a.to_stage for a in bob.model_registry.list_transition_requests("wine", "1")], ["Canary"])
    same(bob.model_registry.get_model_version("wine", "1").model_version.current_stage, "Archived")
    second = erin.model_registry.approve_transition_request("wine", "1", "Canary", False).activity
    same((second.system_comment, second.from_stage, second.to_stage), (None, "Archived", "Canary"))
    same(bob.model_registry.get_model_version("wine", "1").model_version.current_stage, "Canary")
    refused(InvalidState, "approval", carol.model_registry.transition_stage, "wine", "2", "Canary", False)


def comments(w, bob, carol, dave):
    r, reader = w.model_registry, bob.model_registry
    made = reader.create_comment("wine", "1", "AUC 0.93").comment
    same((made.user_id, made.comment), ("bob", "AUC 0.93"))
    both = [ml.CommentActivityAction.EDIT_COMMENT, ml.CommentActivityAction.DELETE_COMMENT]
    same(made.available_actions, both)
    same(made.creation_timestamp, made.last_updated_timestamp)
    edited = reader.update_comment(made.id, "AUC 0.94").comment
    same((edited.id, edited.comment, edited.user_id), (made.id, "AUC 0.94", "bob"))
    assert edited.last_updated_timestamp >= edited.creation_timestamp
    refused(PermissionDenied, "", carol.model_registry.update_comment, made.id, "No")
    refused(PermissionDenied, "", carol.model_registry.delete_comment, made.id)
    refused(ResourceDoesNotExist, made.id, dave.model_registry.update_comment, made.id, "No")
    refused(ResourceDoesNotExist, made.id, dave.model_registry.delete_comment, made.id)
    refused(InvalidParameterValue, "comment", reader.create_comment, "wine", "1", "")
    refused(ResourceDoesNotExist, "not found", dave.model_registry.create_comment, "wine", "1", "Hello")
    refused(ResourceDoesNotExist, "nonsense", reader.update_comment, "nonsense", "No")
    # The id is good after a rename, and the registry's manager may delete it.
    name = r.create_model("renamed").registered_model.name
    r.create_model_version(name, "s3://bucket/x")
    there = r.create_comment(name, "1", "Still here").comment
    r.rename_model(name, new_name="renamed anew")
    same(r.update_comment(there.id, "Still here, too").comment.comment, "Still here, too")
    r.delete_comment(there.id)
    r.delete_model("renamed anew")
    r.delete_comment(made.id)
    refused(ResourceDoesNotExist, made.id, reader.delete_comment, made.id)


def permissions(w, bob, dave):
    r = w.model_registry
    model = r.get_model("wine").registered_model_databricks.id
    levels = r.get_permission_levels(model).permission_levels
    same([l.permission_level.value for l in levels],
         ["CAN_READ", "CAN_EDIT", "CAN_MANAGE_STAGING_VERSIONS", "CAN_MANAGE_PRODUCTION_VERSIONS", "CAN_MANAGE"])
    assert all(l.description for l in levels)

    def grants(found):
        return {
            e.user_name or "group:" + e.group_name: [(p.permission_level.value, bool(p.inherited)) for p in e.all_permissions]
            for e in found.access_control_list
        }

    found = r.get_permissions(model)
    same((found.object_id, found.object_type), (f"/registered-models/{model}", "registered-model"))
    all_of_them = {
        "alice": [("CAN_MANAGE", True)],
        "bob": [("CAN_READ", True)],
        "carol": [("CAN_MANAGE_PRODUCTION_VERSIONS", True)],
        "erin": [("CAN_READ", True)],
    }
    same(grants(found), all_of_them)
    inherited = found.access_control_list[0].all_permissions[0].inherited_from_object
    same(inherited, ["/registered-models/"])
    same(grants(bob.model_registry.get_permissions(model)), all_of_them)

    entry = ml.RegisteredModelAccessControlRequest
    level = ml.RegisteredModelPermissionLevel
    new = r.update_permissions(model, access_control_list=[
        entry(user_name="DAVE@example.org", permission_level=level.CAN_READ),
        entry(group_name="risk", permission_level=level.CAN_EDIT),
    ])
    same(grants(new), {**all_of_them, "dave": [("CAN_READ", False)], "group:risk": [("CAN_EDIT", False)]})
    same(dave.model_registry.get_model("wine").registered_model_databricks.permission_level, ml.PermissionLevel.CAN_READ)
    new = r.set_permissions(model, access_control_list=[entry(user_name="bob", permission_level=level.CAN_MANAGE)])
    same(grants(new)["bob"], [("CAN_MANAGE", False), ("CAN_READ", True)])
    same(grants(new)["alice"], [("CAN_MANAGE", True)])
    refused(ResourceDoesNotExist, "does not exist", dave.model_registry.get_permissions, model)
    bob.model_registry.update_model("wine", description="Bob may")
    r.set_permissions(model)
    same(grants(r.get_permissions(model)), all_of_them)
    # A person who manages the registry needs no grant; other people get one on the models that they register.
    dave.model_registry.create_model("daves")
    own = dave.model_registry.get_model("daves").registered_model_databricks
    same(grants(dave.model_registry.get_permissions(own.id))["dave"], [("CAN_MANAGE", False)])
    dave.model_registry.delete_model("daves")

    refused(PermissionDenied, "CAN_MANAGE", bob.model_registry.set_permissions, model)
    unknown = [entry(user_name="nobody-here", permission_level=level.CAN_READ)]
    refused(ResourceDoesNotExist, "nobody-here", r.update_permissions, model, access_control_list=unknown)
    no_group = [entry(group_name="nobody-here", permission_level=level.CAN_READ)]
    refused(ResourceDoesNotExist, "nobody-here", r.update_permissions, model, access_control_list=no_group)
    refused(InvalidParameterValue, "exactly one", r.update_permissions, model,
            access_control_list=[entry(permission_level=level.CAN_READ)])
    refused(InvalidParameterValue, "'wine' is not a valid registered model ID.", r.get_permissions, "wine")
    refused(ResourceDoesNotExist, "does not exist", r.get_permissions, "0" * 32)

    # The whole registry, by its own name and by the generic service.
    root = w.permissions.get("registered-models", "root")
    same({e.user_name: e.all_permissions[0].permission_level.value for e in root.access_control_list},
         {"alice": "CAN_MANAGE", "bob": "CAN_READ", "carol": "CAN_MANAGE_PRODUCTION_VERSIONS", "erin": "CAN_READ"})
    changed = w.permissions.update("registered-models", "root", access_control_list=[
        iam.AccessControlRequest(user_name="dave", permission_level=iam.PermissionLevel.CAN_READ)])
    assert any(e.user_name == "dave" for e in changed.access_control_list)
    same([m.name for m in dave.model_registry.list_models()], ["wine"])
    back = [iam.AccessControlRequest(user_name=e.user_name, permission_level=e.all_permissions[0].permission_level)
            for e in root.access_control_list]
    w.permissions.set("registered-models", "root", access_control_list=back)
    same(list(dave.model_registry.list_models()), [])
    refused(PermissionDenied, "permission", dave.model_registry.get_permissions, "root")
    refused(PermissionDenied, "CAN_MANAGE", bob.model_registry.update_permissions, "root", access_control_list=[])
    refused(InvalidState, "would have no administrator", r.set_permissions, "root")


def mlflow_through_databricks():
    """MLflow's client of the workspace registry, for all that moves no files."""
    os.environ["DATABRICKS_HOST"], os.environ["DATABRICKS_TOKEN"] = HOST, TOKENS["alice"]
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    import mlflow
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    mlflow.set_registry_uri("databricks")
    c = MlflowClient()
    made = c.create_registered_model("beer", tags={"k": "v"}, description="Kinds of beer")
    same((made.name, made.tags), ("beer", {"k": "v"}))
    same(c.get_registered_model("beer").description, "Kinds of beer")
    same(c.update_registered_model("beer", "All beer").description, "All beer")
    c.set_registered_model_tag("beer", "l", "w")
    c.delete_registered_model_tag("beer", "k")
    same(c.get_registered_model("beer").tags, {"l": "w"})
    same([m.name for m in c.search_registered_models("name = 'beer'")], ["beer"])
    c.rename_registered_model("beer", "ale")
    same(c.get_registered_model("ale").tags, {"l": "w"})
    from mlflow.utils.databricks_utils import get_databricks_host_creds

    same(get_databricks_host_creds("databricks").host, HOST)
    # A version needs its files uploaded by this client; one made by another client is moved, described and tagged here.
    client(TOKENS["alice"]).model_registry.create_model_version("ale", "s3://bucket/ale")
    same(c.get_model_version("ale", "1").current_stage, "None")
    same(c.transition_model_version_stage("ale", "1", "Staging").current_stage, "Staging")
    same([v.version for v in c.get_latest_versions("ale", ["Staging"])], ["1"])
    c.update_model_version("ale", "1", "Pale")
    c.set_model_version_tag("ale", "1", "k", "v")
    c.delete_model_version_tag("ale", "1", "k")
    same([v.description for v in c.search_model_versions("name = 'ale'")], ["Pale"])
    same(c.get_model_version_download_uri("ale", "1"), "s3://bucket/ale")
    try:
        c.delete_registered_model("ale")
        raise AssertionError("a model in use was deleted")
    except MlflowException as e:
        assert e.error_code == "INVALID_PARAMETER_VALUE", e.error_code
    c.transition_model_version_stage("ale", "1", "Archived")
    c.delete_model_version("ale", "1")
    c.delete_registered_model("ale")


def main():
    w = construction()
    bob, carol, dave, erin = (client(TOKENS[name]) for name in ["bob", "carol", "dave", "erin"])
    models(w, bob, dave)
    versions(w, bob)
    stages(w, bob, carol)
    requests(w, bob, carol, dave)
    quorum(bob, carol, erin)
    comments(w, bob, carol, dave)
    permissions(w, bob, dave)
    all_methods = {n for n, _ in inspect.getmembers(ml.ModelRegistryAPI, inspect.isfunction) if not n.startswith("_")}
    same(sorted(all_methods - called - ELSEWHERE), [])
    same(sorted(ELSEWHERE - all_methods), [])
    refused(NotFound, "has no such URL", w.api_client.do, "GET", "/api/2.0/mlflow/nothing")
    mlflow_through_databricks()
    print("ok")


main()
