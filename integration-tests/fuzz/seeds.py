"""Writes what fuzzing starts from: seeds.py TARGET CONFORMANCE FOLDER

The files in seeds/ and the project's examples, and, where they are at hand, the recorded corpora.
"""
import glob
import gzip
import hashlib
import json
import os
import sys

target, source, folder = sys.argv[1:]
here = os.path.dirname(os.path.abspath(__file__))
root = os.path.join(here, "..", "..")
LONGEST = 4096


def write(text):
    text = text[:LONGEST]
    prefix = b"\x07" if target == "syntax" else b""
    with open(os.path.join(folder, hashlib.sha1(text).hexdigest()), "wb") as file:
        file.write(prefix + text)


def read(path):
    with open(path, "rb") as file:
        return file.read()


own = {"events": os.path.join(root, "proto", "examples", "*.json"), "log": os.path.join(here, "seeds", "log", "*")}
for path in glob.glob(own.get(target, os.path.join(here, "seeds", "validate", "*"))):
    write(read(path))
if target == "log":
    for path in glob.glob(os.path.join(source, "logspec", "mutants", "logs", "*.log.gz")):
        write(gzip.decompress(read(path)))
elif target in ("validate", "syntax") and os.path.isdir(os.path.join(source, "io")):
    for line in open(os.path.join(source, "io", "cases.jsonl"), newline="\n", encoding="utf-8"):
        write(json.dumps(json.loads(line)["input"], ensure_ascii=False).encode("utf-8", "surrogatepass"))
    for line in open(os.path.join(source, "io", "raw.jsonl"), newline="\n", encoding="utf-8"):
        if isinstance(raw := json.loads(line).get("raw"), str):
            write(raw.encode("utf-8", "surrogatepass"))
