"""The running system is broken in every way that can be made here; the alerts fire, and are over when it is mended."""

import contextlib
import os
import subprocess
import time
import urllib.parse
from pathlib import Path
from typing import Callable, NamedTuple

import prometheus
from labs import Logs
from report import check, run as execute
from system import Broken, environment, until

RABBITMQCTL = Path("/usr/lib/rabbitmq/bin/rabbitmqctl")
# How long the system is watched while all is well, in seconds: longer than most alerts wait before they fire.
CALM = 12
# What cannot be made here, and why.
NOT_HERE = {"KcidbOriginSilent": "it wants ten days with submissions, and a day without"}


def page(name, **labels):
    return {"alertname": name, "severity": "page"} | labels


def ticket(name, **labels):
    return {"alertname": name, "severity": "ticket"} | labels


def shown(alert):
    labels = (f"{name}={value}" for name, value in alert.items() if name != "alertname")
    return f"{alert['alertname']} ({', '.join(labels)})"


class Fault(NamedTuple):
    """Something that is wrong, and the alerts that tell of it, each by some of its labels."""

    what: str
    alerts: list
    make: Callable
    mend: Callable


class Faults:
    """What can be broken."""

    def __init__(self, system, labs):
        self.system, self.labs, self.psql = system, labs, None

    def rounds(self):
        """The faults of a round are there at the same time."""
        system = self.system
        return [
            [
                Fault("the server of logs is out of order", [ticket("KcidbLogFetchFailing"), ticket("KcidbRetryStorm", queue="logspec.failures")],
                      lambda: setattr(Logs, "out_of_order", True), lambda: setattr(Logs, "out_of_order", False)),
                Fault("messages are none of ours", [severity("KcidbDeadLetters", queue="ingester.submissions.dead") for severity in (ticket, page)],
                      self.poison, self.drop_dead_letters),
                Fault("the spool of a gateway is full", [page("KcidbGatewayErrors"), ticket("KcidbSpoolFull")], self.fill_spool, system.start_gateway),
                Fault("labs have slow lines", [ticket("KcidbGatewaySlow")], *self.labs_do("slow")),
                Fault("submissions are loaded late", [ticket("KcidbEndToEndSlow")], *self.labs_do("late")),
            ],
            [Fault("a heap of old failures grows", [ticket("KcidbQueueBacklog", queue="logspec.failures")], self.pile_up, self.work_off)],
            [
                Fault("a worker's queue is not bound any more", [page("KcidbUnroutable", queue="ingester.submissions")],
                      lambda: self.unbind("ingester.submissions"), self.set_up),
                Fault("a gateway is gone", [page("KcidbTargetDown", instance=system.gateway_admin)], lambda: system.end("gateway"), system.start_gateway),
            ],
            [
                Fault("the ledger's queue is not bound any more", [page("KcidbUnroutable", event="submission.ingested", service="ingester")],
                      lambda: self.unbind("status.ledger"), self.set_up),
            ],
            [
                Fault("the broker lets nobody in", [page("KcidbNoConsumers", queue=queue) for queue in ("ingester.submissions", "status.ledger")],
                      self.lock_out, lambda: self.permit(".*")),
            ],
            [
                Fault("the broker is short of memory", [page("KcidbBrokerAlarm"), ticket("KcidbPublishDeferred")],
                      lambda: self.memory("1MB"), lambda: self.memory("1GB")),
            ],
            [
                Fault("a transaction locks the tables", [page("KcidbQueueStalled", queue="ingester.submissions"), ticket("KcidbSpoolOld"), page("KcidbSpoolOld"),
                                                         ticket("KcidbDatabasePoolBusy", service="logspec")], self.lock_tables, self.unlock_tables),
            ],
        ]

    def wrong_submissions(self):
        """What goes on during all the rounds: these alerts look at an hour."""
        alerts = [ticket("KcidbOriginRejected", origin="untidy"), ticket("KcidbOriginRejected", origin="garbled"), ticket("KcidbOriginMismatch", policy="warn")]
        return Fault("labs send what is wrong", alerts, *self.labs_do("wrong"))

    def labs_do(self, what):
        return lambda: self.labs.doing.add(what), lambda: self.labs.doing.discard(what)

    def pile_up(self):
        Logs.slow = True
        self.labs.doing.add("old")

    def work_off(self):
        self.labs.doing.discard("old")
        Logs.slow = False

    def poison(self):
        message = {"properties": {"delivery_mode": 2}, "routing_key": "submission.received.nobody", "payload": "no event", "payload_encoding": "string"}
        for _ in range(10):
            self.system.broker("exchanges/kcidb/kcidb.events/publish", message)

    def drop_dead_letters(self):
        for queue in ("ingester.submissions", "status.ledger"):
            self.system.tool("queue", "drop", queue, "--yes")

    def fill_spool(self):
        about = os.statvfs(self.system.info["spool"])
        self.system.start_gateway(min_free=2 * about.f_bavail * about.f_frsize)

    def unbind(self, queue):
        place = f"bindings/kcidb/e/kcidb.events/q/{queue}"
        for binding in self.system.broker(place):
            self.system.broker(f"{place}/{urllib.parse.quote(binding['properties_key'], safe='')}", method="DELETE")
        try:
            self.system.tool("queue", "check")
        except Broken:
            return
        raise Broken(f"`kcidb queue check` does not see that {queue} is not bound")

    def set_up(self):
        self.system.tool("queue", "setup")
        self.system.tool("queue", "check")

    def permit(self, what):
        user = self.system.info["rabbitmq_ui"]["user"]
        self.system.broker(f"permissions/kcidb/{user}", {"configure": what, "write": what, "read": what}, "PUT")

    def lock_out(self):
        self.permit("^$")
        for connection in self.system.broker("connections?columns=name"):
            with contextlib.suppress(Broken):  # one that has ended meanwhile
                self.system.broker(f"connections/{urllib.parse.quote(connection['name'], safe='')}", method="DELETE")

    def memory(self, limit):
        """How much memory the broker may use."""
        home = self.system.folder / "up/rabbitmq"
        code, out, err = execute(RABBITMQCTL, "--node", "kcidb@localhost", "set_vm_memory_high_watermark", "absolute", limit,
                                 env=environment(HOME=str(home), ERL_EPMD_PORT=str(self.system.ports["epmd"]), RABBITMQ_CONF_ENV_FILE="/dev/null"))
        if code:
            raise Broken(f"rabbitmqctl: {out}{err}")

    def lock_tables(self):
        """Somebody leaves a transaction open, and a file is as old as if it had waited for hours."""
        command = ["psql", "--quiet", "--no-psqlrc", self.system.info["database_url"]]
        self.psql = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment())
        # First the log worker gets stuck, while it has something in hand.
        locks = "BEGIN; LOCK TABLE kcidb_ng.logs; SELECT pg_sleep(2); LOCK TABLE checkouts, builds, tests, kcidb_ng.submissions;"
        self.psql.stdin.write(f"\\o /dev/null\n{locks}\n\\o\n\\echo done\n")
        self.psql.stdin.flush()
        self.psql.stdout.readline()
        self.labs.put("submission-forgotten.json", self.labs.document("north", "forgotten", logs=False), age=7200)

    def unlock_tables(self):
        if self.psql:
            self.psql.communicate()


