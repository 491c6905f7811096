"""The dashboards of Grafana. deploy/generate writes them to dashboards/*.json; change them here, or here after trying in Grafana.

Each dashboard is a list of rows, each row a list of panels; the first row is open, the others are folded. Panel ids follow from
titles, so that links of alerts stay right when panels move.
"""

import json
import zlib

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
OURS = 'queue=~"(ingester|logspec|status)\\\\.[a-z]+"'
ROOMS = 'queue=~".+\\\\.retry\\\\..+"'
DEAD = 'queue=~".+\\\\.dead"'


def identity(title):
    return zlib.crc32(title.encode()) % 100000


def panel(title, description, unit, *targets, kind="timeseries", width=8, height=8, stack=False, options=None, thresholds=None):
    """Targets are (expression, legend)."""
    custom = {"fillOpacity": 10, "showPoints": "never"} if kind == "timeseries" else {}
    if stack:
        custom |= {"stacking": {"mode": "normal"}, "fillOpacity": 40}
    defaults = {"unit": unit, "custom": custom, "color": {"mode": "palette-classic"}}
    if thresholds:
        steps = [{"color": "green", "value": None}, *({"color": color, "value": value} for color, value in thresholds)]
        defaults |= {"thresholds": {"mode": "absolute", "steps": steps}, "color": {"mode": "thresholds"}}
    instant = kind in ("stat", "table", "bargauge")
    form = {"table": "table", "heatmap": "heatmap"}.get(kind, "time_series")
    return {
        "id": identity(title), "title": title, "description": description, "type": kind, "datasource": SOURCE,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options or ({"tooltip": {"mode": "multi"}, "legend": {"displayMode": "list", "placement": "bottom"}}
                               if kind == "timeseries" else {}),
        "targets": [
            {"refId": chr(65 + index), "datasource": SOURCE, "expr": expression, "legendFormat": legend, "format": form,
             "instant": instant, "range": not instant}
            for index, (expression, legend) in enumerate(targets)
        ],
    }


def stat(title, description, unit, expression, legend="", thresholds=None, width=4):
    options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value" if thresholds else "none", "graphMode": "none"}
    return panel(title, description, unit, (expression, legend), kind="stat", width=width, height=4, options=options,
                 thresholds=thresholds)


def heatmap(title, description, unit, expression, width=8):
    options = {"calculate": False, "yAxis": {"unit": unit}, "color": {"scheme": "Spectral", "mode": "scheme"}}
    return panel(title, description, unit, (expression, "{{le}}"), kind="heatmap", width=width, options=options)


def rate(metric, by="", where=""):
    """Per second, summed."""
    selector = f"{metric}{{{where}}}" if where else metric
    return f"sum{f' by ({by})' if by else ''} (rate({selector}[$__rate_interval]))"


def quantiles(metric, where="", by="", legend=""):
    """Targets for p50, p95 and p99."""
    prefix = f"{legend} " if legend else ""
    return [(f"histogram_quantile(0.{q}, {rate(metric + '_bucket', 'le' + (', ' + by if by else ''), where)})", f"{prefix}p{q}")
            for q in (50, 95, 99)]


def variable(name, label, query):
    return {"name": name, "label": label, "type": "query", "datasource": SOURCE, "query": {"query": query, "refId": name},
            "definition": query, "refresh": 2, "sort": 1, "multi": True, "includeAll": True, "allValue": ".*",
            "current": {"text": ["All"], "value": ["$__all"]}}


def place(panels, top):
    """Gives panels their places from left to right; returns the first free line."""
    x = y = high = 0
    for item in panels:
        size = item["gridPos"]
        if x + size["w"] > 24:
            x, y, high = 0, y + high, 0
        size |= {"x": x, "y": top + y}
        x, high = x + size["w"], max(high, size["h"])
    return top + y + high


