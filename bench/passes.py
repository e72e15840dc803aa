#!/usr/bin/env python3
"""What each pass brings on this machine: SmolLM2 and a ragged MiniLM batch with every pass, then with one off at a time.

Which passes there are the tool says (`transom compile --list-passes`). A variant whose plans are those of all passes together
is not measured: the pass changes nothing there. Rounds go through all variants in turn, and the fastest counts: what else
runs on a machine, or beside a virtual one, only slows down, and by more than most passes bring. Writes
bench/results/<date>-passes-<cpu>.json; --readme also puts the table between the markers of README.md.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

from peers import GGUF, HERE, MINILM, ROOT, WORK, BenchError, cpu_name, run, slug, write_readme

MARKERS = ("<!-- passes:begin -->", "<!-- passes:end -->")
ALL = "all passes"
# The key in `transom bench --json`, the column's heading, and the model it is measured on.
FIGURES = [
    ("prefill_tokens_per_s", "SmolLM2, prefill of {prompt}, tokens/s", "smollm2"),
    ("decode_tokens_per_s", "SmolLM2, decode, tokens/s", "smollm2"),
    ("sentences_per_s", "MiniLM, 64 ragged sentences, sentences/s", "minilm"),
]


def passes(options):
    """The names of those that can be switched off."""
    lines = run([options.transom, "compile", "--list-passes"], "transom compile --list-passes").splitlines()
    return [line for line in lines if line and not line.endswith("(always)")]


def compile_variants(options, names):
    """(model, variant) -> the artifact and its plan as text."""
    models = {
        "smollm2": (GGUF, ["--max-context", 512, "--max-seq", options.prompt_tokens]),
        "minilm": (MINILM, ["--max-batch", 64, "--max-seq", 256]),
    }
    artifacts = {}
    for model, (source, sizes) in models.items():
        for variant in [ALL, *names]:
            artifact = WORK / f"passes-{model}-{slug(variant)}.transom"
            off = [] if variant == ALL else [f"--disable={variant}"]
            run([options.transom, "compile", source, "-o", artifact, "--quiet", *sizes, *off], f"compile of {model}, {variant}")
            artifacts[model, variant] = (artifact, run([options.transom, "inspect", artifact, "--plan"], "transom inspect"))
    return artifacts


def measure(options, artifacts):
    """(model, variant) -> the JSON of each round; only variants whose plan is one of their own."""
    results = {key: [] for key, (_, plan) in artifacts.items() if key[1] == ALL or plan != artifacts[key[0], ALL][1]}
    flags = {
        "smollm2": ["--prompt-tokens", options.prompt_tokens, "--new-tokens", options.new_tokens],
        "minilm": ["--input", options.sentences, "--batch", 64],
    }
    for number in range(options.rounds):
        for model, variant in results:
            command = [options.transom, "bench", artifacts[model, variant][0], "--json", "--threads", options.threads,
                       "--repeat", options.repeat, *flags[model]]
            results[model, variant].append(json.loads(run(command, f"bench of {model}, {variant}")))
            print(f"round {number + 1}/{options.rounds}: {model}, {variant} done", file=sys.stderr, flush=True)
    return results


def figure(results, key, model, variant):
    """The fastest of the rounds; None where the pass changes nothing."""
    rounds = results.get((model, variant))
    return max(row[key] for row in rounds) if rounds else None


def markdown(options, names, results, machine):
    heads = [head.format(prompt=options.prompt_tokens) for _, head, _ in FIGURES]
    lines = [f"| | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
    best = {key: figure(results, key, model, ALL) for key, _, model in FIGURES}
    lines.append(f"| {ALL} | " + " | ".join(f"{best[key]:.1f}" for key, _, _ in FIGURES) + " |")
    for name in names:
        cells = []
        for key, _, model in FIGURES:
            value = figure(results, key, model, name)
            cells.append("as above" if value is None else f"{value:.1f} ({value / best[key]:.2f}x)")
        lines.append(f"| without `{name}` | {' | '.join(cells)} |")
    lines += ["", f"{machine['cpu']}, {machine['threads']} threads of {machine['cores']}, {machine['date']}; fastest of "
              f"{machine['rounds']} interleaved rounds. \"As above\": without the pass the plan is the same."]
    return "\n".join(lines) + "\n"


def bench(options):
    for path in (GGUF, MINILM / "model.safetensors"):
        if not path.is_file():
            raise BenchError(f"{path}: no such file; fetch it with test/oracle/fetch_models.py")
    WORK.mkdir(parents=True, exist_ok=True)
    names = passes(options)
    artifacts = compile_variants(options, names)
    results = measure(options, artifacts)
    for artifact, _ in artifacts.values():
        artifact.unlink()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    machine = {"date": datetime.date.today().isoformat(), "cpu": cpu_name(), "cores": os.cpu_count(), "threads": options.threads,
               "rounds": options.rounds, "commit": commit}
    table = markdown(options, names, results, machine)
    everything = {
        "machine": machine,
        "fastest": {variant: {key: figure(results, key, model, variant) for key, _, model in FIGURES} for variant in [ALL, *names]},
        "rounds": [{"model": model, "variant": variant, "rounds": rounds} for (model, variant), rounds in results.items()],
    }
    target = HERE / "results" / f"{machine['date']}-passes-{slug(machine['cpu'])}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    print(table, end="")
    if options.readme:
        write_readme(table, MARKERS)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transom", default=ROOT / "build" / "release" / "bin" / "transom")
    parser.add_argument("--sentences", type=Path, default=HERE / "sentences.txt", help="one sentence a line")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--repeat", type=int, default=1, help="measured runs in each round, after a warm-up")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    options = parser.parse_args()
    try:
        bench(options)
    except (BenchError, OSError, ValueError, subprocess.TimeoutExpired) as error:
        print(f"passes: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
