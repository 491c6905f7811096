"""What every check says: one line, and a sum at the end."""

import functools
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
counts = {"ok": 0, "FAILED": 0, "skipped": 0}


def say(verdict, what, details=()):
    counts[verdict] += 1
    print(f"{verdict}: {what}", flush=True)
    for detail in details:
        print(f"    {detail}", flush=True)


def check(what, problems):
    """`problems` are sentences; none is good."""
    problems = list(problems)
    say("FAILED" if problems else "ok", what, problems)
    return not problems


def have(tool, what):
    """Whether a program is there; says that `what` is skipped when it is not."""
    if shutil.which(tool):
        return True
    say("skipped", f"{what}: {tool} is not installed")
    return False


def run(*command, **options):
    """Exit code, standard output and standard error of a program."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=ROOT, **options)
    return done.returncode, done.stdout, done.stderr


def passes(what, *command, **options):
    code, out, err = run(*command, **options)
    return check(what, (out + err).splitlines()[-15:] or ["failed without a word"] if code else [])


def relay(script):
    """Runs a script that says the same lines as this one, and counts them."""
    said = dict.fromkeys(counts, 0)
    with subprocess.Popen([script], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            if (verdict := line.split(":")[0]) in counts:
                said[verdict] += 1
    for verdict, count in said.items():
        counts[verdict] += count
    if not any(said.values()) or bool(process.returncode) != bool(said["FAILED"]):
        say("FAILED", f"{script} ended with {process.returncode}")


@functools.cache
def sources(pattern):
    """Everything in the program's sources that a pattern finds."""
    found = set()
    for folder in ("services", "shared"):
        for path in (ROOT / folder).glob("*/src/**/*.rs"):
            found |= set(re.findall(pattern, path.read_text()))
    return frozenset(found)


def finish():
    print(f"{counts['ok']} passed, {counts['FAILED']} failed, {counts['skipped']} skipped")
    sys.exit(1 if counts["FAILED"] or not counts["ok"] else 0)
