#!/usr/bin/env python3
"""Transom's encoders on one GPU against their peers and the ceilings of that GPU, all measured in one run, fp16, random weights: E1 to E3,
E1 with products of 8 bits (fp8), a head's answers beside the naive path's, time against padding and valid tokens, and what --batch-invariant
costs.

Targets are met as in bench/gpu.py. Times are those of `transom bench --tensors`: with copying inputs and outputs, which are logits
[batch, 2]; those of E1 to E3 and of 8 bits are medians of three rounds, in which a workload's forms take turns.
Writes <date>-<gpu>-encoders.md, .json and a plot of the padding, .svg, into --out. Needs torch, transformers and NumPy.
"""

import datetime
import random
import shutil
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import padding
from encoder_models import MODELS
from encoder_tables import PROFILED, tables
from gpu import Bench, ceilings, describe, measure, options_of, publish
from gpu_tables import profile_text
from peers import ROOT, BenchError, cpu_name, in_turn

SECONDS = {"e1": 110, "fp8": 100, "e2": 70, "e3": 70, "heads": 50, "padding": 80, "invariant": 60}  # at most, each
SAMPLE = [16, 40, 64, 24, 96, 128, 32, 80]  # lengths of the texts that scales of 8 bits follow from
SEED = 777  # of E1's lengths: one that makes 17598 valid tokens, as where its target was set
ROUNDS = 3  # of a workload's forms in turn
HEADS = {"small": [4, 6], "large": [4, 6, 210]}  # as BetterTransformer's tutorial: two short sentences; these and a paragraph