def dashboard(uid, title, description, rows, variables=()):
    panels, top = [], 0
    for index, (name, content) in enumerate(rows):
        row = {"id": identity(f"row {name}"), "type": "row", "title": name, "collapsed": index > 0, "panels": [],
               "gridPos": {"x": 0, "y": top, "w": 24, "h": 1}}
        panels.append(row)
        top += 1
        if index == 0:
            top = place(content, top)
            panels += content
        else:
            place(content, top)
            row["panels"] = content
    source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {}, "hide": 0}
    return {
        "uid": uid, "title": title, "description": description, "tags": ["kcidb"], "schemaVersion": 39, "version": 1,
        "editable": True, "graphTooltip": 1, "refresh": "30s", "time": {"from": "now-6h", "to": "now"}, "timezone": "browser",
        "links": [{"type": "dashboards", "tags": ["kcidb"], "title": "KCIDB", "asDropdown": False, "includeVars": True,
                   "keepTime": True, "icon": "dashboard", "targetBlank": False, "tooltip": "", "url": ""}],
        "templating": {"list": [source, *variables]}, "annotations": {"list": []}, "panels": panels,
    }


def overview():
    budget = ('1 - ((sum(rate(kcidb_http_requests_total{service="gateway",status=~"5.."}[30d])) or vector(0))'
              ' / sum(rate(kcidb_http_requests_total{service="gateway"}[30d]))) / 0.001')
    return dashboard("kcidb-overview", "KCIDB overview", "Does it take in, load and answer?", [
        ("Now", [
            stat("Accepted per second", "Submissions accepted by the gateway.", "reqps", rate("kcidb_submissions_total", where='outcome="accepted"')),
            stat("Oldest waiting file", "Age of the oldest submission that is not loaded.", "s", 'max(kcidb_spool_oldest_seconds{state="ready"})',
                 thresholds=[("orange", 900), ("red", 3600)]),
            stat("In the database within", "95 % of submissions, from POST to commit.", "s",
                 "histogram_quantile(0.95, sum by (le) (rate(kcidb_submission_end_to_end_seconds_bucket[$__rate_interval])))",
                 thresholds=[("orange", 60), ("red", 300)]),
            stat("Dead letters in all", "Messages that could not be processed and wait for a decision.", "short",
                 f"sum(rabbitmq_detailed_queue_messages_ready{{{DEAD}}})", thresholds=[("red", 1)]),
            stat("Error budget left", "Part that is left of the 0.1 % of requests that may fail with 5xx in 30 days.", "percentunit", budget,
                 thresholds=[("green", 0.2)]),
            stat("Alerts", "Alerts that fire.", "short", 'count(ALERTS{alertname=~"Kcidb.+",alertstate="firing"}) or vector(0)',
                 thresholds=[("red", 1)]),
            panel("Submissions by origin", "Accepted submissions per second.", "reqps",
                  (rate("kcidb_submissions_total", "origin", 'outcome="accepted"'), "{{origin}}"), stack=True),
            panel("Bytes by origin", "Unpacked bytes of accepted submissions per second.", "Bps",
                  (rate("kcidb_submission_size_bytes_sum", "origin"), "{{origin}}"), stack=True),
            panel("Accepted and refused", "What became of POSTs. `unavailable` is our fault, the rest is the sender's.", "reqps",
                  (rate("kcidb_submissions_total", "outcome"), "{{outcome}}")),
            panel("Loaded and rejected", "What became of accepted submissions.", "reqps",
                  (rate("kcidb_submissions_finished_total", "outcome"), "{{outcome}}")),
            panel("From POST to commit", "Time from the gateway's answer to the database's commit.", "s",
                  *quantiles("kcidb_submission_end_to_end_seconds")),
            panel("Queue depth", "Messages ready, per queue.", "short",
                  (f"sum by (queue) (rabbitmq_detailed_queue_messages_ready{{{OURS}}})", "{{queue}}")),
        ]),
        ("Events", [
            panel("Events published", "Events per second by outcome: confirmed is good, returned found no queue, refused and lost are sent again.",
                  "reqps", (rate("kcidb_publish_total", "service, event, outcome"), "{{service}} {{event}} {{outcome}}")),
            panel("Time to confirm", "Time from publishing to the broker's confirm, 95 %.", "s",
                  (f"histogram_quantile(0.95, {rate('kcidb_publish_duration_seconds_bucket', 'le, event')})", "{{event}}")),
            panel("Not announced", "Events that did not fit into memory while the broker was away; the sweep of the ingester finds them.", "short",
                  ("sum(increase(kcidb_publish_deferred_total[$__rate_interval]))", "deferred")),
        ]),
        ("Versions", [
            panel("Versions running", "One line per version and service.", "short", ("count by (service, version) (kcidb_build_info)", "{{service}} {{version}}")),
            panel("Targets", "Whether Prometheus reaches each process: 1 is up.", "short",
                  ('min by (service) (up{job=~"kcidb|rabbitmq.*"})', "{{service}}")),
            panel("Restarts", "How long each process has been running.", "s",
                  ('time() - process_start_time_seconds{job="kcidb"}', "{{service}} {{instance}}")),
        ]),
    ])


