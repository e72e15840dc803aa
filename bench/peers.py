#!/usr/bin/env python3
"""Measures Transom against its peers on this machine, in one run: SmolLM2 against llama.cpp (same GGUF file), MiniLM
against onnxruntime (same weights, fp32), with the same number of threads.

Every contender is a command that prints JSON; rounds go through all of them in turn, so that a slow spell of the machine
hits all alike, and the median over the rounds counts. Writes bench/results/<date>-<cpu>.{md,json}; --readme also puts the
table between the markers of README.md. Needs the packages of bench/requirements.txt.
"""

import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MODELS = ROOT / "build" / "models"
GGUF = MODELS / "smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
MINILM = MODELS / "minilm"
WORK = ROOT / "build" / "bench"
MARKERS = ("<!-- bench:begin -->", "<!-- bench:end -->")
TIMEOUT_S = 900


class BenchError(Exception):
    """A failure whose message is the one line that the user sees."""


def run(command, what):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode != 0:
        reason = (done.stderr.strip() or "no reason given").splitlines()
        raise BenchError(f"{what} exited with {done.returncode}: {reason[-1]}")
    return done.stdout


def compiled(options, given, source, name):
    """The artifact that was given, or one compiled from source now."""
    if given:
        return given
    artifact = WORK / name
    run([options.transom, "compile", source, "-o", artifact], "transom compile")
    return artifact


def contenders(options):
    """Name -> command, for all that take part."""
    threads, python = ["--threads", options.threads], sys.executable
    lengths = ["--prompt-tokens", options.prompt_tokens, "--new-tokens", options.new_tokens]
    onnx = WORK / "minilm.onnx"
    if not onnx.is_file():
        run([python, HERE / "minilm_onnx.py", MINILM, onnx], "minilm_onnx.py")
    peer = [python, HERE / "peer_onnxruntime.py", onnx, "--model", MINILM, "--input", options.sentences, *threads]
    commands = {
        "llama.cpp": [python, HERE / "peer_llama_cpp.py", GGUF, *lengths, *threads],
        "onnxruntime": peer + ["--batch", 64],
        "onnxruntime sorted": peer + ["--batch", 8, "--sort"],
    }
    if options.transom:
        smollm2 = compiled(options, options.smollm2, GGUF, "smollm2.transom")
        minilm = compiled(options, options.minilm, MINILM, "minilm.transom")
        bench = [options.transom, "bench"]
        commands["transom smollm2"] = bench + [smollm2, "--json", *lengths, *threads]
        commands["transom minilm"] = bench + [minilm, "--input", options.sentences, "--batch", 64, "--json", *threads]
    return commands


def in_turn(measures, rounds):
    """Name -> what it gave in each round. Rounds go through all: how fast a machine is follows from what ran before."""
    found = {name: [] for name in measures}
    for number in range(rounds):
        for name, measure in measures.items():
            found[name].append(measure())
            print(f"round {number + 1}/{rounds}: {name} done", file=sys.stderr, flush=True)
    return found


def measure(options):
    """Name -> the JSON of each round, in the order of the rounds."""

    def json_of(name, command):
        try:
            return json.loads(run(command, name))
        except json.JSONDecodeError as error:
            raise BenchError(f"{name}: printed something else than JSON: {error}") from None

    return in_turn({name: partial(json_of, name, command) for name, command in contenders(options).items()}, options.rounds)


def median(results, name, key):
    """The median over the rounds, or None for a contender that did not take part."""
    rows = results.get(name)
    if not rows:
        return None
    if any(not isinstance(row.get(key), (int, float)) for row in rows):
        raise BenchError(f"{name}: no number {key} in its JSON")
    return statistics.median(row[key] for row in rows)


