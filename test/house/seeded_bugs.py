#!/usr/bin/env python3
"""Deliberate faults, one line each, and which test catches them: a check of the tests, not of the code.

Each fault of seeded_faults.py is put into a tree, what it touches is built again, and the quick steps of the suite run in order
of their speed until one fails. Results are kept as they come, so a run goes on where it was stopped. The tree must have no
changes of its own; by default it is a clone made for this, in build/seeded-bugs/tree. Not part of tools/check: it takes an hour.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from seeded_faults import FAULTS

ROOT = Path(__file__).resolve().parents[2]
LIT = "/usr/lib/llvm-19/build/utils/lit/lit.py"
GOAL = 0.9
STEP_LIMIT_S = 900

# name: (what it builds, how it runs), quick ones first. PYTHON is the interpreter with NumPy.
UNITS = {
    "passes": ["PassEquivalence", "Pipeline"],
    "plan": ["PlanArtifact", "PlanWeights", "CpuGroups"],
    "kernels": ["CpuGemv", "CpuAttention", "CpuOps", "CpuRegions", "CpuPacked", "CpuGroups"],
    "runtime": ["Session", "Gemm", "ThreadPool", "SessionGenerate", "Artifact", "Sampling"],
}


def steps(fault, python):
    """(name, targets, command) of the steps that can catch a fault of this area."""
    units = UNITS[fault["area"]]
    existing = " ".join(f"if test -x build/release/test/{name}; then build/release/test/{name} --gtest_brief=1; fi &&" for name in units)
    unit = ("unit", units, f"{existing} true")
    lit = ("lit", ["transom-opt"], f"{python} {LIT} -q build/release/test --filter '^transom.*(passes|ir|interpreter|codegen)/'")
    random = ("random", ["transom-random"], "build/release/test/transom-random --first=1 --count=200 --compile-every=20 --reduce=0")
    agreement = ("agreement", ["transom"], f"{python} test/e2e/agreement.py --transom build/release/bin/transom")
    return {"passes": [lit, unit, random, agreement], "plan": [lit, unit, random, agreement],
            "kernels": [unit, random, agreement], "runtime": [unit, random, agreement]}[fault["area"]]


def run(command, tree, log):
    """(exit code, seconds)"""
    begin = time.monotonic()
    with open(log, "a") as file:
        file.write(f"$ {command}\n")
        file.flush()
        try:
            code = subprocess.run(command, shell=True, cwd=tree, stdin=subprocess.DEVNULL, stdout=file,
                                  stderr=subprocess.STDOUT, timeout=STEP_LIMIT_S).returncode
        except subprocess.TimeoutExpired:
            code = 124
    return code, time.monotonic() - begin


def existing_targets(targets, tree):
    known = subprocess.run(["ninja", "-C", "build/release", "-t", "targets", "all"], cwd=tree, capture_output=True, text=True)
    names = {line.split(":")[0].split("/")[-1] for line in known.stdout.splitlines()}
    return [target for target in targets if target in names]


def try_steps(fault, tree, log, python):
    """The first step that fails, or None; "build" where the fault does not compile."""
    for name, targets, command in steps(fault, python):
        code, _ = run(f"ninja -C build/release {' '.join(existing_targets(targets, tree))}", tree, log)
        if code != 0:
            return "build"
        code, _ = run(command, tree, log)
        if code != 0:
            return name
    return None


def planted(fault, tree):
    """The file's text with the fault in it; ends the program where the line is not there exactly once."""
    path = tree / fault["file"]
    text = path.read_text()
    if text.count(fault["old"]) != 1:
        sys.exit(f"{fault['name']}: {fault['file']}: expected the line once, found it {text.count(fault['old'])} times: {fault['old']}")
    return path, text, text.replace(fault["old"], fault["new"])


def make_tree(tree):
    if not tree.exists():
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tree)], check=True)
    dirty = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no"], cwd=tree, capture_output=True, text=True).stdout
    if dirty:
        sys.exit(f"{tree}: has changes; a fault may have been left in it:\n{dirty}")
    if not (tree / "build/release/build.ninja").exists():
        subprocess.run(["cmake", "--preset", "release", "-DTRANSOM_TESTS=ON"], cwd=tree, check=True, stdout=subprocess.DEVNULL)


def summary(results):
    caught = 0
    print(f"{'fault':<44} {'area':<8} {'caught by':<10} {'s':>5}")
    for fault in FAULTS:
        result = results.get(fault["name"])
        if result is None:
            continue
        by = result["by"] or "nothing"
        caught += by not in ("nothing", "build")
        print(f"{fault['name']:<44} {fault['area']:<8} {by:<10} {result['seconds']:>5.0f}")
    done = sum(fault["name"] in results for fault in FAULTS)
    print(f"{caught} of {done} faults caught, {len(FAULTS) - done} not tried")
    return done == len(FAULTS) and caught >= GOAL * done


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("faults", nargs="*", metavar="FAULT", help="only these")
    parser.add_argument("--tree", type=Path, default=ROOT / "build/seeded-bugs/tree", help="clone that the faults go into")
    parser.add_argument("--results", type=Path, default=ROOT / "build/seeded-bugs/results.json")
    parser.add_argument("--python", default=os.environ.get("TRANSOM_PYTHON", "build/venv/bin/python"), help="Python with NumPy, from the tree")
    parser.add_argument("--again", action="store_true", help="also faults that have a result")
    parser.add_argument("--check", action="store_true", help="only whether every fault's line is there")
    options = parser.parse_args()
    if options.check:
        for fault in FAULTS:
            planted(fault, ROOT)
        print(f"seeded-bugs: {len(FAULTS)} passed, 0 failed")
        return 0
    tree = options.tree.resolve()
    options.results.parent.mkdir(parents=True, exist_ok=True)
    make_tree(tree)
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    for fault in FAULTS:
        planted(fault, tree)
    chosen = [fault for fault in FAULTS if not options.faults or fault["name"] in options.faults]
    for area in sorted({fault["area"] for fault in chosen}):
        key = f"no fault, {area}"
        if key in results:
            continue
        by = try_steps({"area": area}, tree, options.results.with_suffix(".log"), options.python)
        if by:
            sys.exit(f"{area}: {by} fails without any fault; see {options.results.with_suffix('.log')}")
        results[key] = {"by": None, "seconds": 0}
        options.results.write_text(json.dumps(results, indent=2))
    for fault in chosen:
        if fault["name"] in results and not options.again:
            continue
        path, text, wrong = planted(fault, tree)
        begin = time.monotonic()
        try:
            path.write_text(wrong)
            by = try_steps(fault, tree, options.results.with_name(f"{fault['name'].replace(' ', '-')}.log"), options.python)
        finally:
            path.write_text(text)
        results[fault["name"]] = {"by": by, "seconds": time.monotonic() - begin}
        options.results.write_text(json.dumps(results, indent=2))
        print(f"{fault['name']}: {by or 'not caught'}", flush=True)
    return 0 if summary(results) else 1


if __name__ == "__main__":
    sys.exit(main())
