#!/usr/bin/env python3
"""Transom on one GPU against its peers and the ceilings of that GPU, all measured in one run: decoders D1 to D3, prefill D4,
attention A1, compiling and loading C1 to C3, batches and cache lengths. Random weights in the named shapes.

A target was set on one H100, as a figure and a floor there (bytes or operations over its ceiling). On any GPU it is met where the
figure is as near to this run's floor as the target was to its own; the H100's figure stands beside. Writes <date>-<gpu>.md and
.json into --out; --readme also puts the tables between the markers of README.md. Needs torch, transformers, NumPy and, for
A1, the kernel lab (nvcc builds it where --lab names none).
"""

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gpu_models import SHAPES
from gpu_tables import missed_text, profile_text, tables
from peers import HERE, ROOT, BenchError, slug, write_readme

MARKERS = ("<!-- gpu:begin -->", "<!-- gpu:end -->")
WORKLOADS = ("d1", "c", "d3", "d2", "d4", "a1")
PROMPTS = {"d1": (128, 128), "d2": (128, 64), "d3": (32, 64), "d4": (4096, 2)}  # tokens, and new ones
BATCHES = (2, 4, 8, 16, 32)
LENGTHS = (128, 1024, 4000, 16000)
SECONDS = {"d1": 200, "d2": 150, "d3": 90, "d4": 110, "a1": 150, "c": 60}  # at most, each
TOP = 8  # kernels of a profile


def last_line(text):
    return (text.strip().splitlines() or ["no reason given"])[-1]


class Bench:
    """What the workloads share: commands under time limits, figures, the ceilings of this run."""

    shapes, models_script, peers_script = SHAPES, "gpu_models.py", "gpu_peers.py"

    def __init__(self, options):
        self.options, self.work = options, Path(options.work)
        self.started = time.monotonic()
        self.ends = self.started + options.budget
        self.limit = self.ends
        self.figures, self.notes = {}, []
        self.work.mkdir(parents=True, exist_ok=True)

    def run(self, words, what, environment=None):
        """(standard output, seconds) of a command that ends within the workload's time."""
        left = self.limit - time.monotonic()
        if left < 2:
            raise BenchError(f"{what}: not run, the time of its workload was over")
        begin = time.monotonic()
        try:
            done = subprocess.run([str(word) for word in words], capture_output=True, text=True, errors="replace", timeout=left,
                                  stdin=subprocess.DEVNULL, env={**os.environ, **(environment or {})})  # fmt: skip
        except subprocess.TimeoutExpired as late:
            self.notes.append(f"{what}: stopped, the time of its workload was over")
            return (late.stdout or b"").decode(errors="replace"), time.monotonic() - begin
        if done.returncode != 0:
            raise BenchError(f"{what}: exit code {done.returncode}: {last_line(done.stderr)}")
        return done.stdout, time.monotonic() - begin

    def json_of(self, words, what):
        text, _ = self.run(words, what)
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            raise BenchError(f"{what}: expected JSON, found {last_line(text)[:80]!r}") from None

    def peers(self, *words):
        """All figures that the peers' script gave before its time was over."""
        figures = {}
        for line in self.run([sys.executable, HERE / self.peers_script, *words], f"peers of {words[0]}")[0].splitlines():
            if line.startswith("{"):
                figures |= json.loads(line)
        self.notes += [f"{words[0]}: {key}: {value}" for key, value in figures.items() if key.endswith("_error")]
        return figures

    def folder(self, key, seed=1):
        """A model's folder, made if it is missing."""
        folder = self.work / (key if seed == 1 else f"{key}-seed{seed}")
        if not (folder / "model.safetensors").is_file():
            self.run([sys.executable, HERE / self.models_script, key, folder, seed], f"model of {key}")
        return folder

    def compile(self, key, name, *sizes, seed=1, environment=None):
        """(artifact, seconds)."""
        artifact, shape = self.work / f"{name}.transom", self.shapes[key]
        words = [self.options.transom, "compile", self.folder(key, seed), "-o", artifact, f"--target={self.options.target}",
                 f"--dtype={shape.dtype}", "--no-tokenizer", "--quiet", *sizes, *self.options.flags]  # fmt: skip
        return artifact, self.run(words, f"compile {name}", environment)[1]

    def forget(self, key):
        """Deletes the largest models when they are measured: together they need 60 GB."""
        if key in ("d2", "d4") and not self.options.keep:
            shutil.rmtree(self.work / key, ignore_errors=True)
            (self.work / f"{key}.transom").unlink(missing_ok=True)

    def transom(self, artifact, prompt, new, batch=1, *more):
        words = [self.options.transom, "bench", artifact, f"--device={self.options.device}", "--json", "--prompt-tokens", prompt,
                 "--new-tokens", new, "--batch", batch, "--repeat", self.options.repeat]  # fmt: skip
        return self.json_of([*words, *more], f"bench {artifact.stem} batch {batch} prompt {prompt}")

    def step_ms(self, artifact, prompt, new, batch=1):
        return 1e3 * batch / self.transom(artifact, prompt, new, batch)["decode_tokens_per_s"]

    def floor_ms(self, key, batch, cache):
        """Of one decode step: bytes over the read ceiling, or operations over the product's where those take longer."""
        shape, ceilings = SHAPES[key], self.figures["ceilings"]
        bytes_ms = shape.decode_bytes(batch, cache) / ceilings["read_bytes_per_s"]
        flops_ms = 2 * batch * (shape.layers * shape.layer_numbers + shape.vocab * shape.hidden) / ceilings["matmul_flops_per_s"]
        return max(bytes_ms, flops_ms) * 1e3

    def profile(self, *request):
        """The kernels that take longest in what `transom` measures; nothing where this artifact or device has no profile."""
        try:
            steps = self.transom(*request, "--profile").get("profile", [])
        except BenchError as error:
            self.notes.append(str(error))
            return []
        return steps[:TOP]


