#!/usr/bin/env python3
"""Memory: what is predicted is never exceeded, and nothing is allocated once a session is made. Needs build/release/test/measure-memory.

measure-memory takes the place of malloc, new and mmap in a program that runs artifacts, and counts. oneDNN's own allocations
count apart: packing buffers, freed before a product returns, up to LIBRARY_BYTES a thread; code for new shapes, once.
With --models also SmolLM2-135M and MiniLM-L6.
"""

import json
import re
import subprocess
import sys

import tiny_architectures
import tiny_models
from harness import MINILM, ROOT, SMOLLM2, Suite, outcome

THREADS = 2
# oneDNN's packing buffers for one product, per thread that calls it; seen: 1.2 MiB. And what it maps for the code it makes.
LIBRARY_BYTES = 4 << 20
LIBRARY_CODE_BYTES = 32 << 20
# Tables of a session: addresses and sizes of its steps. Not predicted, as they are small.
TABLE_BYTES = 4 << 20
# Resident memory that is neither predicted nor a table: stacks of threads, malloc's own, ends of large pages.
SLACK_BYTES = 8 << 20
UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def measure(t, what, artifact):
    program = ROOT / "build" / "release" / "test" / "measure-memory"
    done = subprocess.run([program, artifact, str(THREADS)], capture_output=True, text=True)
    t.check(f"{what}: measure", None if done.returncode == 0 else outcome(done))
    return json.loads(done.stdout) if done.returncode == 0 else None


def printed_bytes(text, pattern):
    """The size that a line of text names, as an interval: it is rounded to a tenth of its unit."""
    number, unit = re.search(pattern, text).groups()
    exact = float(number) * UNITS[unit]
    return exact - 0.05 * UNITS[unit] - 1, exact + 0.05 * UNITS[unit] + 1


def check_model(t, what, model, *flags):
    artifact = t.folder / "model.transom"
    done = t.transom("compile", model, "-o", artifact, *flags)
    t.check(f"{what}: compile", None if done.returncode == 0 else outcome(done))
    found = measure(t, what, artifact) if done.returncode == 0 else None
    if not found:
        return
    plan = t.inspect(artifact)
    session = max(p["arena_bytes"] for p in plan["programs"]) + sum(p["staging_bytes"] for p in plan["programs"])
    session += plan["state_bytes"]
    aligned = 64 * (sum(len(p["inputs"]) + len(p["outputs"]) for p in plan["programs"]) + 1000)
    t.check(f"{what}: the artifact says what a session takes",
            None if session <= found["session"] - found["scratch"] <= session + aligned else f"{session}, found {found}")
    low, high = printed_bytes(done.stdout, r"a session ([\d.]+) (\w+)")
    t.check(f"{what}: compile prints what a session takes",
            None if low - aligned <= found["session"] - found["scratch"] <= high + aligned else done.stdout)
    low, high = printed_bytes(done.stdout, r"([\d.]+) (\w+) for each thread")
    t.check(f"{what}: compile prints what a thread takes", None if low <= found["scratch"] / THREADS <= high else done.stdout)
    create = found["create"]
    t.check(f"{what}: a session takes what was predicted",
            None if create["mapped"] == found["session"] else f"{create['mapped']} mapped, {found['session']} predicted")
    t.check(f"{what}: the hooks count", None if create["calls"] > 0 else "creating a session called malloc 0 times")
    t.check(f"{what}: its tables are small", None if create["bytes"] <= TABLE_BYTES else f"{create['bytes']} bytes")
    limit = found["session"] + TABLE_BYTES + SLACK_BYTES + THREADS * LIBRARY_BYTES + LIBRARY_CODE_BYTES
    t.check(f"{what}: resident memory stays within it", None if found["resident"] <= limit else f"{found['resident']} of {limit}")
    for key in ("first_runs", "runs", "decode", "sampled"):
        if key not in found:
            continue
        counts = found[key]
        t.check(f"{what}: {key}: no allocation", f"{counts}" if counts["calls"] or counts["mapped"] else None)
        library = THREADS * LIBRARY_BYTES
        t.check(f"{what}: {key}: oneDNN's own", f"{counts}" if counts["library_peak"] > library else None)
        code = LIBRARY_CODE_BYTES if key == "first_runs" else 0
        t.check(f"{what}: {key}: oneDNN's code", f"{counts}" if counts["library_mapped"] > code else None)
    if "embed_64" in found:
        calls = [found[key]["calls"] for key in ("embed_64", "embed_128")]
        t.check(f"{what}: embedding allocates by the call, not by the batch", None if calls[0] == calls[1] <= 8 else f"{calls}: {found['embed_128']}")
    print(f"memory: {what}: session {found['session']} predicted, {create['mapped']} mapped, {found['resident']} resident; "
          f"oneDNN at most {max(found[k]['library_peak'] for k in ('first_runs', 'runs'))}", flush=True)


def main():
    t = Suite("memory", lambda parser: parser.add_argument("--models", action="store_true") and parser)
    if t.options.models:
        check_model(t, "SmolLM2", SMOLLM2, "--max-context=1024")
        check_model(t, "MiniLM", MINILM, "--max-seq=256")
        return t.finish()
    bounds = ("--max-batch=4", "--max-seq=16", "--max-context=64")
    llama = tiny_models.llama_folder(t.folder / "llama")
    bert = tiny_models.bert_folder(t.folder / "bert")
    for level in ("-O1", "-O0"):
        check_model(t, f"llama {level}", llama, level, *bounds)
        check_model(t, f"bert {level}", bert, level, *bounds[:2])
    for name, architecture in tiny_architectures.ALL.items():
        folder = tiny_architectures.write(t.folder / name, architecture, seed=1)
        check_model(t, name, folder, *(bounds if architecture.decoder else bounds[:2]))
    gguf = tiny_models.llama_gguf(t.folder / "tiny.gguf", kind="Q4_1")
    check_model(t, "gguf Q4_1", gguf, *bounds)
    return t.finish()


if __name__ == "__main__":
    sys.exit(main())
