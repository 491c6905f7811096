"""Dockerfile and image, compose and its variables."""

import json
import os
import re
import tempfile

import policies
from report import ROOT, check, have, passes, relay, run as execute

DEPLOY = ROOT / "deploy"
FILES = ("compose.yaml", "compose.users.yaml")
SECRETS = {"JWT_SECRET": "a", "POSTGRES_PASSWORD": "b", "RABBITMQ_PASSWORD": "administrator-only"}
USERS = {f"RABBITMQ_PASSWORD_{service}": f"password-{service.lower()}" for service in ("GATEWAY", "INGESTER", "LOGSPEC", "STATUS")}


def compose_text():
    return "".join((DEPLOY / name).read_text() for name in FILES)


def variables():
    """.env's variables are compose's, and the program knows what it is given."""
    example = set(re.findall(r"^#?([A-Z_]+)=", (DEPLOY / "env.example").read_text(), re.M)) - {"COMPOSE_PROFILES"}
    used = set(re.findall(r"\$\{([A-Z_]+)", compose_text()))
    yield from (f"{name} is in compose.yaml, but not in env.example" for name in sorted(used - example))
    yield from (f"{name} is in env.example, but not in compose.yaml" for name in sorted(example - used))
    given = set(re.findall(r"^ +([A-Z][A-Z_]+): ", compose_text(), re.M))
    yield from policies.unknown_variables(name for name in given if not re.match(r"GF_|KCIDB_DOMAIN$|OTEL_", name))


def same_as_chart():
    """Image version and uid are the same everywhere."""
    dockerfile, chart = (DEPLOY / "Dockerfile").read_text(), (ROOT / "helm/kcidb/Chart.yaml").read_text()
    version = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    toolchain = re.search(r'channel = "(.+)"', (ROOT / "rust-toolchain.toml").read_text())[1]
    for text, where in ((f'appVersion: "{version}"', chart), (f"ARG VERSION={version}", dockerfile), (f"kcidb:{version}}}", compose_text()),
                        (f"FROM rust:{toolchain}-", dockerfile), ("USER 10001:10001", dockerfile)):
        if text not in where:
            yield f"nowhere: {text}"
    if "runAsUser: 10001" not in (ROOT / "helm/kcidb/values.yaml").read_text():
        yield "the chart runs as another user than the image"


def run():
    check("compose: the variables of env.example", variables())
    check("version, toolchain and user are the same in image, chart and compose", same_as_chart())
    if have("hadolint", "Dockerfile"):
        passes("hadolint Dockerfile", "hadolint", "--config", DEPLOY / "hadolint.yaml", DEPLOY / "Dockerfile")
    relay("deploy/check-image")
    if have("docker-compose", "compose"):
        with tempfile.NamedTemporaryFile() as empty:
            compose(empty.name)
            users(empty.name)


def clean():
    """The environment without variables of ours."""
    return {key: value for key, value in os.environ.items() if key not in SECRETS | USERS}


def users(env_file):
    """With compose.users.yaml, each service has a password of its own, which is the one that the broker is told, and no other."""
    command = ("docker-compose", *(part for name in FILES for part in ("--file", DEPLOY / name)), "--env-file", env_file)
    import yaml
    code, out, err = execute(*command, "config", env=clean() | SECRETS | USERS)
    if code:
        check("compose with a user for each service", [err])
        return
    services = yaml.safe_load(out)["services"]
    told = services["topology"]["environment"]
    known = {"topology": {SECRETS["RABBITMQ_PASSWORD"], *USERS.values()}, "rabbitmq": {SECRETS["RABBITMQ_PASSWORD"]}}
    for service in ("gateway", "ingester", "logspec", "status"):
        known[service] = {told[f"KCIDB_BROKER_PASSWORD_{service.upper()}"]}
    found = {name: {secret for secret in (SECRETS["RABBITMQ_PASSWORD"], *USERS.values()) if secret in json.dumps(service)} for name, service in services.items()}
    check("compose with a user for each service: who knows which password",
          (f"{name} knows {sorted(found[name])}" for name in found if found[name] != known.get(name, set())))
    for name in USERS:
        code, _, err = execute(*command, "config", env=clean() | SECRETS | {key: value for key, value in USERS.items() if key != name})
        check(f"compose with users refuses to start without {name}", [] if code and "is not set in .env" in err else [err or "it does not"])


def compose(env_file):
    """What docker-compose says, with our variables alone."""
    command = ("docker-compose", "--file", DEPLOY / "compose.yaml", "--env-file", env_file)
    for profiles in ("", "tls,observability,tools"):
        passes(f"docker-compose config, profiles {profiles or 'none'}", *command, "config", "--quiet",
               env=clean() | SECRETS | {"COMPOSE_PROFILES": profiles})
    for name in SECRETS:
        code, _, err = execute(*command, "config", env=clean() | {key: value for key, value in SECRETS.items() if key != name})
        check(f"compose refuses to start without {name}", [] if code and "is not set in .env" in err else [err or "it does not"])