def gateway():
    where = 'service="gateway"'
    return dashboard("kcidb-gateway", "KCIDB gateway", "Rate, errors and duration of requests.", [
        ("Requests", [
            panel("Requests by route", "Requests per second.", "reqps", (rate("kcidb_http_requests_total", "method, route", where), "{{method}} {{route}}")),
            panel("Errors by reason", "Refused submissions per second.", "reqps",
                  (rate("kcidb_submissions_total", "outcome, reason", 'outcome!="accepted"'), "{{outcome}} {{reason}}")),
            panel("Duration by route", "95 % of requests are answered within. Uploads of slow lines count with their whole time.", "s",
                  (f"histogram_quantile(0.95, {rate('kcidb_http_request_duration_seconds_bucket', 'le, route', where)})", "{{route}}")),
            panel("Answers by status", "Requests per second by class of status.", "reqps", (rate("kcidb_http_requests_total", "status", where), "{{status}}"), stack=True),
            panel("Requests in flight", "Requests being worked on, per process.", "short", (f"kcidb_http_requests_in_flight{{{where}}}", "{{instance}}")),
            panel("Refused by origin", "Submissions that the sender has to mend (4xx), per second; without origin: the token was no good.", "reqps",
                  (rate("kcidb_submissions_total", "origin, reason", 'outcome=~"rejected|too_large|unauthorized"'), "{{origin}} {{reason}}")),
        ]),
        ("Submissions", [
            heatmap("Size of submissions", "How many accepted submissions have which size.", "bytes",
                    "sum by (le) (increase(kcidb_submission_size_bytes_bucket[$__rate_interval]))", width=12),
            heatmap("Duration of POSTs", "How many POSTs took how long.", "s",
                    'sum by (le) (increase(kcidb_http_request_duration_seconds_bucket{service="gateway",route=~"/|/+submit/?"}[$__rate_interval]))', width=12),
        ]),
        ("Process", process(where)),
    ])


def process(where):
    return [
        panel("CPU", "Cores in use, per process.", "short", (f"rate(process_cpu_seconds_total{{{where}}}[$__rate_interval])", "{{service}} {{instance}}")),
        panel("Memory", "Resident memory, per process.", "bytes", (f"process_resident_memory_bytes{{{where}}}", "{{service}} {{instance}}")),
        panel("Open files", "Part of the allowed file descriptors that is in use, per process.", "percentunit",
              (f"process_open_fds{{{where}}} / process_max_fds{{{where}}}", "{{service}} {{instance}}")),
    ]


