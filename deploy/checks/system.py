"""A private system of the program that is built here, and a Prometheus that looks at it as the one of deploy/ does."""

import base64
import contextlib
import http.client
import json
import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from report import ROOT, run as execute

PROGRAM = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug/kcidb"
# So many times as fast as in production do rules look, and wait: ten minutes are ten seconds.
FACTOR = 60
# Seconds that anything may take; on a machine with nothing else to do it takes a few.
PATIENCE = 180
# What a setting of the program or of the servers begins with: the caller's are not for the system here.
SETTINGS = re.compile(r"KCIDB_|JWT_|UNIFIED_|DATABASE_|PG|AMQP_|RABBITMQ_|OTEL_|INGEST_|STATUS_|ACME_|CERTBOT_")
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
DURATION = r"(?:\d+(?:ms|[smhdwy]))+"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Broken(Exception):
    """The system cannot be looked at; with a sentence."""


def until(probe, patience=PATIENCE):
    """Asks again and again until the answer is true, or patience ends; the last answer."""
    end = time.monotonic() + patience
    while not (answer := probe()) and time.monotonic() < end:
        time.sleep(0.3)
    return answer


def fetch(url, body=None, method=None, **headers):
    """Status and body of an answer; a refusal is one, too."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | headers
    try:
        with OPENER.open(urllib.request.Request(url, data, headers, method=method), timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error).encode()


def free_addresses(count):
    """Their ports are below those that the system gives to outgoing connections, and above those that servers and tests of the program take."""
    found = []
    for port in random.sample(range(32_000, 32_768), 768):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(f"127.0.0.1:{port}")
        if len(found) == count:
            return found
    raise Broken("no port is free")


def environment(**settings):
    return {key: value for key, value in os.environ.items() if not SETTINGS.match(key)} | settings


def shorter(duration):
    """A duration of the rules, divided by the factor."""
    seconds = sum(int(number) * SECONDS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", duration))
    return f"{round(seconds * 1000 / FACTOR)}ms"


def faster(rules):
    """The alert rules with all durations divided by the factor; thresholds stay."""
    spans = re.compile(rf"(?<=\[){DURATION}(?::{DURATION})?(?=\])|(?<=offset ){DURATION}")
    for group in rules["groups"]:
        if "interval" in group:
            group["interval"] = shorter(group["interval"])
        for rule in group["rules"]:
            rule["expr"] = spans.sub(lambda span: re.sub(DURATION, lambda one: shorter(one[0]), span[0]), rule["expr"])
            if "for" in rule:
                rule["for"] = shorter(rule["for"])
    return rules


class System:
    """The four services with their servers, a second gateway at the same spool, and Prometheus."""

    def __init__(self, folder):
        self.folder, self.info, self.processes = folder, {}, {}
        self.gateway, self.gateway_admin, self.prometheus = free_addresses(3)

    def start(self):
        settings = environment(
            KCIDB_SPOOL_MIN_FREE="1", KCIDB_LOG_ALLOW="127.0.0.1", KCIDB_LOG_FAILURE_MEMORY="1s",
            # So that messages can be seen waiting for a worker, and workers for a connection, and a lock is given up.
            KCIDB_INGESTER_PREFETCH="4", KCIDB_DATABASE_CONNECTIONS="3", KCIDB_DATABASE_LOCK_TIMEOUT="2s")
        self.spawn("up", PROGRAM, "up", "--json", "--dir", self.folder / "up", env=settings)
        where = self.folder / "up/up.json"
        self.wait_for("up", where.exists)
        self.info = json.loads(where.read_text())
        self.ports = json.loads((self.folder / "up/stack.json").read_text())["ports"]
        self.start_gateway()
        self.start_prometheus()

    def stop(self):
        for name in list(self.processes):
            self.end(name)
        # Servers that a killed process has left.
        execute(PROGRAM, "down", "--dir", self.folder / "up", env=environment())

    def spawn(self, name, *command, **options):
        with (self.folder / f"{name}.log").open("ab") as log:
            command = [str(part) for part in command]
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, **options)

    def end(self, name):
        if process := self.processes.pop(name, None):
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def wait_for(self, name, is_up):
        """Returns when a process that was started does its work."""
        process = self.processes[name]
        until(lambda: is_up() or process.poll() is not None)
        if not is_up():
            said = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-5:]
            raise Broken(f"{name} does not start: {' | '.join(said)}")

    def start_gateway(self, min_free=1):
        """The second gateway, with so many bytes that have to stay free in the spool. Returns when it has done with the broker's queues."""
        self.end("gateway")
        log = self.folder / "gateway.log"
        before = log.stat().st_size if log.exists() else 0
        self.spawn("gateway", PROGRAM, "run", "gateway", env=environment(
            KCIDB_SPOOL=self.info["spool"], AMQP_URL=self.info["amqp_url"], JWT_SECRET=self.info["jwt_secret"],
            KCIDB_GATEWAY_LISTEN=self.gateway, KCIDB_GATEWAY_ADMIN=self.gateway_admin, KCIDB_SPOOL_MIN_FREE=str(min_free), KCIDB_GRACE="1s"))
        self.wait_for("gateway", lambda: b"connected for publishing" in log.read_bytes()[before:])

    def start_prometheus(self):
        import yaml
        config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
        rules = yaml.safe_load((ROOT / "deploy/prometheus/rules.yaml").read_text())
        (self.folder / "rules.yaml").write_text(json.dumps(faster(rules)))
        config |= {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": ["rules.yaml"]}
        for job in config["scrape_configs"]:
            for group in job["static_configs"]:
                group["targets"] = [address for target in group["targets"] for address in self.addresses(target)]
        (self.folder / "prometheus.yml").write_text(json.dumps(config))
        self.spawn("prometheus", "prometheus", f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/metrics",
                   f"--web.listen-address={self.prometheus}", "--log.level=warn")
        self.wait_for("prometheus", lambda: fetch(f"http://{self.prometheus}/-/ready")[0] == 200)
        self.started = time.time()

    def addresses(self, target):
        """What a target of prometheus.yml is here."""
        known = {name: [address] for name, address in self.info["admin"].items()}
        known["gateway"].append(self.gateway_admin)
        known |= {"rabbitmq": [f"127.0.0.1:{self.ports['prometheus']}"], "127.0.0.1": [self.prometheus]}
        if found := known.get(target.rsplit(":", 1)[0]):
            return found
        raise Broken(f"prometheus.yml has a target {target}, which the running system has not")

    def ask(self, path, **parameters):
        """What Prometheus says."""
        status, body = fetch(f"http://{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        if status != 200:
            raise Broken(f"Prometheus: {path} {parameters}: {body.decode(errors='replace')}")
        return json.loads(body)["data"]

    def history(self, expression):
        """All values of an expression since the start that are numbers."""
        data = self.ask("query_range", query=expression, start=self.started, end=time.time(), step=2)
        return [value for series in data["result"] for _, value in series["values"] if value != "NaN"]

    def alerts(self):
        """The labels of the alerts that fire."""
        return [one["labels"] for one in self.ask("alerts")["alerts"] if one["state"] == "firing"]

    def broker(self, path, body=None, method=None):
        """An answer of RabbitMQ's management API."""
        ui = self.info["rabbitmq_ui"]
        login = base64.b64encode(f"{ui['user']}:{ui['password']}".encode()).decode()
        status, answer = fetch(f"{ui['url']}api/{path}", body, method, Authorization=f"Basic {login}")
        if not 200 <= status < 300:
            raise Broken(f"RabbitMQ: {path}: {status} {answer.decode(errors='replace')}")
        return json.loads(answer or b"null")

    def tool(self, *command):
        """The program as an operator calls it; what it prints."""
        code, out, err = execute(PROGRAM, *command, env=environment(
            AMQP_URL=self.info["amqp_url"], JWT_SECRET=self.info["jwt_secret"], RABBITMQ_MANAGEMENT_URL=self.info["rabbitmq_ui"]["url"]))
        if code:
            raise Broken(f"kcidb {' '.join(command)}: {out}{err}")
        return out.strip()


@contextlib.contextmanager
def running():
    """The system; at the end nothing of it is left, however that comes."""
    with contextlib.ExitStack() as end:
        folder = Path(tempfile.mkdtemp(prefix="kcidb-live-"))
        end.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)  # user postgres passes through
        system = System(folder)
        end.callback(system.stop)
        system.start()
        yield system