def make_rows(options, results):
    """What is measured, Transom's figure, the peer's name, the peer's figure."""
    after = f"{options.new_tokens} tokens after {options.prompt_tokens}"
    lines = [
        (f"SmolLM2-135M Q4_1, decode, {after}", "tokens/s", "decode_tokens_per_s", "transom smollm2", "llama.cpp"),
        (f"SmolLM2-135M Q4_1, prefill of {options.prompt_tokens}", "tokens/s", "prefill_tokens_per_s", "transom smollm2", "llama.cpp"),
        ("MiniLM-L6 fp32, 64 sentences of 8 to 256 tokens, one batch", "sentences/s", "sentences_per_s", "transom minilm", "onnxruntime"),
        ("the same, the peer's input sorted into batches of 8", "sentences/s", "sentences_per_s", "transom minilm", "onnxruntime sorted"),
    ]
    return [
        {"what": what, "unit": unit, "transom": median(results, own, key), "peer": peer, "peer_figure": median(results, peer, key)}
        for what, unit, key, own, peer in lines
    ]


def markdown(rows, machine):
    lines = ["| measured | unit | Transom | peer | peer's figure | ratio |", "|---|---|---:|---|---:|---:|"]
    for row in rows:
        own, ratio = ("–", "–") if row["transom"] is None else (f"{row['transom']:.1f}", f"{row['transom'] / row['peer_figure']:.2f}x")
        lines.append(f"| {row['what']} | {row['unit']} | {own} | {machine['peers'][row['peer']]} | {row['peer_figure']:.1f} | {ratio} |")
    lines += ["", f"{machine['cpu']}, {machine['threads']} threads of {machine['cores']}, {machine['date']}; "
              f"median of {machine['rounds']} interleaved rounds, each with its own warm-up."]
    return "\n".join(lines) + "\n"


def cpu_name():
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match.group(1).strip() if match else platform.processor() or platform.machine()


def slug(text):
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def describe_machine(options, results):
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "rounds": options.rounds,
        "peers": {name: rows[0]["name"] for name, rows in results.items() if rows and not name.startswith("transom")},
    }


def write_readme(table, markers=MARKERS):
    """Puts the table between the markers of the top README.md."""
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    head, begin, rest = text.partition(markers[0])
    _, end, tail = rest.partition(markers[1])
    if not begin or not end:
        raise BenchError(f"README.md: expected the markers {markers[0]} and {markers[1]}")
    path.write_text(f"{head}{begin}\n{table}{end}{tail}", encoding="utf-8")


def bench(options):
    for path in (GGUF, MINILM / "model.safetensors"):
        if not path.is_file():
            raise BenchError(f"{path}: no such file; fetch it with test/oracle/fetch_models.py")
    WORK.mkdir(parents=True, exist_ok=True)
    results = measure(options)
    machine, rows = describe_machine(options, results), make_rows(options, results)
    table = markdown(rows, machine)
    target = HERE / "results" / f"{machine['date']}-{slug(machine['cpu'])}"
    target.parent.mkdir(exist_ok=True)
    target.with_suffix(".md").write_text(table, encoding="utf-8")
    everything = {"machine": machine, "rows": rows, "rounds": results}
    target.with_suffix(".json").write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    print(table, end="")
    if options.readme:
        write_readme(table)
    decode = rows[0]
    if options.least_decode and (decode["transom"] or 0) < options.least_decode * decode["peer_figure"]:
        raise BenchError(f"decode is under {options.least_decode}x {decode['peer']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transom", help="the transom command; without it only the peers are measured")
    parser.add_argument("--smollm2", type=Path, help="SmolLM2's artifact (default: compiled now)")
    parser.add_argument("--minilm", type=Path, help="MiniLM's artifact (default: compiled now)")
    parser.add_argument("--sentences", type=Path, default=HERE / "sentences.txt", help="one sentence a line")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--least-decode", type=float, help="fail if decode is under this share of llama.cpp's")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    options = parser.parse_args()
    try:
        bench(options)
    except (BenchError, OSError, subprocess.TimeoutExpired) as error:
        print(f"peers: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
