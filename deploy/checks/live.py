"""What operators look at is true on the running system: the test of the chart passes, every panel has data, alerts fire and end."""

import json
import re
import signal
import sys

import faults
import grafana
import labs
import smoke
import system
from report import ROOT, check, have, passes, say

# The rate's window: what Grafana makes of it with this scrape interval, and some seconds for a busy machine.
WINDOW = "10s"


def variables(board, running):
    """Every variable that is asked of Prometheus, with its values."""
    for one in board["templating"]["list"]:
        if one["type"] != "query":
            continue
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", one["query"]["query"]).groups()
        yield one["name"], [value for value in running.ask(f"label/{label}/values", **{"match[]": metric}) if value]


def filled(expression, values):
    """An expression as Grafana sends it."""
    expression = expression.replace("$__rate_interval", WINDOW)
    return re.sub(r"\$(\w+)", lambda name: values[name[1]], expression)


def escaped(value):
    """One selected value, as Grafana puts it into a string of PromQL."""
    return re.sub(r"([.*+?^${}()|[\]\\/])", r"\\\\\1", value)


def empty(board, running, choices):
    """Panels without data, with all of the variables chosen, and with none of their values chosen alone."""
    for panel in grafana.flat(board):
        for target in panel.get("targets", []):
            everything = filled(target["expr"], {name: ".*" for name in choices})
            if not running.history(everything):
                yield f"{panel['title']}: {everything}"
            for name in choices:
                if f"${name}" in target["expr"] and not any(running.history(filled(target["expr"], {name: escaped(one)})) for one in choices[name]):
                    yield f"{panel['title']}: with a single {name}"


def dashboards(running):
    for path in sorted((ROOT / "deploy/grafana/dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        choices = dict(variables(board, running))
        problems = [f"variable {name} has no values" for name, values in choices.items() if not values]
        check(f"{path.name}: every panel has data", problems or empty(board, running, choices))


def selectors(running):
    """What the alert rules ask for and nobody exports."""
    text = (ROOT / "deploy/prometheus/rules.yaml").read_text()
    for one in sorted(set(re.findall(r'(?<!")\b(?:kcidb|rabbitmq)_\w+(?:\{(?:[^}"]|"[^"]*")*\})?|\{__name__=~"[^"]*"\}', text))):
        if not running.history(one):
            yield f"there is no {one}"


def ready(running):
    """What is not up, with its reason."""
    for name, address in running.info["admin"].items():
        if not system.until(lambda: system.fetch(f"http://{address}/readyz")[0] == 200):
            yield f"{name}: {system.fetch(f'http://{address}/readyz?verbose')[1].decode()}"
    everywhere = 'sum(up{job=~"kcidb|rabbitmq.*"} == 1) == count(up{job=~"kcidb|rabbitmq.*"})'
    if not system.until(lambda: running.ask("query", query=everywhere)["result"]):
        yield f"not scraped: {running.ask('query', query='up == 0')['result']}"


def examine(running):
    check("the running system: services are ready, and Prometheus reaches them", ready(running))
    env = system.environment(GATEWAY_URL=running.info["submit_url"], JWT_SECRET=running.info["jwt_secret"], no_proxy="127.0.0.1")
    passes("the running system: helm test", sys.executable, smoke.SCRIPT, env=env)
    with labs.Labs(running) as busy:
        faults.run(running, busy)
        dashboards(running)
        check("alerts: what they look at is exported", selectors(running))


def run():
    if not system.PROGRAM.exists():
        return say("skipped", "the running system: the program is not built, `make test` does that")
    try:
        import yaml  # noqa: F401
    except ImportError:
        return say("skipped", "the running system: PyYAML is not installed")
    if not have("prometheus", "the running system"):
        return None
    # An end from outside stops what was started, as any other does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        with system.running() as running:
            examine(running)
    except system.Broken as error:
        check("the running system", [str(error)])
    return None
