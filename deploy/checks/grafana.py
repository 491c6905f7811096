"""Dashboards: complete, without overlaps, bound to the variable `datasource`, with expressions that Prometheus can read."""

import json
import re

import prometheus
from report import ROOT, check, have

FOLDER = ROOT / "deploy/grafana"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def flat(board):
    """All panels, those of folded rows among them."""
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", [])


def structure(board):
    panels = list(flat(board))
    ids = [panel["id"] for panel in panels]
    yield from (f"id {one} is there twice" for one in {one for one in ids if ids.count(one) > 1})
    for key in ("uid", "title", "description", "schemaVersion", "links", "time"):
        if not board.get(key):
            yield f"{key} is missing"
    if board["tags"] != ["kcidb"] or board["links"][0]["tags"] != ["kcidb"]:
        yield "it is not linked with the others"
    variables = {one["name"]: one for one in board["templating"]["list"]}
    if variables.get("datasource", {}).get("type") != "datasource":
        yield "there is no variable datasource"
    text = json.dumps(board)
    yield from (f"${name} is no variable" for name in set(re.findall(r"\$\{?([a-z]\w*)", text)) - set(variables))
    if any(uid != "${datasource}" for uid in re.findall(r'"uid": "([^"]*)"', text.replace(json.dumps(board["uid"]), '""')) if uid):
        yield "a data source has a fixed uid"
    rows = [panel for panel in board["panels"] if panel["type"] == "row"]
    if not rows or rows[0]["collapsed"] or not all(row["collapsed"] for row in rows[1:]):
        yield "all rows but the first should be folded"


def grid(board):
    """Panels of the open part, and of each folded row, are inside the 24 columns and do not overlap."""
    groups = [board["panels"], *(panel["panels"] for panel in board["panels"] if panel["type"] == "row")]
    for panels in groups:
        taken = {}
        for panel in panels:
            place = panel["gridPos"]
            if place["x"] < 0 or place["x"] + place["w"] > 24 or place["w"] < 1 or place["h"] < 1:
                yield f"{panel['title']} is outside of the grid"
            for cell in ((x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])):
                if other := taken.get(cell):
                    yield f"{panel['title']} overlaps {other}"
                    break
                taken[cell] = panel["title"]


def content(board):
    for panel in flat(board):
        if panel["type"] == "row":
            continue
        title = panel["title"]
        if not panel.get("description") or not panel["fieldConfig"]["defaults"].get("unit"):
            yield f"{title} has no description or no unit"
        if panel["datasource"] != SOURCE or not panel["targets"]:
            yield f"{title} has no targets or another data source"
        for target in panel["targets"]:
            if not target.get("expr") or target["datasource"] != SOURCE:
                yield f"{title} has a target without expression or with another data source"
            if not target["instant"] and re.search(r"\b(rate|increase|irate)\((?:(?!\[).)*\[(?!\$__rate_interval\])", target.get("expr", "")):
                yield f"{title} has a rate over a fixed time"


def run():
    boards = {path.name: json.loads(path.read_text()) for path in sorted((FOLDER / "dashboards").glob("*.json"))}
    check("there are seven dashboards", [] if len(boards) == 7 else [f"there are {len(boards)}"])
    for name, board in boards.items():
        check(f"{name}: structure", structure(board))
        check(f"{name}: grid", grid(board))
        check(f"{name}: descriptions, units, targets", content(board))
    expressions = {name: [target["expr"] for panel in flat(board) for target in panel.get("targets", [])] for name, board in boards.items()}
    prometheus.missing_metrics([text for some in expressions.values() for text in some], "dashboards")
    if have("promtool", "expressions of dashboards"):
        for name, some in expressions.items():
            check(f"{name}: {len(some)} expressions can be read", prometheus.expressions_are_valid(some))
