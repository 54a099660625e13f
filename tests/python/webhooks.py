"""Webhooks by the real clients, and what is received checked by the real verifiers.

    webhooks.py URL TOKEN

starts a receiver of its own, makes webhooks that lead to it with databricks-sdk and MlflowClient, has them tested, and
verifies each body that arrived: with the standardwebhooks package, with MLflow's recipe and with Databricks' recipe.
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import sys
import threading

from standardwebhooks import Webhook as Standard, WebhookVerificationError

URL, TOKEN = sys.argv[1:]
os.environ["MLFLOW_TRACKING_TOKEN"] = TOKEN

import mlflow
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.errors import InvalidParameterValue, NotFound, ResourceDoesNotExist
from databricks.sdk.service import ml
from mlflow.entities.webhook import WebhookEvent, WebhookStatus
from mlflow.exceptions import MlflowException

got = []


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        got.append((dict(self.headers), body))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"OK")

    def log_message(self, *_):
        pass


receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=receiver.serve_forever, daemon=True).start()
HOOK = f"http://127.0.0.1:{receiver.server_port}/hook"


def by_databricks(secret, headers, body):
    """As Databricks' documentation compares: hex HMAC-SHA256 of the body."""
    expected = hmac.new(secret.encode("utf-8"), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, headers["x-databricks-signature"])


def by_mlflow(secret, headers, body):
    """As MLflow's documentation verifies: HMAC-SHA256 over id, timestamp and body, in base 64 after `v1,`."""
    signed = f"{headers['x-mlflow-delivery-id']}.{headers['x-mlflow-timestamp']}.{body.decode('utf-8')}"
    expected = base64.b64encode(hmac.new(secret.encode("utf-8"), signed.encode("utf-8"), hashlib.sha256).digest())
    version, signature = headers["x-mlflow-signature"].split(",")
    return version == "v1" and hmac.compare_digest(expected.decode(), signature)


def by_standard(secret, headers, body):
    """The package wants base 64; a secret of another kind is its own key."""
    key = secret if secret.startswith("whsec_") else base64.b64encode(secret.encode()).decode()
    try:
        Standard(key).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


def verify(secret):
    headers, body = got.pop()
    assert not got, "one delivery each"
    headers = {k.lower(): v for k, v in headers.items()}
    for check in (by_databricks, by_mlflow, by_standard):
        assert check(secret, headers, body), (check.__name__, headers, body)
        assert not check(OTHER, headers, body), check.__name__
        assert not check(secret, headers, body + b" "), check.__name__
    return json.loads(body)


