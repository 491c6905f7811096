"""Rules that every rendered chart keeps. Each takes the documents and gives sentences about what breaks it."""

import json
import re

from report import sources

LABELS = {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/part-of",
          "app.kubernetes.io/managed-by", "helm.sh/chart"}
# Variables that are no options of the program: standard ones, and those of the chart's other containers.
OTHER = re.compile(r"OTEL_|POSTGRES_|PGDATA$|RABBITMQ_|GATEWAY_URL$|KCIDB_EXTRA$")


def pods(docs):
    """Every pod template as (name, labels, spec)."""
    for doc in docs:
        name, spec = f"{doc['kind']}/{doc['metadata']['name']}", doc.get("spec", {})
        if doc["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if doc["kind"] == "Pod":
            yield name, doc["metadata"]["labels"], spec
        elif "template" in spec:
            yield name, spec["template"]["metadata"]["labels"], spec["template"]["spec"]


def containers(docs):
    for name, _, spec in pods(docs):
        for container in spec.get("initContainers", []) + spec["containers"]:
            yield f"{name}/{container['name']}", spec, container


def restricted(docs):
    """What the pod security level `restricted` asks for, and a bit more."""
    for name, spec, container in containers(docs):
        pod, own = spec["securityContext"], container["securityContext"]
        wanted = {
            "runs as non-root": pod.get("runAsNonRoot") and pod.get("runAsUser", 0) > 0,
            "has seccomp": pod.get("seccompProfile", {}).get("type") == "RuntimeDefault",
            "has a read-only root": own.get("readOnlyRootFilesystem"),
            "cannot get privileges": own.get("allowPrivilegeEscalation") is False and not own.get("privileged"),
            "has no capabilities": own.get("capabilities", {}).get("drop") == ["ALL"] and "add" not in own["capabilities"],
            "gets no token": spec.get("automountServiceAccountToken") is False,
            "uses nothing of the node": not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))
            and not any("hostPath" in volume for volume in spec.get("volumes", [])),
            "needs no shell": "/bin/sh" not in json.dumps(container),
        }
        yield from (f"not so: {name} {what}" for what, good in wanted.items() if not good)


def resources(docs):
    for name, _, container in containers(docs):
        have = container.get("resources", {})
        if not have.get("requests", {}).get("cpu") or not have.get("requests", {}).get("memory") or not have.get("limits", {}).get("memory"):
            yield f"{name} has no requests or no memory limit"
        if have.get("limits", {}).get("cpu"):
            yield f"{name} has a CPU limit"


def probes(docs):
    for name, _, container in containers(docs):
        if not name.startswith(("Deployment/", "StatefulSet/")):
            continue
        have = [container.get(f"{kind}Probe") for kind in ("startup", "readiness", "liveness")]
        if not all(have):
            yield f"{name} lacks a probe"
        elif have[1].get("httpGet") and have[1]["httpGet"]["path"] == have[2]["httpGet"]["path"]:
            yield f"{name} has one path for readiness and liveness"


def secrets(docs):
    """Nothing secret outside of Secrets."""
    for doc in docs:
        if doc["kind"] != "Secret" and "for-tests-only" in json.dumps(doc):
            yield f"{doc['kind']}/{doc['metadata']['name']} holds a secret"
    for name, _, container in containers(docs):
        for variable in container.get("env", []):
            if re.search(r"PASSWORD(_(?!FILE)\w+)?$|PASS$|SECRET$|TOKEN$|HEADERS$", variable["name"]) and "value" in variable:
                yield f"{name}: {variable['name']} is written out"


def matches(selector, labels):
    return selector.items() <= labels.items()


def selectors(docs):
    """Everything that points at pods, ports or objects points at some that exist."""
    templates = [(labels, {port.get("name") for container in spec["containers"] for port in container.get("ports", [])} |
                  {port["containerPort"] for container in spec["containers"] for port in container.get("ports", [])}) for _, labels, spec in pods(docs)]
    names = {(doc["kind"], doc["metadata"]["name"]): doc for doc in docs}
    for doc in docs:
        kind, name, spec = doc["kind"], doc["metadata"]["name"], doc.get("spec", {})
        if kind in ("Deployment", "StatefulSet") and not matches(spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]):
            yield f"{kind}/{name} does not select its own pods"
        if kind == "Service":
            for port in spec["ports"]:
                if not any(matches(spec["selector"], labels) and port["targetPort"] in ports for labels, ports in templates):
                    yield f"Service/{name} port {port['name']} leads nowhere"
        if kind == "PodDisruptionBudget" and not any(matches(spec["selector"]["matchLabels"], labels) for labels, _ in templates):
            yield f"{kind}/{name} selects nothing"
        if kind in ("HorizontalPodAutoscaler", "ScaledObject") and ("Deployment", spec["scaleTargetRef"]["name"]) not in names:
            yield f"{kind}/{name} scales nothing"
        if kind == "ServiceMonitor" and not any(
                other["kind"] == "Service" and matches(spec["selector"]["matchLabels"], other["metadata"]["labels"]) for other in docs):
            yield f"{kind}/{name} finds no Service"
        for service, port in backends(doc):
            there = names.get(("Service", service), {}).get("spec", {}).get("ports", [])
            if not any(port in (one["name"], one["port"]) for one in there):
                yield f"{kind}/{name} leads to {service}:{port}, which is not there"


