"""The Helm chart: renders for every ci/ file, is valid for Kubernetes, keeps our rules, and refuses what cannot work."""

import json
import re
import runpy
import tempfile
from pathlib import Path

import policies
import smoke
from report import ROOT, check, have, passes, run as execute, say

CHART = ROOT / "helm/kcidb"
OLDEST, USUAL = "1.25.0", "1.33.0"
CUSTOM = {"ServiceMonitor", "PrometheusRule", "ScaledObject", "TriggerAuthentication", "HTTPRoute"}
MINIMAL = CHART / "ci/minimal.yaml"

# Settings on top of ci/minimal.yaml that must stop with a sentence.
REFUSED = [
    ("no secret for tokens", ["auth.existingSecret="], "auth.existingSecret is required"),
    ("no database", ["database.existingSecret="], "database.existingSecret is required"),
    ("no broker", ["rabbitmq.existingSecret="], "rabbitmq.existingSecret is required"),
    ("HPA and KEDA", ["ingester.autoscaling.enabled=true", "ingester.keda.enabled=true"], "are both on: choose one"),
    ("users of the broker without its host", ["rabbitmq.users.existingSecret=x"], "needs rabbitmq.host"),
    ("ReadWriteOnce and several pods", ["spool.volume.accessModes={ReadWriteOnce}"], "must have ReadWriteMany"),
    ("an object store", ["spool.type=s3"], "keeps submissions on a volume only"),
    ("a misspelt origin policy", ["auth.originPolicy=enforced"], "auth.originPolicy"),
    ("Ingress without host", ["ingress.enabled=true"], "needs ingress.host"),
    ("TLS without certificate", ["ingress.enabled=true", "ingress.host=x", "ingress.tls[0].hosts={x}"], "has no certificate"),
    ("HTTPRoute without Gateway", ["gatewayApi.enabled=true"], "needs gatewayApi.parentRefs"),
    ("Ingress without gateway", ["ingress.enabled=true", "ingress.host=x", "gateway.enabled=false"], "set gateway.enabled=true"),
    ("traces to nowhere", ["tracing.enabled=true"], "needs tracing.endpoint"),
    ("a threshold that does not exist", ["metrics.prometheusRule.enabled=true", "metrics.prometheusRule.thresholds.x=1"], "no threshold or alert named x"),
    ("a misspelt service", ["gatway.replicas=2"], "gatway is not allowed"),
    ("a misspelt variable", ["gateway.config.KCIDB_MAX_SUBMISION=1"], "KCIDB_MAX_SUBMISION is not allowed"),
    ("the tag latest", ["image.tag=latest"], "image.tag"),
    ("a negative pool", ["database.pool.connections=-1"], "database.pool.connections"),
    ("a size that is none", ["spool.volume.size=5X"], "spool.volume.size"),
    ("a time that is none", ["ingester.config.KCIDB_BATCH_WAIT=5 minutes"], "KCIDB_BATCH_WAIT"),
]


def render(values, *more, kube=USUAL):
    return execute("helm", "template", "test", CHART, "--namespace", "ci", "--values", values, "--kube-version", kube,
                   "--api-versions", "monitoring.coreos.com/v1", *more)


def documents(text):
    import yaml
    return [document for document in yaml.safe_load_all(text) if document]