OTHER = "whsec_" + base64.b64encode(b"another secret of thirty-two byte").decode()
SECRETS = ["plain text", "clé £", "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()]

# Databricks' client.
w = WorkspaceClient(config=Config(host=URL, token=TOKEN, retry_timeout_seconds=5))
api = w.model_registry
api.create_model("churn")
Event = ml.RegistryWebhookEvent
for secret in SECRETS:
    spec = ml.HttpUrlSpec(url=HOOK, secret=secret, authorization="Bearer xyz")
    made = api.create_webhook([Event.COMMENT_CREATED], model_name="churn", description="d", http_url_spec=spec).webhook
    assert made.http_url_spec.url == HOOK and getattr(made.http_url_spec, "secret", None) is None and made.status.value == "ACTIVE"
    assert made.events == [Event.COMMENT_CREATED] and made.model_name == "churn" and made.creation_timestamp > 0
    result = api.test_registry_webhook(made.id)
    assert (result.status_code, result.body) == (200, "OK"), result
    body = verify(secret)
    assert list(body) == ["event", "webhook_id", "event_timestamp", "model_name", "version", "comment", "text"], body
    assert body["event"] == "COMMENT_CREATED" and body["webhook_id"] == made.id and body["model_name"] == "churn"
    api.delete_webhook(made.id)
ids = [
    api.create_webhook([Event.MODEL_VERSION_CREATED, event], http_url_spec=ml.HttpUrlSpec(url=HOOK)).webhook.id
    for event in (Event.REGISTERED_MODEL_CREATED, Event.MODEL_VERSION_TAG_SET)
]
assert [x.id for x in api.list_webhooks()] == ids[::-1]
assert [x.id for x in api.list_webhooks(max_results=1)] == ids[::-1], "pages"
assert [x.id for x in api.list_webhooks(events=[Event.MODEL_VERSION_TAG_SET])] == ids[1:]
job = ml.JobSpec(job_id="4711", access_token="dapi-token", workspace_url="https://jobs.example.org")
changed = api.update_webhook(ids[0], job_spec=job, status=ml.RegistryWebhookStatus.TEST_MODE).webhook
assert changed.job_spec.job_id == "4711" and getattr(changed.job_spec, "access_token", None) is None and changed.http_url_spec is None
assert changed.status is ml.RegistryWebhookStatus.TEST_MODE
for wrong in (
    lambda: api.create_webhook([Event.COMMENT_CREATED], http_url_spec=ml.HttpUrlSpec(url="https://127.0.0.2:22/")),
    lambda: api.create_webhook([Event.COMMENT_CREATED]),
):
    try:
        wrong()
        raise AssertionError("it was not refused")
    except InvalidParameterValue:
        pass
for i in ids:
    api.delete_webhook(i)
try:
    api.delete_webhook(ids[0])
    raise AssertionError("it was deleted twice")
except (NotFound, ResourceDoesNotExist):
    pass

# MLflow's client.
client = mlflow.MlflowClient(tracking_uri=URL, registry_uri=URL)
# Everything that this MLflow tells of registries: budgets are of its own gateway.
from mlflow.entities.webhook import VALID_ENTITY_ACTIONS

EVENTS = [f"{e.value}.{a.value}" for e, actions in VALID_ENTITY_ACTIONS.items() for a in actions if e.value != "budget_policy"]
for secret in SECRETS:
    events = EVENTS
    hook = client.create_webhook("ci", HOOK, events, description="d", secret=secret)
    assert sorted(str(e) for e in hook.events) == sorted(events) and hook.secret is None and hook.status == "ACTIVE"
    assert client.get_webhook(hook.webhook_id).url == HOOK
    for event in events:
        result = client.test_webhook(hook.webhook_id, event)
        assert result.success and result.response_status == 200 and result.response_body == "OK", result
        body = verify(secret)
        assert list(body) == ["entity", "action", "timestamp", "data"]
        assert f"{body['entity']}.{body['action']}" == event
        # The payload is MLflow's own example, word by word.
        from mlflow.webhooks.types import get_example_payload_for_event

        example = get_example_payload_for_event(WebhookEvent.from_str(event))
        assert list(body["data"]) == list(example) and body["data"] == example, (body["data"], example)
    client.delete_webhook(hook.webhook_id)
first = client.create_webhook("first", HOOK, ["model_version.created"])
second = client.create_webhook("second", HOOK, ["prompt.created"])
assert [h.name for h in client.list_webhooks()] == ["second", "first"]
page = client.list_webhooks(max_results=1)
assert [h.name for h in page] == ["second"]
assert [h.name for h in client.list_webhooks(max_results=1, page_token=page.token)] == ["first"]
changed = client.update_webhook(first.webhook_id, name="renamed", events=["prompt_tag.set"], status=WebhookStatus.DISABLED)
assert (changed.name, changed.status, [str(e) for e in changed.events]) == ("renamed", "DISABLED", ["prompt_tag.set"])
assert not client.test_webhook(first.webhook_id).success, "what is off is not told"
for wrong, say in (
    (lambda: client.create_webhook("x y", HOOK, ["prompt.created"]), "is invalid"),
    (lambda: client.create_webhook(" ", HOOK, ["prompt.created"]), "Webhook name ' ' is invalid. It must start and end with"),
    (lambda: client.create_webhook("x", " ", ["prompt.created"]), "Webhook URL cannot be empty or just whitespace: ' '"),
    (lambda: client.create_webhook("x", "http://10.0.0.1/", ["prompt.created"]), "Invalid webhook URL"),
    (lambda: client.create_webhook("x", "http://example.org/", ["prompt.created"]), "Invalid webhook URL scheme: 'http'. Allowed schemes are: https."),
    (lambda: client.create_webhook("x", "ftp://example.org/", ["prompt.created"]), "Invalid webhook URL scheme: 'ftp'. Allowed schemes are: https."),
    (lambda: client.update_webhook(first.webhook_id, url="ftp://example.org/"), "Invalid webhook URL scheme: 'ftp'. Allowed schemes are: https."),
    (lambda: client.get_webhook("00000000-0000-4000-8000-000000000000"), "not found"),
):
    try:
        wrong()
        raise AssertionError("it was not refused")
    except MlflowException as e:
        assert say in str(e), e
for hook in (first, second):
    client.delete_webhook(hook.webhook_id)
assert list(client.list_webhooks()) == []
print("ok")
