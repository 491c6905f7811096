"""Alert rules: valid, tested, documented, linked to panels that exist, about metrics that exist."""

import json
import re
import tempfile

from report import ROOT, check, have, passes, run as execute

FOLDER = ROOT / "deploy/prometheus"


def missing_metrics(texts, what):
    """Checks that every kcidb metric in the texts is one of docs/metrics.md, which the program's tests compare with the program."""
    kinds = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", (ROOT / "docs/metrics.md").read_text(), re.M))
    series = {name + end for name, kind in kinds.items() for end in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",))}
    used = {name for text in texts for name in re.findall(r"\bkcidb_\w+", text)}
    check(f"{what}: every metric is in docs/metrics.md", (f"{name} is not" for name in sorted(used - series)))


def alerts():
    """Every alert as (name, its lines)."""
    text = (FOLDER / "rules.yaml").read_text()
    for part in re.split(r"(?=      - alert: )", text)[1:]:
        yield re.match(r"\s*- alert: (\w+)", part)[1], part


def complete():
    """Labels, links, runbook and tests of every alert."""
    runbook = (ROOT / "docs/operating.md").read_text()
    headings = {heading.lower(): body for heading, body in re.findall(r"^### (Kcidb\w+)\n(.*?)(?=^### |\Z)", runbook, re.M | re.S)}
    tests = "".join(path.read_text() for path in FOLDER.glob("*_test.yaml"))
    panels = {path.stem: path.read_text() for path in (ROOT / "deploy/grafana/dashboards").glob("*.json")}
    for name, text in alerts():
        if not re.search(r"severity: (page|ticket)\b", text):
            yield f"{name} has no severity"
        body = headings.get((re.search(r"runbook_url: \S+#(\w+)", text) or ["", ""])[1], "")
        if not all(f"**{part}**" in body for part in ("Cause", "Check", "Cure")):
            yield f"{name} has no section with cause, check and cure in docs/operating.md"
        link = re.search(r"dashboard: /d/([\w-]+)\?viewPanel=(\d+)", text)
        dashboard, panel = link.groups() if link else ("", "")
        if f'"id": {panel},' not in panels.get(dashboard, ""):
            yield f"{name} links to {dashboard} panel {panel}, which does not exist"
        quoted = f'alertname="{name}"'
        if f'{quoted},alertstate="firing",' not in tests:
            yield f"{name} is never seen firing in a test"
        if not re.search(re.escape(quoted) + r',alertstate="firing"\}\', eval_time: \w+, exp_samples: \[\]', tests):
            yield f"{name} is never seen quiet in a test"
    for heading in headings.keys() - {name.lower() for name, _ in alerts()}:
        yield f"docs/operating.md has a section {heading} without alert"


def thresholds():
    text = (FOLDER / "rules.yaml").read_text()
    made, used = set(re.findall(r"record: (kcidb:threshold:\w+)", text)), set(re.findall(r"scalar\((kcidb:threshold:\w+)\)", text))
    yield from (f"{name} is not used" for name in made - used)
    yield from (f"{name} is not defined" for name in used - made)


def scraped():
    """The jobs and ports of prometheus.yml are compose's."""
    text, compose = (FOLDER / "prometheus.yml").read_text(), (ROOT / "deploy/compose.yaml").read_text()
    for host, service in re.findall(r'targets: \["([\w-]+):\d+"\], labels: \{service: (\w+)\}', text):
        if host != service or f"\n  {host}:\n" not in compose:
            yield f"{host} is no service of compose, or has another label"


def run():
    check("alerts: labels, runbook, panel and tests of each", complete())
    check("alerts: thresholds are defined and used", thresholds())
    check("prometheus.yml scrapes compose's services", scraped())
    missing_metrics([(FOLDER / "rules.yaml").read_text()], "alerts")
    if have("promtool", "alert rules"):
        passes("promtool check config", "promtool", "check", "config", FOLDER / "prometheus.yml")
        passes("promtool check rules", "promtool", "check", "rules", FOLDER / "rules.yaml")
        for path in sorted(FOLDER.glob("*_test.yaml")):
            passes(f"promtool test rules {path.name}", "promtool", "test", "rules", path)


def expressions_are_valid(expressions):
    """Sentences about PromQL expressions that Prometheus cannot read; Grafana's variables are filled in first."""
    rules = []
    for number, expression in enumerate(expressions):
        expression = re.sub(r"\$__rate_interval|\$__interval|\$__range", "5m", expression)
        expression = re.sub(r"\$\{?(\w+)\}?", "x", expression)
        rules.append({"record": f"expression:{number}", "expr": expression})
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump({"groups": [{"name": "expressions", "rules": rules}]}, file)
        file.flush()
        code, out, err = execute("promtool", "check", "rules", file.name)
    return (out + err).splitlines() if code else []
