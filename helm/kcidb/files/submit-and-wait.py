"""`helm test`: makes a token, submits a valid document and a broken one, and waits for what becomes of them.

Standard library only. Wants GATEWAY_URL and JWT_SECRET (empty: authentication is off). Leaves no row in the database: the valid
document has no objects.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
import urllib.error
import urllib.request

GATEWAY = os.environ["GATEWAY_URL"].rstrip("/")
SECRET = os.environ["JWT_SECRET"].rstrip("\r\n")
PATIENCE = float(os.environ.get("PATIENCE_SECONDS", "120"))

VALID = {"version": {"major": 5, "minor": 3}}
BROKEN = {"version": {"major": 5, "minor": 3}, "checkouts": [{"origin": "helmtest"}]}  # a checkout without id


def token():
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    claims = {"origin": "helmtest", "exp": int(time.time()) + 3600}
    text = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(claims).encode())
    return (text + b"." + part(hmac.new(SECRET.encode(), text, hashlib.sha256).digest())).decode()


def ask(path, body=None):
    headers = {"Content-Type": "application/json"}
    if SECRET:
        headers["Authorization"] = "Bearer " + token()
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(GATEWAY + path, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"FAILED: {path}: {error.code} {error.read().decode(errors='replace')}")


def expect(what, document, status):
    submission = ask("/submit", document)["id"]
    end = time.monotonic() + PATIENCE
    while True:
        answer = ask(f"/status?id={submission}")
        if answer["status"] in ("processed", "failed") or time.monotonic() > end:
            break
        time.sleep(0.5)
    if answer["status"] != status:
        sys.exit(f"FAILED: {what} {submission} should be {status}, but is {answer}")
    if status == "failed" and not answer.get("reason"):
        sys.exit(f"FAILED: {what} {submission} has no reason: {answer}")
    print(f"ok: {what} {submission} is {status} {answer.get('reason') or ''}".rstrip())


expect("the valid document", VALID, "processed")
expect("the broken document", BROKEN, "failed")