# -- workloads: each returns its figures --------------------------------------------------------------------------------


def ceilings(bench, *words):
    bench.limit = bench.started + 60
    found = bench.peers("ceilings", *words)
    products = [rate for name, rate in found.items() if name.startswith("matmul_") and name.endswith("_flops_per_s")]
    if len(products) < 2 or not {"copy_bytes_per_s", "read_bytes_per_s"} <= set(found):
        raise BenchError(f"ceilings: expected copy, read and two products, found {', '.join(found) or 'nothing'}")
    found["matmul_flops_per_s"] = max(products)
    if bench.options.lab and Path(bench.options.lab).is_file():
        text, _ = bench.run([bench.options.lab, "time", "ceilings"], "lab time ceilings")
        for line in text.splitlines():
            if line.startswith("read ceiling") and float(line.split()[2]) * 1e12 > found["read_bytes_per_s"]:
                found |= {"read_bytes_per_s": float(line.split()[2]) * 1e12, "read_by": "the kernel lab"}
    # Memory moves as fast when it is read as when it is copied, so the better of both is the ceiling.
    if found["copy_bytes_per_s"] > found["read_bytes_per_s"]:
        found |= {"read_bytes_per_s": found["copy_bytes_per_s"], "read_by": "copy"}
    return found


def decode(bench, key):
    """One row, decode: Transom, its floor, the peers; and a profile."""
    prompt, new = PROMPTS[key]
    most = {"d1": (1024, 16384), "d2": (256, 1024), "d3": (128, 256)}[key]
    artifact, seconds = bench.compile(key, key, "--max-batch", 1, "--max-seq", most[0], "--max-context", most[1])
    found = {"compile_seconds": seconds, "ms": bench.step_ms(artifact, prompt, new), "floor_ms": bench.floor_ms(key, 1, prompt + new / 2)}
    found["profile"] = bench.profile(artifact, prompt, new, 1)
    if key == "d1":
        found["lengths"] = lengths(bench, artifact)
        found["batches"] = batches(bench)
    if not bench.options.no_peers:
        found["peers"] = bench.peers(key, "--prompt-tokens", prompt, "--new-tokens", new)
    return found


def lengths(bench, artifact):
    """ms a token over caches of several lengths, one artifact."""
    rows = []
    for length in LENGTHS:
        rows.append({"cache": length, "ms": bench.step_ms(artifact, length, 64), "floor_ms": bench.floor_ms("d1", 1, length + 32)})
    return rows


def batches(bench):
    """ms a step of several rows, from the artifact for the fewest rows that takes them: up to 16, or more."""
    rows = []
    for batch in BATCHES:
        most = 16 if batch <= 16 else max(BATCHES)
        artifact, _ = bench.compile("d1", f"d1-batch{most}", "--max-batch", most, "--max-seq", 128, "--max-context", 512)
        rows.append({"batch": batch, "ms": bench.step_ms(artifact, 128, 64, batch), "floor_ms": bench.floor_ms("d1", batch, 160)})
    return rows