class Watch:
    """The alerts that fire, and have fired since somebody began to look."""

    def __init__(self, system):
        self.system, self.seen = system, []

    def look(self):
        """The labels of what fires now."""
        firing = self.system.alerts()
        self.seen += (one for one in firing if one not in self.seen)
        return firing

    def missing(self, alerts):
        return [alert for alert in alerts if not matching(alert, self.seen)]

    def all_fire(self, alerts):
        until(lambda: (self.look(), not self.missing(alerts))[1])

    def all_quiet(self, alerts):
        """Whatever still fires in the end."""
        until(lambda: not any(matching(alert, self.look()) for alert in alerts))
        return [alert for alert in alerts if matching(alert, self.look())]


def matching(alert, firing):
    return any(alert.items() <= labels.items() for labels in firing)


def run(system, labs):
    """All rounds, one after the other, and one fault that is there during all of them."""
    faults = Faults(system, labs)
    rounds, lasting = faults.rounds(), faults.wrong_submissions()
    passing = [alert for some in rounds for fault in some for alert in fault.alerts]
    watch = Watch(system)
    end = time.monotonic() + CALM
    while time.monotonic() < end:
        watch.look()
        time.sleep(0.5)
    made = {alert["alertname"] for alert in passing + lasting.alerts}
    check("alerts: each is made to fire here, but for a known few", {name for name, _ in prometheus.alerts()} ^ made ^ set(NOT_HERE))
    check("alerts: none fires while all is well", (f"{shown(alert)} does" for alert in passing + lasting.alerts if matching(alert, watch.seen)))

    lasting.make()
    for some in rounds:
        break_and_mend(some, Watch(system))
    watch.all_fire(lasting.alerts)
    check(f"alerts: {lasting.what}", (f"{shown(alert)} does not fire" for alert in watch.missing(lasting.alerts)))
    named = {one["origin"] for one in watch.seen if one["alertname"] == "KcidbOriginRejected"}
    check("alerts: no lab is named that does it right", named & {"north", "south"})
    lasting.mend()
    check("alerts: all are over when all is mended", (f"{shown(alert)} still fires" for alert in watch.all_quiet(passing)))


def break_and_mend(faults, watch):
    """One round: what is to be seen must not be there yet, so that it comes from these faults."""
    alerts = [alert for fault in faults for alert in fault.alerts]
    earlier = watch.all_quiet(alerts)
    watch.seen.clear()
    try:
        for fault in faults:
            fault.make()
        watch.all_fire(alerts)
    finally:
        for fault in faults:
            fault.mend()
    for fault in faults:
        names = ", ".join(sorted({alert["alertname"] for alert in fault.alerts}))
        problems = [f"{shown(alert)} fired before" for alert in fault.alerts if alert in earlier]
        check(f"alerts: {fault.what}: {names}", problems + [f"{shown(alert)} does not fire" for alert in watch.missing(fault.alerts)])
