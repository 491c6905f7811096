"""Runs all checks, or those named: chart, prometheus, grafana, containers, live."""

import sys

import chart
import containers
import grafana
import live
import prometheus
import report

CHECKS = {"chart": chart.run, "prometheus": prometheus.run, "grafana": grafana.run, "containers": containers.run, "live": live.run}

report.passes("what is made by deploy/generate is up to date", sys.executable, "deploy/generate", "--check")
for name in sys.argv[1:] or CHECKS:
    CHECKS[name]()
report.finish()