def workers():
    where = 'queue=~"$queue"'
    return dashboard("kcidb-workers", "KCIDB workers", "What consumers do with their messages, and with what.", [
        ("Messages", [
            panel("Messages finished", "Messages per second by outcome: done, retry (comes again) or dead (given up).", "reqps",
                  (rate("kcidb_messages_total", "queue, outcome", where), "{{queue}} {{outcome}}")),
            panel("Repeated and given up, by reason", "Attempts per second that did not succeed.", "reqps",
                  (rate("kcidb_messages_total", "queue, outcome, reason", where + ',outcome!="done"'), "{{queue}} {{outcome}} {{reason}}")),
            panel("Attempts per message", "Attempts for each message that is done; 1 is best.", "short",
                  (f"{rate('kcidb_messages_total', 'queue', where)} / {rate('kcidb_messages_total', 'queue', where + ',outcome=' + chr(34) + 'done' + chr(34))}", "{{queue}}")),
            panel("Waiting time", "Time from the event to the start of work, 95 %.", "s",
                  (f"histogram_quantile(0.95, {rate('kcidb_message_wait_seconds_bucket', 'le, queue', where)})", "{{queue}}")),
            panel("Time per message", "Time of work on a message, 95 %.", "s",
                  (f"histogram_quantile(0.95, {rate('kcidb_message_duration_seconds_bucket', 'le, queue', where)})", "{{queue}}")),
            panel("Messages being worked on", "Messages in hand, and those that the broker has handed out.", "short",
                  (f"sum by (queue) (kcidb_messages_in_flight{{{where}}})", "{{queue}} in hand"),
                  (f"sum by (queue) (rabbitmq_detailed_queue_messages_unacked{{{where},{OURS}}})", "{{queue}} handed out")),
        ]),
        ("Ingester", [
            panel("Objects loaded", "Rows per second, by kind.", "rowsps", (rate("kcidb_ingested_objects_total", "kind"), "{{kind}}"), stack=True),
            panel("Submissions per transaction", "How many submissions are loaded in one transaction, 50 % and 95 %.", "short",
                  *quantiles("kcidb_batch_submissions")[:2]),
            panel("Found by the sweep", "Waiting files that no event had announced, per second.", "reqps", (rate("kcidb_swept_files_total"), "found")),
        ]),
        ("Process", process('service=~"ingester|logspec|status"')),
    ], [variable("queue", "Queue", "label_values(kcidb_messages_total, queue)")])


def origins():
    where = 'origin=~"$origin"'
    return dashboard("kcidb-origins", "KCIDB origins", "What each lab sends, and what is wrong with it.", [
        ("Submissions", [
            panel("Last submission", "Time since the last accepted submission.", "s",
                  (f"sort_desc(time() - max by (origin) (max_over_time(kcidb_origin_last_submission_timestamp_seconds{{{where}}}[1d])))", "{{origin}}"),
                  kind="bargauge", options={"orientation": "horizontal", "displayMode": "basic", "reduceOptions": {"calcs": ["lastNotNull"]}},
                  thresholds=[("orange", 43200), ("red", 86400)]),
            panel("Submissions", "Accepted submissions per second.", "reqps",
                  (rate("kcidb_submissions_total", "origin", where + ',outcome="accepted"'), "{{origin}}"), stack=True),
            panel("Bytes", "Unpacked bytes per second.", "Bps", (rate("kcidb_submission_size_bytes_sum", "origin", where), "{{origin}}"), stack=True),
            panel("Objects by kind", "Objects loaded per second.", "rowsps", (rate("kcidb_ingested_objects_total", "origin, kind", where), "{{origin}} {{kind}}"), stack=True),
            panel("Rejected submissions, by reason", "Submissions per second that were stored, but not loaded.", "reqps",
                  (rate("kcidb_submissions_finished_total", "origin, reason", where + ',outcome="rejected"'), "{{origin}} {{reason}}")),
            panel("Refused requests", "Submissions per second that the gateway did not take. Without origin: the token was no good.", "reqps",
                  (rate("kcidb_submissions_total", "origin, outcome, reason", 'outcome!="accepted"'), "{{origin}} {{outcome}} {{reason}}")),
        ]),
        ("Faults and delay", [
            panel("Faults by rule", "Faults of rejected documents per second, by the rule of the schema that they break.", "reqps",
                  (rate("kcidb_schema_faults_total", "origin, rule", where), "{{origin}} {{rule}}")),
            panel("From POST to commit by origin", "95 % of submissions are in the database within.", "s",
                  (f"histogram_quantile(0.95, {rate('kcidb_submission_end_to_end_seconds_bucket', 'le, origin', where)})", "{{origin}}")),
            panel("Objects of foreign origins", "Submissions per second with objects of an origin that the token does not speak for, by what the policy does with them.",
                  "reqps", (rate("kcidb_origin_mismatches_total", "policy"), "{{policy}}")),
        ]),
    ], [variable("origin", "Origin", "label_values(kcidb_submissions_total, origin)")])