def prefill(bench, key):
    tokens, new = PROMPTS[key]
    artifact, seconds = bench.compile(key, key, "--max-batch", 1, "--max-seq", tokens, "--max-context", tokens + 64)
    found = {"compile_seconds": seconds, "tokens_per_s": bench.transom(artifact, tokens, new)["prefill_tokens_per_s"]}
    found["floor_tokens_per_s"] = tokens * bench.figures["ceilings"]["matmul_flops_per_s"] / SHAPES[key].prefill_flops(tokens)
    found["profile"] = bench.profile(artifact, tokens, new, 1)
    if not bench.options.no_peers:
        found["peers"] = bench.peers(key, "--prompt-tokens", tokens)
    return found


def attention(bench):
    """TFLOP/s by shape: the best own kernel, cuDNN, FlashAttention-2."""
    lab = bench.options.lab or ROOT / "build" / "lab" / "lab"
    if not Path(lab).is_file():
        if shutil.which("nvcc") is None:
            raise BenchError("a1: expected --lab or nvcc, found neither")
        bench.run(["make", "-C", HERE / "cuda", f"-j{os.cpu_count()}"], "make of the lab")
    shapes = {}
    for words in ([lab, "time", "a1"], [sys.executable, HERE / "cuda" / "peers.py"]):
        for line in bench.run(words, f"{Path(words[0]).name} a1")[0].splitlines():
            name, rate = parse_attention(line)
            if name:
                shape, by = name
                shapes.setdefault(shape, {})[by] = max(rate, shapes.get(shape, {}).get(by, 0.0))
    if not shapes:
        raise BenchError("a1: the lab and peers.py printed no figure")
    return {"shapes": shapes}


def parse_attention(line):
    """((shape, by whom), TFLOP/s) of a line "A1 own D64 S2048 batch 8 heads 32 causal ...: 0.1 ms 400 TFLOP/s"; (None, 0) of others."""
    words = line.split()
    if len(words) < 10 or words[0] != "A1" or words[-1] != "TFLOP/s":
        return None, 0.0
    kind = "causal" if {"causal", "causal:"} & set(words) else "full"
    return (f"{words[2]} {words[3]} {kind}", words[1]), float(words[-2])


def compiling(bench):
    """C1 to C3 on the shape of D1."""
    with tempfile.TemporaryDirectory(prefix="transom-cache-") as cache:
        environment, sizes = {"TRANSOM_CACHE": cache}, ("--max-batch", 1, "--max-seq", 1024, "--max-context", 4096)
        bench.folder("d1"), bench.folder("d1", 2)
        _, cold = bench.compile("d1", "c1", *sizes, environment=environment)
        artifact, other = bench.compile("d1", "c1", *sizes, seed=2, environment=environment)
    first = [bench.options.transom, "generate", artifact, f"--device={bench.options.device}", "--tokens", "1,2,3", "-n", "1",
             "--ignore-eos", "--print-tokens"]  # fmt: skip
    bench.run(first, "first token")  # into the page cache
    times = [bench.run(first, "first token")[1] for _ in range(3)]
    found = {"cold_seconds": cold, "other_weights_seconds": other, "first_token_seconds": sorted(times)[1], "artifact_bytes": artifact.stat().st_size}
    library = library_of(bench.options)
    return {**found, "library_bytes": stripped_bytes(library)} if library else found


def library_of(options):
    if options.library:
        return Path(options.library)
    prefix = Path(options.transom).resolve().parent.parent
    return next(iter(sorted(prefix.glob("lib*/libtransom.so*"))), None)


def stripped_bytes(library):
    """Size of the library without symbols; as it is where there is no strip."""
    if shutil.which("strip") is None:
        return library.stat().st_size
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "library.so"
        shutil.copyfile(library, copy)
        subprocess.run(["strip", copy], capture_output=True, timeout=60)  # leaves it as it is where it fails
        return copy.stat().st_size


