"""Holds the receiver of the examples against real deliveries: `receiver_example.py RECEIVER`, in a registry's folder."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request


def greenroom(*args):
    return subprocess.run(["greenroom", *args], capture_output=True, text=True)


secret = greenroom("secret", "set", "signing", "--generate").stdout.strip()
assert secret.startswith("whsec_"), secret
probe = __import__("socket").socket()
probe.bind(("127.0.0.1", 0))
port = probe.getsockname()[1]
probe.close()
env = {**os.environ, "WEBHOOK_SECRET": secret}
receiver = subprocess.Popen([sys.executable, sys.argv[1], str(port)], env=env, stdout=subprocess.PIPE, text=True)
try:
    url = f"http://127.0.0.1:{port}/"
    for _ in range(200):
        try:
            urllib.request.urlopen(urllib.request.Request(url, b"{}", {"webhook-id": "x"}))
        except urllib.error.HTTPError as e:
            assert e.code == 401, "what is not signed is refused"
            break
        except urllib.error.URLError:
            time.sleep(0.05)
    made = greenroom("webhook", "create", "--event", "version.*", "--url", url, "--secret", "signing")
    assert made.returncode == 0, made
    listed = greenroom("webhook", "list", "-o", "json").stdout
    ident = __import__("json").loads(listed)[0]["id"]
    tested = greenroom("webhook", "test", ident)
    assert tested.returncode == 0 and "HTTP 204" in tested.stdout, tested
    assert "version." in receiver.stdout.readline(), "it acted"
    # With another secret than the one that it knows it is refused.
    subprocess.run(["greenroom", "secret", "set", "signing"], input="another", text=True, check=True)
    tested = greenroom("webhook", "test", ident)
    assert tested.returncode == 1 and "HTTP 401" in tested.stdout, tested
    # While it is replaced, both sign.
    subprocess.run(["greenroom", "secret", "set", "signing.next"], input=secret, text=True, check=True)
    assert "HTTP 204" in greenroom("webhook", "test", ident).stdout
    promoted = greenroom("secret", "promote", "signing")
    assert promoted.returncode == 0, promoted
    assert "HTTP 204" in greenroom("webhook", "test", ident).stdout
finally:
    receiver.kill()
print("ok")
