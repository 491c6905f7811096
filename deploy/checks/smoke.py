"""The script of `helm test`, against a small stand-in of the gateway that behaves well, and ones that do not."""

import http.server
import json
import os
import sys
import threading

from report import ROOT, check, run as execute

SCRIPT = ROOT / "helm/kcidb/files/submit-and-wait.py"


def gateway(states):
    """Answers the n-th submission with the n-th state."""
    class Handler(http.server.BaseHTTPRequestHandler):
        count = 0

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            if not self.headers["Authorization"].startswith("Bearer ey"):
                return self.answer(401, {})
            Handler.count += 1
            self.answer(200, {"id": str(Handler.count)})

        def do_GET(self):
            self.answer(200, states[int(self.path.rsplit("=")[-1]) - 1])

        def answer(self, status, body):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def run():
    good, bad = {"status": "processed"}, {"status": "failed", "reason": "a checkout without id"}
    cases = {
        "it passes on a system that works": ([good, bad], 0),
        "it fails when a valid document is rejected": ([bad, bad], 1),
        "it fails when a broken document is loaded": ([good, good], 1),
        "it fails when a rejection has no reason": ([good, {"status": "failed"}], 1),
        "it fails when nothing happens": ([{"status": "ready"}, bad], 1),
    }
    for what, (states, wanted) in cases.items():
        server = gateway(states)
        env = os.environ | {"GATEWAY_URL": f"http://127.0.0.1:{server.server_port}", "JWT_SECRET": "secret", "PATIENCE_SECONDS": "1"}
        code, out, err = execute(sys.executable, SCRIPT, env=env)
        check(f"helm test: {what}", [] if code == wanted else [out + err])
        server.shutdown()
