"""Small labs that use the running system, well or badly, and the server of their logs."""

import contextlib
import datetime
import http.server
import itertools
import json
import os
import socket
import threading
import time
from pathlib import Path

from system import Broken, fetch

ORIGINS = ("north", "south", "untidy", "garbled", "stranger")
VERSION = {"version": {"major": 5, "minor": 3}}


class Logs(http.server.BaseHTTPRequestHandler):
    """The server of logs: each error is in two of them."""

    out_of_order = slow = False

    def do_GET(self):
        kind, number = self.path.strip("/").split("/")
        place = f"drivers/lab/part{int(number) // 2}"
        text = {"build": f"  CC {place}.o\n{place}.c:12:3: error: expected ';'\nmake: *** [s:1: {place}.o] Error 1\n",
                "boot": f"[    0.000000] Linux version 6.9.0\n[    1.{number:0>6}] Kernel panic - not syncing: VFS: Unable to mount root fs\n"}[kind]
        if Logs.slow:
            time.sleep(1)
        self.send_response(503 if Logs.out_of_order else 200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


class Labs:
    """They submit all the time and ask what became of it; some do besides what `doing` says."""

    def __init__(self, system):
        self.system, self.doing, self.ended = system, set(), threading.Event()
        self.url = system.info["submit_url"]
        self.logs = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Logs)
        self.tokens = {origin: system.tool("token", "mint", origin) for origin in ORIGINS}
        self.threads = [threading.Thread(target=work) for work in (self.logs.serve_forever, self.work, self.crawl)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.logs.shutdown()
        for thread in self.threads:
            thread.join()
        self.logs.server_close()

    def work(self):
        for number in itertools.count():
            if self.ended.wait(0.2):
                return
            self.submit_well(("north", "south")[number % 2], number)
            if "wrong" in self.doing and number % 2:
                self.submit_wrong(number)
            if "late" in self.doing and number % 2:
                self.submit_late(number)
            if "old" in self.doing:
                self.fail_long_ago(number)

    def submit_well(self, origin, number):
        status, body = self.submit(self.url, origin, self.document(origin, number))
        if status == 200:
            fetch(f"{self.url}/status?id={json.loads(body)['id']}", Authorization=f"Bearer {self.tokens[origin]}")

    def submit_wrong(self, number):
        """A document that is not valid, one that is no JSON, one of another's objects, one without token, one where there may be no room."""
        self.submit(self.url, "untidy", VERSION | {"tests": [{"origin": "untidy"}]})
        self.submit(self.url, "garbled", b'{"version": ')
        self.submit(self.url, "stranger", self.document("north", f"s{number}", logs=False))
        fetch(f"{self.url}/submit", VERSION)
        self.submit(f"http://{self.system.gateway}", "north", self.document("north", f"g{number}", logs=False))

    def submit_late(self, number):
        """A submission that was received ten minutes ago."""
        file = f"submission-late{number}.json"
        self.put(file, self.document("north", f"l{number}", logs=False))
        self.tell("submission.received", {"submission_id": f"late{number}", "file": file, "size_bytes": 1, "sha256": ""})

    def fail_long_ago(self, number):
        """A build that failed ten minutes ago, and whose log nobody has looked at."""
        self.tell("build.failed", {"submission_id": f"old{number}", "build_id": f"north:old{number}", "checkout_id": "north:checkout0", "status": "FAIL",
                                   "log_url": self.log("build", number)})

    def tell(self, event, data):
        """Publishes an event as if the broker had been away for ten minutes."""
        happened = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=10)
        text = json.dumps({"specversion": "1.0", "id": f"{event}-{data['submission_id']}", "source": "/kcidb/labs", "type": f"org.kernelci.kcidb.{event}.v1",
                           "subject": "x", "time": happened.isoformat(), "datacontenttype": "application/json", "origin": "north", "data": {"origin": "north"} | data})
        message = {"properties": {"delivery_mode": 2}, "routing_key": f"{event}.north", "payload": text, "payload_encoding": "string"}
        with contextlib.suppress(Broken):  # the broker may really be away
            self.system.broker("exchanges/kcidb/kcidb.events/publish", message)

    def put(self, file, document, age=0):
        """Puts a file into the spool that is so many seconds old."""
        path = Path(self.system.info["spool"], file)
        draft = path.with_suffix(".temp")
        draft.write_text(json.dumps(document))
        os.utime(draft, (time.time() - age,) * 2)
        draft.rename(path)

    def crawl(self):
        """Uploads over slow lines, several at once."""
        body = json.dumps(VERSION)
        head = f"POST /submit HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {self.tokens['north']}\r\nContent-Length: {len(body)}\r\n\r\n"
        host, port = self.url.removeprefix("http://").split(":")
        while not self.ended.wait(0.1):
            if "slow" not in self.doing:
                continue
            with contextlib.suppress(OSError), contextlib.ExitStack() as end:
                lines = [end.enter_context(socket.create_connection((host, int(port)))) for _ in range(8)]
                for line in lines:
                    line.sendall((head + body[:5]).encode())
                self.ended.wait(2.5)
                for line in lines:
                    line.sendall(body[5:].encode())
                    line.recv(1000)

    def submit(self, url, origin, document):
        return fetch(f"{url}/submit", document, Authorization=f"Bearer {self.tokens[origin]}")

    def log(self, kind, number):
        return f"http://127.0.0.1:{self.logs.server_port}/{kind}/{number}"

    def document(self, origin, number, logs=True):
        """A checkout with a good and a failed build, and a failed boot."""
        def named(what):
            return f"{origin}:{what}{number}"

        def log(kind):
            return {"log_url": self.log(kind, number)} if logs else {}

        build = {"origin": origin, "checkout_id": named("checkout"), "architecture": "arm64"}
        return VERSION | {
            "checkouts": [{"id": named("checkout"), "origin": origin, "tree_name": "example"}],
            "builds": [build | {"id": named("good"), "status": "PASS"}, build | {"id": named("bad"), "status": "FAIL"} | log("build")],
            "tests": [{"id": named("boot"), "origin": origin, "build_id": named("good"), "path": "boot", "status": "FAIL"} | log("boot")],
        }