def backends(doc):
    for rule in doc.get("spec", {}).get("rules", []) if doc["kind"] in ("Ingress", "HTTPRoute") else []:
        for path in rule.get("http", {}).get("paths", []):
            yield path["backend"]["service"]["name"], path["backend"]["service"]["port"]["name"]
        for ref in rule.get("backendRefs", []):
            yield ref["name"], ref["port"]


def references(docs):
    """ConfigMaps, claims and accounts that pods use are in the chart, or are named as existing ones; every mount has its volume."""
    names = {(doc["kind"], doc["metadata"]["name"]) for doc in docs}
    outside = {"more", "old-spool", "kcidb", "default"}
    for pod, _, spec in pods(docs):
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])} | {"data": {}}
        wanted = {("ServiceAccount", spec.get("serviceAccountName", "default"))}
        wanted |= {("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) for volume in volumes.values() if "persistentVolumeClaim" in volume}
        wanted |= {("ConfigMap", volume["configMap"]["name"]) for volume in volumes.values() if "configMap" in volume}
        for container in spec["containers"]:
            wanted |= {("ConfigMap", source["configMapRef"]["name"]) for source in container.get("envFrom", [])}
            yield from (f"{pod} mounts {mount['name']}, which is no volume" for mount in container.get("volumeMounts", []) if mount["name"] not in volumes)
        yield from (f"{pod} uses {kind}/{name}, which is not there" for kind, name in wanted - names if name not in outside)


def names(docs):
    for doc in docs:
        name = doc["metadata"]["name"]
        if len(name) > (52 if doc["kind"] in ("CronJob", "StatefulSet") else 63):
            yield f"{doc['kind']}/{name} is too long"
        if missing := LABELS - set(doc["metadata"]["labels"]):
            yield f"{doc['kind']}/{name} lacks {sorted(missing)}"
    seen = [(doc["kind"], doc["metadata"]["name"]) for doc in docs]
    yield from (f"{kind}/{name} is there twice" for kind, name in {one for one in seen if seen.count(one) > 1})


def spread(docs):
    for doc in docs:
        if doc["kind"] == "Deployment":
            pod = doc["spec"]["template"]["spec"]
            if not pod.get("topologySpreadConstraints"):
                yield f"{doc['metadata']['name']} is not spread"
            if doc["spec"]["strategy"]["rollingUpdate"] != {"maxUnavailable": 0, "maxSurge": 1}:
                yield f"{doc['metadata']['name']} loses pods at an upgrade"
            if pod["terminationGracePeriodSeconds"] < 60:
                yield f"{doc['metadata']['name']} has too little time to stop"


def unknown_variables(variables):
    known = sources(r'env = "([A-Z_]+)"')
    return [f"{name} is no option of the program" for name in sorted(variables) if name not in known and not OTHER.match(name)]


def variables(docs):
    """Every variable is one that the program reads, and numbers are written in full."""
    used = {variable["name"] for _, _, container in containers(docs) for variable in container.get("env", [])}
    used |= {key for doc in docs if doc["kind"] == "ConfigMap" for key in doc.get("data") or {} if key.isupper()}
    yield from unknown_variables(used)
    for name, _, container in containers(docs):
        for variable in container.get("env", []):
            if re.fullmatch(r"[0-9.]+e\+[0-9]+", variable.get("value", "")):
                yield f"{name}: {variable['name']} is {variable['value']}"


RULES = {
    "every pod is restricted": restricted,
    "resources are set": resources,
    "probes are set": probes,
    "secrets are in Secrets alone": secrets,
    "selectors and backends match": selectors,
    "references exist": references,
    "names and labels": names,
    "pods are spread and stop slowly": spread,
    "the program knows the variables": variables,
}