def spool_and_database():
    return dashboard("kcidb-spool", "KCIDB spool and database", "Where submissions wait, and where they go.", [
        ("Spool", [
            panel("Files by state", "Files being received, waiting, and rejected.", "short", ("max by (state) (kcidb_spool_files)", "{{state}}")),
            panel("Bytes by state", "The same in bytes.", "bytes", ("max by (state) (kcidb_spool_bytes)", "{{state}}")),
            panel("Oldest waiting file", "Age of the oldest submission that is not loaded.", "s", ('max(kcidb_spool_oldest_seconds{state="ready"})', "oldest")),
            panel("Free space", "Free bytes, and the free bytes below which submissions are refused.", "bytes",
                  ("min(kcidb_spool_free_bytes)", "free"), ("max(kcidb_spool_limit_bytes)", "limit")),
            panel("Space in a day", "Free bytes in 24 hours by the trend of 6 hours.", "bytes", ("min(predict_linear(kcidb_spool_free_bytes[6h], 86400))", "in a day")),
            panel("Found by the sweep", "Waiting files that no event had announced, per second.", "reqps", (rate("kcidb_swept_files_total"), "found")),
        ]),
        ("Database", [
            panel("Connections", "Connections in use and allowed, per service.", "short",
                  ("sum by (service) (kcidb_db_pool_in_use)", "{{service}} in use"), ("sum by (service) (kcidb_db_pool_size)", "{{service}} allowed")),
            panel("Waiting for a connection", "95 % of the waits for a connection are shorter.", "s",
                  (f"histogram_quantile(0.95, {rate('kcidb_db_pool_wait_seconds_bucket', 'le, service')})", "{{service}}")),
            panel("Time per statement", "95 % of statements take at most.", "s",
                  (f"histogram_quantile(0.95, {rate('kcidb_db_query_duration_seconds_bucket', 'le, statement')})", "{{statement}}")),
            panel("Statements", "Statements per second.", "ops", (rate("kcidb_db_query_duration_seconds_count", "service, statement"), "{{service}} {{statement}}")),
            panel("Repeated transactions", "Transactions per second that had to be repeated, by kind of error (deadlock, lock timeout, …).", "ops",
                  (rate("kcidb_db_retries_total", "service, kind"), "{{service}} {{kind}}")),
            panel("Answers without the ledger", "Questions per second that the status service answered from the spool alone.", "reqps",
                  (rate("kcidb_status_without_ledger_total", "reason"), "{{reason}}")),
        ]),
    ])


def logspec():
    return dashboard("kcidb-logspec", "KCIDB logspec", "Logs fetched, findings made.", [
        ("Logs", [
            panel("Logs fetched", "Logs per second: fetched, found in the cache, or failed.", "reqps", (rate("kcidb_log_fetch_total", "outcome"), "{{outcome}}"), stack=True),
            panel("Logs that could not be fetched, by reason", "Per second.", "reqps",
                  (rate("kcidb_log_fetch_total", "reason", 'outcome="failed"'), "{{reason}}")),
            panel("Time to fetch", "Time until a log is there.", "s", *quantiles("kcidb_log_fetch_duration_seconds")),
            panel("Bytes fetched", "Bytes per second.", "Bps", (rate("kcidb_log_fetch_bytes_sum"), "fetched")),
            panel("Time to analyse", "95 % of logs are analysed within, by parser.", "s",
                  (f"histogram_quantile(0.95, {rate('kcidb_log_analysis_duration_seconds_bucket', 'le, parser')})", "{{parser}}")),
            panel("Waiting for analysis", "Messages ready: new failures, and logs that shall be analysed again.", "short",
                  ('sum by (queue) (rabbitmq_detailed_queue_messages_ready{queue=~"logspec\\\\.(failures|catchup)"})', "{{queue}}")),
        ]),
        ("Findings", [
            panel("Findings by type", "Findings per second.", "ops", (rate("kcidb_findings_total", "parser, error_type"), "{{parser}} {{error_type}}"), stack=True),
            panel("Issues: new and known", "Issues per second that were seen for the first time, or again.", "ops",
                  (rate("kcidb_issues_total", "state"), "{{state}}")),
            panel("Incidents per issue", "How many incidents there are for each new issue; high is good.", "short",
                  (f"{rate('kcidb_incidents_total')} / {rate('kcidb_issues_total', where='state=' + chr(34) + 'new' + chr(34))}", "incidents per new issue")),
            panel("Nodes finished", "Failed nodes per second whose log has been dealt with, by outcome and reason.", "ops",
                  (rate("kcidb_logs_total", "outcome, reason"), "{{outcome}} {{reason}}"), stack=True),
            panel("Found by the sweep", "Failed nodes that no event had told of, per second.", "ops", (rate("kcidb_swept_nodes_total"), "found")),
        ]),
    ])


