"""The running system is broken in every way that can be made here; the alerts fire, and are over when it is mended."""

import contextlib
import os
import subprocess
import time
import urllib.parse
from pathlib import Path
from typing import NamedTuple, Callable

from report import check, run as execute
from system import Broken, Logs, environment, fetch, until

RABBITMQCTL = Path("/usr/lib/rabbitmq/bin/rabbitmqctl")
# How long the system is watched while all is well, in seconds: longer than most alerts wait before they fire.
CALM = 12
# Its window is as long as the whole check.
SLOW = {"KcidbOriginRejected", "KcidbOriginMismatch"}
DEAD = ("ingester.submissions", "status.ledger")


class Fault(NamedTuple):
    what: str
    alerts: set
    make: Callable
    mend: Callable


class Faults:
    """What can be broken."""

    def __init__(self, system, labs):
        self.system, self.labs, self.lock = system, labs, None

    def rounds(self):
        """The faults of a round are there at the same time."""
        page, ticket = (lambda name: (name, "page")), (lambda name: (name, "ticket"))
        return [
            [
                Fault("the server of logs is out of order", {ticket("KcidbLogFetchFailing"), ticket("KcidbRetryStorm")},
                      lambda: self.logs(True), lambda: self.logs(False)),
                Fault("a message is none of ours", {ticket("KcidbDeadLetters")}, self.poison, self.drop_dead_letters),
                Fault("the spool of a gateway is full", {page("KcidbGatewayErrors"), ticket("KcidbSpoolFull")}, self.fill_spool, self.system.start_gateway),
            ],
            [
                Fault("a binding is gone", {page("KcidbUnroutable")}, self.unbind, lambda: self.system.tool("queue", "setup")),
                Fault("a gateway is gone", {page("KcidbTargetDown")}, lambda: self.system.end("gateway"), self.system.start_gateway),
            ],
            [Fault("the broker lets nobody in", {page("KcidbNoConsumers")}, self.lock_out, lambda: self.permit(".*"))],
            [Fault("the broker has no memory left", {page("KcidbBrokerAlarm"), ticket("KcidbPublishDeferred")}, lambda: self.memory("1MB"), lambda: self.memory("1GB"))],
            [
                Fault("a transaction locks the tables", {page("KcidbQueueStalled"), ticket("KcidbSpoolOld"), page("KcidbSpoolOld")},
                      self.lock_tables, self.unlock_tables),
            ],
        ]

    def trouble(self):
        """What goes on during all the rounds."""
        return Fault("labs send what is wrong", {(name, "ticket") for name in SLOW}, lambda: self.send_wrong(True), lambda: self.send_wrong(False))

    def send_wrong(self, on):
        self.labs.trouble = on

    @staticmethod
    def logs(out_of_order):
        Logs.out_of_order = out_of_order

    def poison(self):
        message = {"properties": {"delivery_mode": 2}, "routing_key": "submission.received.nobody", "payload": "no event", "payload_encoding": "string"}
        self.system.broker("exchanges/kcidb/kcidb.events/publish", message)

    def drop_dead_letters(self):
        for queue in DEAD:
            self.system.tool("queue", "drop", queue, "--yes")

    def fill_spool(self):
        about = os.statvfs(self.system.info["spool"])
        self.system.start_gateway(min_free=2 * about.f_bavail * about.f_frsize)

    def unbind(self):
        """Without the ledger's binding nobody hears that a submission is loaded."""
        bindings = self.system.broker("bindings/kcidb/e/kcidb.events/q/status.ledger")
        for binding in bindings:
            key = urllib.parse.quote(binding["properties_key"], safe="")
            self.system.broker(f"bindings/kcidb/e/kcidb.events/q/status.ledger/{key}", method="DELETE")

    def permit(self, what):
        user = self.system.info["rabbitmq_ui"]["user"]
        self.system.broker(f"permissions/kcidb/{user}", {"configure": what, "write": what, "read": what}, "PUT")

    def lock_out(self):
        self.permit("^$")
        for connection in self.system.broker("connections?columns=name"):
            with contextlib.suppress(Broken):  # one that has ended meanwhile
                self.system.broker(f"connections/{urllib.parse.quote(connection['name'], safe='')}", method="DELETE")

    def memory(self, limit):
        home = self.system.folder / "up/rabbitmq"
        code, out, err = execute(RABBITMQCTL, "--node", "kcidb@localhost", "set_vm_memory_high_watermark", "absolute", limit,
                                 env=environment(HOME=str(home), ERL_EPMD_PORT=str(self.system.ports["epmd"]), RABBITMQ_CONF_ENV_FILE="/dev/null"))
        if code:
            raise Broken(f"rabbitmqctl: {out}{err}")

    def lock_tables(self):
        """Somebody's transaction is left open, and a file is old as if it had waited for hours."""
        self.lock = subprocess.Popen(["psql", "--quiet", "--no-psqlrc", self.system.info["database_url"]], stdin=subprocess.PIPE, text=True, env=environment())
        self.lock.stdin.write("BEGIN; LOCK TABLE checkouts, builds, tests, kcidb_ng.submissions;\n")
        self.lock.stdin.flush()
        waiting = Path(self.system.info["spool"], "submission-forgotten.json")
        waiting.with_suffix(".temp").write_text('{"version": {"major": 5, "minor": 3}}')
        os.utime(waiting.with_suffix(".temp"), (time.time() - 7200,) * 2)
        waiting.with_suffix(".temp").rename(waiting)

    def unlock_tables(self):
        self.lock.communicate()


def run(system, labs):
    """All rounds, one after the other."""
    faults = Faults(system, labs)
    rounds, trouble = faults.rounds(), faults.trouble()
    wanted = trouble.alerts.union(*(fault.alerts for some in rounds for fault in some))
    check("alerts: none fires while all is well", (f"{name} ({severity}) does" for name, severity in sorted(calm(system) & wanted)))
    seen = set()

    def fires(alerts):
        def look():
            seen.update(system.alerts())
            return alerts <= seen
        return until(look)

    def judge(some):
        for fault in some:
            check(f"alerts: {fault.what}: {', '.join(sorted({name for name, _ in fault.alerts}))}",
                  (f"{name} ({severity}) does not fire" for name, severity in sorted(fault.alerts - seen)))

    trouble.make()
    for some in rounds:
        for fault in some:
            fault.make()
        fires(set().union(*(fault.alerts for fault in some)))
        for fault in some:
            fault.mend()
        judge(some)
    fires(trouble.alerts)
    judge([trouble])
    trouble.mend()
    passing = {alert for alert in wanted if alert[0] not in SLOW}
    until(lambda: not system.alerts() & passing)
    check("alerts: all are over when all is mended", (f"{name} ({severity}) still fires" for name, severity in sorted(system.alerts() & passing)))


def calm(system):
    """The alerts that fire while nothing is broken."""
    seen, end = set(), time.monotonic() + CALM
    while time.monotonic() < end:
        seen |= system.alerts()
        time.sleep(0.5)
    return seen