def valid(docs, version):
    """What Kubernetes of a version would not take. Custom kinds have no schema here."""
    import kubernetes_validate
    for doc in docs:
        if doc["kind"] in CUSTOM:
            continue
        try:
            kubernetes_validate.validate(doc, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{doc['kind']}/{doc['metadata']['name']}: {'.'.join(map(str, error.path))}: {error.message[:200]}"


def rendered(path):
    """All checks of one file of values."""
    name = path.name
    passes(f"helm lint with {name}", "helm", "lint", CHART, "--values", path)
    code, out, err = render(path)
    if not check(f"helm template with {name}", err.splitlines() if code else []):
        return []
    docs = documents(out)
    for version, text in ((USUAL, out), (OLDEST, render(path, kube=OLDEST)[1])):
        short = version.rsplit(".", 1)[0]
        check(f"Kubernetes {short} takes {name}", valid(documents(text), short))
    for what, rule in policies.RULES.items():
        check(f"{name}: {what}", rule(docs))
    return docs


def refused():
    for what, settings, sentence in REFUSED:
        code, _, err = render(MINIMAL, *(part for setting in settings for part in ("--set", setting)))
        problem = "it was rendered" if code == 0 else "" if sentence in err else f"the message is: {err.strip()[-300:]}"
        check(f"refused with a sentence: {what}", [problem] if problem else [])
    code, _, err = render(MINIMAL, kube="1.24.0")
    check("refused with a sentence: an old Kubernetes", [] if code and "1.25" in err else [err or "it was rendered"])


def leaves(value, path=()):
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    else:
        yield ".".join(path)


def schema_paths(schema, definitions, path=()):
    """Every path that the schema knows; free objects end it."""
    if ref := schema.get("$ref"):
        schema = definitions[ref.rsplit("/", 1)[1]]
    properties = schema.get("properties", {})
    closed = schema.get("additionalProperties") is False
    if properties and (closed or path in ((), ("global",))) and "requests" not in properties:
        for key, item in properties.items():
            yield from schema_paths(item, definitions, (*path, key))
    else:
        yield ".".join(path)


def agreement():
    """values.yaml, values.schema.json and the table in README.md know the same values."""
    import yaml
    text = (CHART / "values.yaml").read_text()
    schema = json.loads((CHART / "values.schema.json").read_text())
    known = set(schema_paths(schema, schema["definitions"]))
    rows = {path for path, _, _ in runpy.run_path(str(ROOT / "deploy/generate"))["rows"](text)}
    values = set(leaves(yaml.safe_load(text)))

    def covers(paths, value):
        return any(value == path or value.startswith(path + ".") for path in paths)

    def known_to_schema(value):
        return covers(known, value) or any(path.startswith(f"{value}.") for path in known if ".config." in path)

    check("every value has a comment", (f"{value} has none" for value in sorted(values) if not covers(rows, value)))
    check("the schema knows every value", (f"{value} is not in it" for value in sorted(values) if not known_to_schema(value)))
    # Of config, values.yaml has the map alone; its keys are compared with the program by policies.variables.
    check("every value of the schema is in values.yaml",
          (f"{path} is not" for path in sorted(known) if ".config" not in path and not any(value == path or value.startswith(path + ".") or path.startswith(value + ".") for value in values)))
    check("the schema's variables exist in the program", policies.unknown_variables(
        {path.rsplit(".", 1)[1] for path in known if re.search(r"\.config\.\w+$", path)}))


def users(docs):
    """With users of their own, services get their own password at the broker alone; the topology Job gets all."""
    def env(suffix):
        job = [doc for doc in docs if doc["kind"] in ("Deployment", "Job") and doc["metadata"]["name"].endswith(suffix)][0]
        return {variable["name"]: variable for variable in job["spec"]["template"]["spec"]["containers"][0]["env"]}

    def secret(variable):
        return tuple(variable["valueFrom"]["secretKeyRef"][key] for key in ("name", "key"))

    services = {name: env(f"-{name}") for name in ("gateway", "ingester", "logspec", "status")}
    seen = {secret(variable)[0] for given in services.values() for variable in given.values() if "valueFrom" in variable}
    job = {name.removeprefix("KCIDB_BROKER_PASSWORD_").lower(): variable for name, variable in env("-topology").items() if name.startswith("KCIDB_BROKER_PASSWORD_")}
    keys = {name: secret(given["RABBITMQ_PASSWORD"]) for name, given in services.items()}
    own = {name: ("kcidb-broker-users", "STATUS" if name == "status" else name) for name in services}
    rights = json.loads((ROOT / "deploy/rabbitmq/users.json").read_text())
    authentication = [doc for doc in docs if doc["kind"] == "TriggerAuthentication"][0]["spec"]["secretTargetRef"]
    return {
        "users: each service is its own user": all(given["RABBITMQ_USERNAME"].get("value") == f"kcidb-{name}" for name, given in services.items()) and keys == own,
        "users: no service sees the administrator": "rabbit-admin" not in seen and secret(env("-topology")["RABBITMQ_PASSWORD"])[0] == "rabbit-admin",
        "users: services declare nothing, the Job does": all(given["KCIDB_BROKER_DECLARE"]["value"] == "false" for given in services.values()) and "KCIDB_BROKER_DECLARE" not in env("-topology"),
        "users: the Job gets the password that each service has": set(job) == set(rights) and all(secret(job[name]) == keys[name] for name in keys),
        "users: operator and KEDA are optional": {name for name, variable in job.items() if variable["valueFrom"]["secretKeyRef"].get("optional")} == {"operator", "keda"},
        "users: KEDA asks as its own user": {ref["parameter"]: (ref["name"], ref["key"]) for ref in authentication} == {"username": ("test-kcidb-keda", "username"), "password": ("kcidb-broker-users", "keda")},
    }


def expectations(docs):
    """What single files of values are about."""
    def find(case, kind, suffix=""):
        return [doc for doc in docs[case] if doc["kind"] == kind and doc["metadata"]["name"].endswith(suffix)]

    def kinds(case):
        return {doc["kind"] for doc in docs[case]}

    hook = "helm.sh/hook"
    jobs = {case: [hook in job["metadata"].get("annotations", {}) for job in find(case, "Job")] for case in docs}
    rules = find("all-on", "PrometheusRule")[0]["spec"]["groups"]
    named = {rule.get("record") or rule.get("alert"): rule for group in rules for rule in group["rules"]}
    fetch = find("all-on", "NetworkPolicy", "-logspec")[0]["spec"]["egress"]
    paths = [path["path"] for rule in find("all-on", "Ingress")[0]["spec"]["rules"] for path in rule["http"]["paths"]]
    annotations = find("external", "Ingress")[0]["metadata"]["annotations"]
    policies_of_origins = {case: variable["value"] for case in ("minimal", "demo", "all-off")
                           for variable in find(case, "Deployment", "-gateway")[0]["spec"]["template"]["spec"]["containers"][0]["env"]
                           if variable["name"] == "KCIDB_ORIGIN_POLICY"}
    facts = {
        **users(docs["users"]),
        "minimal: four services": len(find("minimal", "Deployment")) == 4,
        "the gateway is told the origin policy, by default to enforce it": policies_of_origins == {"minimal": "enforce", "demo": "warn", "all-off": "off"},
        "minimal: nothing optional": not kinds("minimal") & {"Ingress", "HTTPRoute", "HorizontalPodAutoscaler", "NetworkPolicy", "Secret", "StatefulSet", *CUSTOM},
        "minimal: migrations and topology are hooks": jobs["minimal"] == [True, True],
        "external: asHook=false makes plain Jobs": jobs["external"] == [False, False],
        "demo: Jobs wait for the servers beside them": jobs["demo"] == [False, False],
        "demo: database and broker": len(find("demo", "StatefulSet")) == 2 and len(find("demo", "Secret")) == 3,
        "all-off: one service is left beside the gateway": len(find("all-off", "Deployment")) == 2 and not find("all-off", "CronJob"),
        "keda: no fixed number of pods": not any("replicas" in doc["spec"] for doc in find("keda", "Deployment")),
        "keda: a ScaledObject for each worker": len(find("keda", "ScaledObject")) == 2 and len(find("keda", "TriggerAuthentication")) == 1,
        "all-on: every kind": CUSTOM - {"TriggerAuthentication"} <= kinds("all-on"),
        "all-on: a threshold of one's own": named["kcidb:threshold:gateway_error_ratio"]["expr"] == "vector(0.05)",
        "all-on: a threshold of one origin": named["kcidb:origin_silent_seconds"]["labels"] == {"origin": "weekly_lab"},
        "all-on: an alert left out": "KcidbLogFetchFailing" not in named and "KcidbSpoolOld" in named,
        "all-on: seven dashboards": sum("grafana_dashboard" in doc["metadata"]["labels"] for doc in find("all-on", "ConfigMap")) == 7,
        "all-on: logspec cannot reach metadata addresses": any("169.254.0.0/16" in to.get("ipBlock", {}).get("except", []) for rule in fetch for to in rule.get("to", [])),
        "all-on: no metrics from outside": not any("metrics" in path or "ready" in path or path == "/*" for path in paths),
        "external: one's own annotation wins": annotations["nginx.ingress.kubernetes.io/proxy-body-size"] == "1g",
        "external: a digest wins over a tag": "@sha256:" in find("external", "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]["image"],
    }
    for what, fact in facts.items():
        check(what, [] if fact else ["it is not so"])
    changed = documents(render(MINIMAL, "--set", "gateway.config.KCIDB_MAX_UPLOADS=7")[1])

    def sums(some):
        return {doc["metadata"]["name"]: doc["spec"]["template"]["metadata"]["annotations"]["checksum/config"] for doc in some if doc["kind"] == "Deployment"}
    before, after = sums(docs["minimal"]), sums(changed)
    rolled = [name for name in before if before[name] != after[name]]
    check("a change of configuration rolls the pods of that service alone", [] if rolled == ["test-kcidb-gateway"] else [f"rolled: {rolled}"])


def notes():
    """NOTES.txt is only rendered at an installation; `--dry-run` wants no cluster for it in this version of helm."""
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder, "templates/notes.yaml")
        execute("cp", "-r", f"{CHART}/.", folder)
        template.write_text("notes: |\n  {{- include \"notes\" . | nindent 2 }}\n{{- define \"notes\" }}" + (CHART / "templates/NOTES.txt").read_text() + "{{ end }}")
        for case, wanted in {"demo": ["not for production", "Secrets itself", "port-forward", "gateway has one pod", "objects of any origin"],
                             "external": ["https://kcidb.example.org/submit", "token mint"],
                             "all-on": ["more than the server allows"], "minimal": ["helm -n ci test test"]}.items():
            code, out, err = execute("helm", "template", "test", folder, "--namespace", "ci", "--values", CHART / f"ci/{case}.yaml", "--kube-version", USUAL, "--show-only", "templates/notes.yaml")
            check(f"{case}: the notes say what they should", [err] if code else [f"not in it: {text}" for text in wanted if text not in out])


def run():
    if not have("helm", "the chart"):
        return
    try:
        import kubernetes_validate  # noqa: F401
    except ImportError:
        say("skipped", "the chart: kubernetes-validate is not installed")
        return
    docs = {path.stem: rendered(path) for path in sorted((CHART / "ci").glob("*.yaml"))}
    refused()
    agreement()
    if all(docs.values()):
        expectations(docs)
    notes()
    smoke.run()