def rabbitmq():
    depth = "rabbitmq_detailed_queue_messages_ready"
    return dashboard("kcidb-rabbitmq", "RabbitMQ for KCIDB", "Queues, waiting rooms, dead letters, alarms.", [
        ("Queues", [
            panel("Ready", "Messages that wait, per queue.", "short", (f"sum by (queue) ({depth}{{{OURS}}})", "{{queue}}")),
            panel("Unacknowledged", "Messages handed out and not finished, per queue.", "short",
                  (f"sum by (queue) (rabbitmq_detailed_queue_messages_unacked{{{OURS}}})", "{{queue}}")),
            panel("Consumers", "Consumers per queue.", "short", (f"sum by (queue) (rabbitmq_detailed_queue_consumers{{{OURS}}})", "{{queue}}")),
            panel("Waiting rooms", "Messages that are tried again later.", "short", (f"sum by (queue) ({depth}{{{ROOMS}}})", "{{queue}}")),
            panel("Dead letters", "Messages that could not be processed and wait for a decision.", "short", (f"sum by (queue) ({depth}{{{DEAD}}})", "{{queue}}")),
            panel("Alarms", "1 while the broker takes no messages because memory or disk is short.", "short",
                  ("max(rabbitmq_alarms_memory_used_watermark)", "memory"), ("max(rabbitmq_alarms_free_disk_space_watermark)", "disk"),
                  ("max(rabbitmq_alarms_file_descriptor_limit)", "file descriptors")),
        ]),
        ("Rates", [
            panel("Messages in and out", "Messages per second of the whole broker.", "reqps",
                  (rate("rabbitmq_global_messages_received_total"), "received"), (rate("rabbitmq_global_messages_delivered_total"), "delivered"),
                  (rate("rabbitmq_global_messages_acknowledged_total"), "acknowledged")),
            panel("Delivered again", "Messages per second that a consumer gave back or lost.", "reqps", (rate("rabbitmq_global_messages_redelivered_total"), "redelivered")),
            panel("Dead-lettered", "Messages per second that left a queue: expired is the way out of waiting rooms, delivery_limit killed its consumer.", "reqps",
                  (rate("rabbitmq_global_messages_dead_lettered_expired_total"), "expired"),
                  (rate("rabbitmq_global_messages_dead_lettered_delivery_limit_total"), "delivery_limit"),
                  (rate("rabbitmq_global_messages_dead_lettered_rejected_total"), "rejected"),
                  (rate("rabbitmq_global_messages_dead_lettered_maxlen_total"), "maxlen")),
            panel("Unroutable", "Messages per second that no queue was bound to.", "reqps", (rate("rabbitmq_global_messages_unroutable_returned_total"), "returned")),
        ]),
        ("Broker", [
            panel("Memory of the broker", "Memory in use and the limit.", "bytes",
                  ("sum(rabbitmq_process_resident_memory_bytes)", "in use"), ("sum(rabbitmq_resident_memory_limit_bytes)", "limit")),
            panel("Disk of the broker", "Free disk space and the limit.", "bytes",
                  ("min(rabbitmq_disk_space_available_bytes)", "free"), ("max(rabbitmq_disk_space_available_limit_bytes)", "limit")),
            panel("Connections and channels", "Open connections and channels.", "short", ("sum(rabbitmq_connections)", "connections"), ("sum(rabbitmq_channels)", "channels")),
        ]),
    ])


def files():
    made = [overview(), gateway(), workers(), origins(), spool_and_database(), logspec(), rabbitmq()]
    return {f"{one['uid']}.json": json.dumps(one, indent=1, ensure_ascii=False) + "\n" for one in made}
