"""Receives webhooks of greenroom and handles the genuine ones. Needs only Python's standard library.

    WEBHOOK_SECRET=whsec_… python receiver.py 8080
"""

import base64, hashlib, hmac, json, os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ["WEBHOOK_SECRET"]
KEY = base64.b64decode(SECRET[6:] + "==") if SECRET.startswith("whsec_") else SECRET.encode()
seen = set()  # in production: a table with an expiry time


def is_genuine(headers, body, now):
    """Returns whether a request is signed with our secret and at most five minutes old (Standard Webhooks)."""
    delivery, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not sent.isdigit() or abs(now - int(sent)) > 300:
        return False
    signed = hmac.new(KEY, f"{delivery}.{sent}.".encode() + body, hashlib.sha256).digest()
    wanted = "v1," + base64.b64encode(signed).decode()
    return any(hmac.compare_digest(wanted, given) for given in headers.get("webhook-signature", "").split())


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), 1 << 20))
        genuine = is_genuine(self.headers, body, time.time())
        delivery = self.headers.get("webhook-id")
        if genuine and delivery not in seen:  # a retry after a lost response has the same id
            print(json.loads(body), flush=True)
            seen.add(delivery)
        self.send_response(204 if genuine else 401)
        self.end_headers()


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(sys.argv[1])), Receiver).serve_forever()
