#!/usr/bin/env python3
"""Two builds of Transom, or two ways to compile, in turn on workloads of encoders.py: medians, and how far their logits are apart.

    in_turn.py --before old/bin/transom --transom new/bin/transom --only e1,fp8     # two builds, unpacked packages, say
    in_turn.py --only e1 --before-flags=--products=library --flags=--products=own   # two ways to compile

GPUs of one kind differ by some percent, and one as much by how warm it is: what a change brings shows only in turn, in one run. Prints a table; the
numbers are milliseconds.
"""

import copy
import shutil
import statistics
import subprocess
import sys
import time
from functools import partial

import numpy as np
from encoders import EncoderBench, batches, sample_of
from gpu import describe, options_of
from peers import ROOT, BenchError, in_turn

# Workload -> (whose batch, flags of transom compile; {sample}: texts from which scales follow).
CASES = {"e1": ("e1", ()), "e2": ("e2", ()), "e3": ("e3", ()), "fp8": ("e1", ("--quantise=fp8", "--calibrate={sample}")), "fp8-tokens": ("e1", ("--quantise=fp8",))}


def compare(benches, case, rounds):
    """The row of a workload's table."""
    batch, flags = CASES[case]
    key, lengths, width = batches(benches[0].options.tiny)[batch]
    inputs, sample = benches[0].inputs(f"in-turn-{batch}", key, lengths, width), sample_of(benches[0], key, width)
    flags = [flag.format(sample=sample) for flag in flags]
    for bench in benches:
        bench.limit = time.monotonic() + bench.options.budget / len(bench.options.only)
    artifacts = [bench.compile(key, f"in-turn-{case}-{name}", "--max-batch", len(lengths), "--max-seq", width, *flags)[0]
                 for bench, name in zip(benches, ("before", "after"))]  # fmt: skip
    before, after = (bench.logits(artifact, inputs).astype(np.float64) for bench, artifact in zip(benches, artifacts))
    if late := [note for bench in benches for note in bench.notes]:
        raise BenchError(late[0])
    times = in_turn({name: partial(bench.ms, artifact, inputs) for name, bench, artifact in zip(("before", "after"), benches, artifacts)}, rounds)
    medians = [statistics.median(column) for column in times.values()]
    each = [" ".join(f"{ms:.4g}" for ms in column) for column in times.values()]
    apart = np.linalg.norm(after - before) / np.linalg.norm(before)
    return f"| {case} | {medians[0]:.4g} | {medians[1]:.4g} | {medians[1] / medians[0]:.3f} | {each[0]} | {each[1]} | {apart:.1e} |"


def main():
    options = options_of(__doc__.splitlines()[0], CASES,
                         ("--before", {"help": "the other build's command; without it the same"}),
                         ("--before-flags", {"type": str.split, "help": "its options of transom compile in one word; without it --flags"}),
                         ("--rounds", {"type": int, "default": 4, "help": "of both, each a median of --repeat runs"}),
                         ("--work", {"default": str(ROOT / "build" / "bench-encoders"), "help": "models and artifacts: 10 GB"}),
                         ("--tiny", {"action": "store_true", "help": "tries the program on a CPU with small models"}), peers=False)  # fmt: skip
    if options.tiny:
        options.device, options.target = "cpu", "cpu"
    elif shutil.which("nvidia-smi") is None:
        print("in_turn: skipped, this machine has no NVIDIA driver")
        return 77
    try:
        options.target = options.target or describe(options)["target"]
        other = copy.copy(options)
        other.transom = options.before or options.transom
        other.flags = options.flags if options.before_flags is None else options.before_flags
        benches = [EncoderBench(other), EncoderBench(options)]
        print("| workload | before | after | ratio | before, each round | after | logits apart |\n|---|---:|---:|---:|---|---|---:|")
        for case in options.only:
            print(compare(benches, case, options.rounds), flush=True)
    except (BenchError, OSError, subprocess.SubprocessError) as error:
        print(f"in_turn: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