def batches(tiny):
    """Workload -> (model, lengths, padded length)."""
    draw = random.Random(SEED)
    found = {"e1": ("xlmr", [draw.randint(16, 512) for _ in range(64)], 512), "e2": ("xlmr", [32], 32), "e3": ("bert", [128] * 256, 128)}
    if not tiny:
        return found
    return {key: (f"tiny-{model}", [length // 8 for length in lengths[:8]], width // 8) for key, (model, lengths, width) in found.items()}


class EncoderBench(Bench):
    shapes, models_script, peers_script = MODELS, "encoder_models.py", "encoder_peers.py"

    def inputs(self, name, key, lengths, width=None):
        """A file with a batch for this model."""
        model = MODELS[key]
        return padding.write_batch(self.work / f"{name}.npz", lengths, width, (5, model.vocab), model.padding, model.types)

    def transom(self, artifact, inputs, *more):
        words = [self.options.transom, "bench", artifact, f"--device={self.options.device}", "--json", "--tensors", inputs, "--repeat", self.options.repeat]
        return self.json_of([*words, *more], f"bench {artifact.stem} on {inputs.stem}")

    def ms(self, artifact, inputs):
        return 1e3 * self.transom(artifact, inputs)["seconds"]

    def ms_in_turn(self, artifacts, inputs):
        """(median milliseconds of each artifact, those of each round)."""
        each = in_turn({name: partial(self.ms, artifact, inputs) for name, artifact in artifacts.items()}, ROUNDS)
        return {name: statistics.median(times) for name, times in each.items()}, each

    def logits(self, artifact, inputs):
        output = self.work / "logits.npz"
        self.run([self.options.transom, "run", artifact, f"--device={self.options.device}", "--input", inputs, "--output", output], "run")
        with np.load(output) as found:
            return found["logits"]

    def floor_ms(self, key, lengths):
        """Operations over the ceiling of the layers' products, or bytes of weights over the read ceiling where those take longer."""
        model, found = MODELS[key], self.figures["ceilings"]
        return max(model.flops(lengths) / found["layer_flops_per_s"], model.weight_bytes() / found["read_bytes_per_s"]) * 1e3


# -- workloads: each returns its figures --------------------------------------------------------------------------------


def encode(bench, name):
    key, lengths, width = batches(bench.options.tiny)[name]
    artifact, seconds = bench.compile(key, name, "--max-batch", len(lengths), "--max-seq", width)
    inputs = bench.inputs(name, key, lengths, width)
    tokens = f"{len(lengths)} x {width}, {sum(lengths)} of them valid" if sum(lengths) < len(lengths) * width else f"{len(lengths)} x {width}"
    artifacts = {"ms": artifact}
    if name != "e2":  # of few tokens there are no choices to make
        artifacts["late_ms"], _ = bench.compile(key, f"{name}-late", "--max-batch", len(lengths), "--max-seq", width, "--disable=choose-tokens-early")
    medians, each = bench.ms_in_turn(artifacts, inputs)
    found = {"what": f"{MODELS[key].what} fp16, {tokens}", "rows": len(lengths), "compile_seconds": seconds, **medians, "each_ms": each,
             "floor_ms": bench.floor_ms(key, lengths), "profile": bench.profile(artifact, inputs)}  # fmt: skip
    if not bench.options.no_peers:
        found["peers"] = bench.peers(name, bench.folder(key), inputs)
    return found


def sample_of(bench, key, width):
    """A file with texts of random tokens, from which scales of 8 bits follow."""
    draw, sample = random.Random(5), bench.work / "sample.txt"
    sample.write_text("".join(" ".join(str(draw.randrange(5, MODELS[key].vocab)) for _ in range(min(length, width))) + "\n" for length in SAMPLE))
    return sample


def fp8(bench):
    """E1 with products of 8 bits, by scales of each token and by those of a sample, beside fp16 in the same run."""
    key, lengths, width = batches(bench.options.tiny)["e1"]
    sizes = ("--max-batch", len(lengths), "--max-seq", width)
    inputs, sample = bench.inputs("fp8", key, lengths, width), sample_of(bench, key, width)
    artifacts = {"fp16": bench.compile(key, "fp8-none", *sizes)[0]}
    found, exact = {"fp16": {}}, bench.logits(artifacts["fp16"], inputs).astype(np.float64)
    for how, flags in {"a token's own scales": (), "calibrated scales": (f"--calibrate={sample}",)}.items():
        artifacts[how], seconds = bench.compile(key, f"fp8-{len(flags)}", "--quantise=fp8", *flags, *sizes)
        logits = bench.logits(artifacts[how], inputs).astype(np.float64)
        cosines = (logits * exact).sum(1) / np.linalg.norm(logits, axis=1) / np.linalg.norm(exact, axis=1)
        found[how] = {"compile_seconds": seconds, "error": float(np.linalg.norm(logits - exact) / np.linalg.norm(exact)),
                      "cosine_mean": float(cosines.mean()), "cosine_least": float(cosines.min()),
                      "agree": float((logits.argmax(1) == exact.argmax(1)).mean()), "profile": bench.profile(artifacts[how], inputs)}  # fmt: skip
    medians, each = bench.ms_in_turn(artifacts, inputs)
    for how, form in found.items():
        form |= {"ms": medians[how], "each_ms": each[how]}
    return {"what": f"{MODELS[key].what}, {len(lengths)} x {width}, {sum(lengths)} of them valid", "forms": found}


def heads(bench):
    """Transom and the naive path on the same weights and batches: time, logits; a profile of the large batch."""
    key, longest = ("tiny-xlmr", 64) if bench.options.tiny else ("xlmr", 256)
    artifact, _ = bench.compile(key, "heads", "--max-batch", 3, "--max-seq", longest)
    found, profile = [], []
    for name, lengths in HEADS.items():
        lengths = [min(length, longest) for length in lengths]
        inputs = bench.inputs(f"heads-{name}", key, lengths)
        peers, logits = bench.peers("heads", bench.folder(key), inputs), bench.logits(artifact, inputs)
        reference = np.array(peers["logits_f32"])

        def error(values, reference=reference):
            return float(np.linalg.norm(np.array(values) - reference) / np.linalg.norm(reference))

        found.append({"batch": name, "lengths": lengths, "ms": bench.ms(artifact, inputs), "naive_ms": peers["naive_ms"], "error": error(logits),
                      "naive_error": error(peers["logits_f16"])})  # fmt: skip
        profile = bench.profile(artifact, inputs)
    return {"what": f"{MODELS[key].what} fp16 with a head for two classes", "batches": found, "profile": profile}


def pad(bench):
    """With remove-padding and without: time while valid tokens grow in one padded size, and while padding grows around as many."""
    key, rows, mean = ("tiny-xlmr", 16, 4) if bench.options.tiny else ("xlmr", 256, 32)
    longest = 10 * mean
    artifacts = {variant: bench.compile(key, f"padding-{len(flags)}", "--max-batch", rows, "--max-seq", longest, *flags)[0]
                 for variant, flags in padding.VARIANTS.items()}  # fmt: skip
    cases = [("valid", lengths) for lengths in padding.by_valid_tokens(rows, longest, [longest * share // 20 for share in (1, 2, 5, 10, 15, 20)])]
    padded = [round(mean / (1 - share)) for share in (0, 0.25, 0.5, 0.7, 0.8, 0.9)]
    cases += [("padding", lengths) for lengths in padding.by_padding(rows, rows * mean, padded)]
    found = padding.sweep(cases, lambda variant, name, lengths: bench.ms(artifacts[variant], bench.inputs(name, key, lengths)))
    return {"what": f"{MODELS[key].what} fp16, batches of {rows}", "cases": found}


def invariant(bench):
    """With --batch-invariant and without: a batch of ragged rows, and rows alone."""
    key, lengths, width = batches(bench.options.tiny)["e1"]
    sizes = ("--max-batch", len(lengths), "--max-seq", width)
    plain, mode = (bench.compile(key, f"invariant-{len(flags)}", *sizes, *flags)[0] for flags in ((), ("--batch-invariant",)))
    found = []
    for name, rows in (("E1's batch", lengths), ("one row of 32", [32]), (f"one row of {width}", [width])):
        inputs = bench.inputs(f"invariant-{len(rows)}-{rows[0]}", key, rows)
        found.append({"batch": name, "ms": bench.ms(mode, inputs), "plain_ms": bench.ms(plain, inputs)})
    return {"what": f"{MODELS[key].what} fp16, compiled for {len(lengths)} x {width}", "batches": found}


WORK = {"e1": lambda bench: encode(bench, "e1"), "e2": lambda bench: encode(bench, "e2"), "e3": lambda bench: encode(bench, "e3"),
        "fp8": fp8, "heads": heads, "padding": pad, "invariant": invariant}  # fmt: skip


# -- the command --------------------------------------------------------------------------------------------------------


def bench_all(options):
    if options.tiny:
        machine = {"date": datetime.date.today().isoformat(), "gpu": f"tiny, {cpu_name()}", "driver": "none", "target": "cpu", "commit": "none",
                   "command": sys.argv}  # fmt: skip
        options.device, options.out = "cpu", options.work
        options.only = [name for name in options.only if name != "invariant"]  # there is no such mode on a CPU
    else:
        machine = describe(options)
    options.target = options.target or machine["target"]
    bench = EncoderBench(options)
    bench.figures["ceilings"] = ceilings(bench, *(["--tiny"] if options.tiny else []))
    if "layer_flops_per_s" not in bench.figures["ceilings"]:
        raise BenchError(f"ceilings: no product at XLM-R large's shapes: {'; '.join(bench.notes) or 'no reason given'}")
    measure(bench, WORK, SECONDS)
    code, stem = publish(bench, machine, "bench/encoders.py", "-encoders", tables(bench.figures, machine), profile_text(bench.figures, PROFILED))
    if "padding" in bench.figures:
        found = bench.figures["padding"]
        Path(stem + ".svg").write_text(padding.plot(found["cases"], f"{found['what']}, {machine['gpu']}, {machine['date']}"), encoding="utf-8")
    return code


def main():
    options = options_of(__doc__.splitlines()[0], WORK,
                         ("--work", {"default": str(ROOT / "build" / "bench-encoders"), "help": "models and artifacts: 8 GB"}),
                         ("--tiny", {"action": "store_true", "help": "tries the program on a CPU with small models; results go to --work"}))  # fmt: skip
    if not options.tiny and shutil.which("nvidia-smi") is None:
        print("encoders: skipped, this machine has no NVIDIA driver")
        return 77
    try:
        return bench_all(options)
    except (BenchError, OSError, subprocess.SubprocessError) as error:
        print(f"encoders: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