def measure(bench, work, seconds):
    """Fills bench.figures with what each function of `work` returns; one that fails or runs late becomes a note."""
    for name in bench.options.only:
        begin = time.monotonic()
        bench.limit = min(bench.ends, begin + seconds[name])
        try:
            bench.figures[name] = work[name](bench)
        except (BenchError, OSError, KeyError, ZeroDivisionError, subprocess.SubprocessError) as error:
            bench.notes.append(f"{name}: {error}" if not str(error).startswith(name) else str(error))
        bench.forget(name)
        print(f"{name}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)


# -- the command --------------------------------------------------------------------------------------------------------


def describe(options):
    """Of the first GPU and this tree."""
    names = ["name", "driver_version", "memory.total", "clocks.max.sm", "clocks.max.mem", "power.limit", "compute_cap"]
    query = ["nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader", "--id=0"]
    text = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30).stdout
    fields = dict(zip(names, (field.strip() for field in text.split(","))))
    major, _, minor = fields["compute_cap"].partition(".")
    commit = options.commit
    if not commit and shutil.which("git"):
        commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return {"date": datetime.date.today().isoformat(), "gpu": fields["name"], "driver": fields["driver_version"], "nvidia_smi": fields,
            "target": f"cuda:sm_{major}{minor}{'a' if int(major) >= 9 else ''}", "commit": commit or "unknown", "command": sys.argv}  # fmt: skip


def publish(bench, machine, script, suffix, table, appendix):
    """Prints the tables and what failed; writes <date>-<gpu><suffix>.md and .json into --out. Returns the exit code, 1 where a
    workload is missing, and the files' path without .md."""
    missed = missed_text(bench.notes)
    print(table + missed, end="")
    out = Path(bench.options.out)
    out.mkdir(parents=True, exist_ok=True)
    stem = str(out / f"{machine['date']}-{slug(machine['gpu'])}{suffix}")
    head = f"# {machine['gpu']}\n\n`{' '.join([script, *machine['command'][1:]])}`\n\n"
    Path(stem + ".md").write_text(head + table + missed + appendix, encoding="utf-8")
    everything = {"machine": machine, "figures": bench.figures, "notes": bench.notes}
    Path(stem + ".json").write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    return (1 if any(name not in bench.figures for name in bench.options.only) else 0), stem


def bench_all(options):
    machine = describe(options)
    options.target = options.target or machine["target"]
    bench = Bench(options)
    bench.figures["ceilings"] = ceilings(bench)
    work = {"d1": lambda bench: decode(bench, "d1"), "d2": lambda bench: decode(bench, "d2"), "d3": lambda bench: decode(bench, "d3"),
            "d4": lambda bench: prefill(bench, "d4"), "a1": attention, "c": compiling}  # fmt: skip
    measure(bench, work, SECONDS)
    table = tables(bench.figures, machine, PROMPTS)
    code, _ = publish(bench, machine, "bench/gpu.py", "", table, profile_text(bench.figures))
    if options.readme:
        write_readme(table, MARKERS)
    return code


def options_of(description, workloads, *more, peers=True):
    """The command line: options that all benchmarks on a GPU have, those of peers and their tables, and (name, settings) of more."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--transom", default=str(ROOT / "build" / "release" / "bin" / "transom"), help="the command")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(workloads), help=f"some of {','.join(workloads)}")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--target", help="what to compile for; without it this GPU")
    parser.add_argument("--flags", type=str.split, default=[], help="more options of transom compile in one word: --flags=--products=own")
    parser.add_argument("--repeat", type=int, default=5, help="rounds of each figure of Transom")
    parser.add_argument("--budget", type=float, default=530, help="seconds for all")
    parser.add_argument("--commit", help="what to name where this is not a git tree")
    if peers:
        parser.add_argument("--lab", help="the kernel lab, for its read ceiling; a1 without it: build/lab/lab, made if missing")
        parser.add_argument("--no-peers", action="store_true", help="Transom and the ceilings only")
        parser.add_argument("--out", default=str(HERE / "results"), help="a folder for the tables and the figures as JSON")
    for name, settings in more:
        parser.add_argument(name, **settings)
    options = parser.parse_args()
    unknown = set(options.only) - set(workloads)
    if unknown:
        parser.error(f"--only: expected some of {','.join(workloads)}, found {','.join(sorted(unknown))}")
    return options


def parse():
    return options_of(__doc__.splitlines()[0], WORKLOADS,
                      ("--library", {"help": "libtransom.so; without it the one beside the command"}),
                      ("--work", {"default": str(ROOT / "build" / "bench-gpu"), "help": "models and artifacts: 60 GB for all workloads"}),
                      ("--keep", {"action": "store_true", "help": "keep the largest models in --work: 60 GB"}),
                      ("--readme", {"action": "store_true", "help": "put the tables into README.md"}))  # fmt: skip


def main():
    options = parse()
    if shutil.which("nvidia-smi") is None:
        print("gpu: skipped, this machine has no NVIDIA driver")
        return 77
    try:
        return bench_all(options)
    except (BenchError, OSError, subprocess.SubprocessError) as error:
        print(f"gpu: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
