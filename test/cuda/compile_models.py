#!/usr/bin/env python3
"""The CUDA compiler on whole models, without a GPU; needs NVRTC and NumPy. Where NVRTC is missing it says so and exits 77.

1. Tiny models of every architecture, encoders with every head, and the two real ones, compile: in bf16 for sm_80 and sm_90a, some for
   every GPU architecture and with more rows at once, and in f32 and f16 for sm_90a. A second compile gives the same bytes, and the
   artifact verifies.
2. The same without a kernel kept from the compile before, for some of them: NVRTC gives the same bytes too.
3. Kernels of models of real sizes, of which only the shapes exist, keep their numbers in registers on sm_90a, but for
   those that SPILLED lists, and wgmma runs beside other instructions; of encoders also those of products in 8 bits.

Prints a line for each case; the last one is "compile_models: N passed, M failed".
"""

import argparse
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "test/e2e"))

import tiny_architectures  # noqa: E402
import tiny_models  # noqa: E402
from compile_kernels import ARCHITECTURES, MOST_SPILLED, compile_one, load_nvrtc, waits_for_products  # noqa: E402
from harness import MINILM, SMOLLM2  # noqa: E402

EVERY = ",".join(f"cuda:{name}" for name in ARCHITECTURES)
TWO = "cuda:sm_80,cuda:sm_90a"  # what lies between has the library's kernels of sm_80
WIDE = ("llama", "gpt2", "bertModel", "SmolLM2")  # compiled for all, with kernels for one, two, four and five rows
TIMEOUT_S = 600
UNKEPT = ("llama", "xlm-robertaForSequenceClassification")  # compiled twice without a cache

# Kernels of real models that keep some numbers outside registers: (model, kernel) -> bytes stored and loaded at most.
SPILLED = {
    # 128 sums, and where each row's keys and values go.
    ("ChatGLM2-6B", "add_rotary_cache_append_32x128_product"): 104,
    ("GPT-2", "add_cache_append_768_product"): 80,
    # 192 sums of 240 registers, and the partner's columns.
    ("ChatGLM2-6B", "silu_13696_product"): 28,
    ("Llama-3.2-1B", "silu_8192_product"): 28,
    # 16 sums, 64 registers of x, and of two results the angle and where they go.
    ("ChatGLM2-6B", "add_rotary_cache_append_32x128_skinny_m32"): 36,
    # 128 sums beside 64 registers of the tile before, and where its rows go, in two types of 8 bits' products.
    **{(model, f"{what}_{width}_norm{more}"): most for model, width in (("BERT-base", 768), ("XLM-R-large", 1024))
       for what, most in (("add_layer_norm", 184), ("mul_layer_norm", 144), ("mul_layer_norm_round_e4m3", 228)) for more in ("", "_1", "_2")},
    # 64 registers of weights, 32 sums, and what the norm's rows need.
    ("XLM-R-large", "gelu_4096_chain"): 32,
    ("XLM-R-large", "gelu_4096_chain_1"): 32,
    ("XLM-R-large", "add_layer_norm_1024_chain_1"): 12,
}


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def case(self, name, problem=None, detail=""):
        self.passed, self.failed = self.passed + (not problem), self.failed + bool(problem)
        print(f"{'FAIL' if problem else 'ok  '} {name}{': ' if problem or detail else ''}{problem or detail}", flush=True)


# -- tiny models, from file to artifact ---------------------------------------------------------------------------


def run(words, cache=None):
    """A command's end: None where it succeeded, else what it said. `cache`: the folder of kernels compiled before; none without it."""
    environment = {name: value for name, value in os.environ.items() if name not in ("TRANSOM_CACHE", "XDG_CACHE_HOME", "HOME")}
    if cache:
        environment["TRANSOM_CACHE"] = str(cache)
    try:
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S,
                              stdin=subprocess.DEVNULL, env=environment)
    except subprocess.TimeoutExpired:
        return f"still running after {TIMEOUT_S} s"
    return None if done.returncode == 0 else f"exit code {done.returncode}: {done.stderr.strip()[-600:]}"


def compile_case(transom, folder, model, targets, dtype, batch, cache):
    """Compiles twice and verifies: a problem, or None."""
    one, two = folder / "one.transom", folder / "two.transom"
    for artifact in (one, two):
        words = [transom, "compile", model, "-o", artifact, f"--target={targets}", f"--dtype={dtype}", "--max-batch", batch, "--quiet"]
        problem = run(words, cache)
        if problem:
            return problem
    if one.read_bytes() != two.read_bytes():
        return "two compiles differ"
    return run([transom, "verify", one])


def tiny_cases(folder):
    """(name, model, targets, dtype, whether kernels are kept) of every compile."""
    models = {name: tiny_architectures.write(folder / name, architecture) for name, architecture in tiny_architectures.ALL.items()}
    for kind in ("Q4_K", "Q8_0"):
        models[f"llama-{kind}"] = folder / f"{kind}.gguf"
        tiny_models.llama_gguf(models[f"llama-{kind}"], tiny_models.WIDE, kind=kind)
    for name, model in models.items():
        yield name, model, EVERY if name in WIDE else TWO, "bf16", True
        for dtype in ("f32", "f16"):
            yield name, model, "cuda:sm_90a", dtype, True
    for name in UNKEPT:
        yield f"{name} without a cache", models[name], "cuda:sm_90a", "bf16", False
    yield "SmolLM2", SMOLLM2, EVERY, "f16", True
    yield "MiniLM", MINILM, TWO, "f32", True


def check_tiny(report, options, folder):
    cases = [case for case in tiny_cases(folder) if options.only in case[0]]

    def work(case):
        name, model, targets, dtype, kept = case
        with tempfile.TemporaryDirectory(dir=folder) as own:
            return compile_case(options.transom, Path(own), model, targets, dtype, 5 if targets == EVERY else 2, folder / "cache" if kept else None)

    with ThreadPoolExecutor(options.jobs) as pool:
        for (name, _, targets, dtype, _), problem in zip(cases, pool.map(work, cases)):
            report.case(f"{name} {dtype} for {targets.replace('cuda:', '')}", problem)


# -- real sizes ---------------------------------------------------------------------------------------------------


def real_models():
    """Architectures in the sizes of published models, with two layers each."""
    llama = dict(HIDDEN=2048, HEADS=32, KV_HEADS=8, HEAD_DIM=64, FEED_FORWARD=8192, VOCAB=128256, CONTEXT=8192)
    chatglm = dict(HIDDEN=4096, HEADS=32, KV_HEADS=2, HEAD_DIM=128, FEED_FORWARD=13696, VOCAB=65024, CONTEXT=8192)
    gpt2 = dict(HIDDEN=768, HEADS=12, KV_HEADS=12, HEAD_DIM=64, FEED_FORWARD=3072, VOCAB=50257, CONTEXT=1024)
    bert = dict(HIDDEN=768, HEADS=12, HEAD_DIM=64, FEED_FORWARD=3072, VOCAB=30522, CONTEXT=512)
    xlm = dict(HIDDEN=1024, HEADS=16, HEAD_DIM=64, FEED_FORWARD=4096, VOCAB=250002, CONTEXT=512)
    return {
        "Llama-3.2-1B": tiny_architectures.shaped(tiny_architectures.llama, sizes=llama),
        "ChatGLM2-6B": tiny_architectures.shaped(tiny_architectures.chatglm, sizes=chatglm),
        "GPT-2": tiny_architectures.shaped(tiny_architectures.gpt2, sizes=gpt2),
        "BERT-base": tiny_architectures.shaped(tiny_architectures.bert, sizes=bert),
        "XLM-R-large": tiny_architectures.shaped(tiny_architectures.xlm_roberta, sizes=xlm),
    }


def write_shapes(folder, architecture):
    """A model's folder whose file of weights is one hole behind its header: it takes no room on the disk."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(architecture.fields))
    header, at = {}, 0
    for name, shape in architecture.shapes:
        size = 2
        for extent in shape:
            size *= extent
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    os.truncate(path, 8 + len(text) + at)


# What stands between merge-projections and lower-to-plan: in 16 bits, and of encoders' products in 8, with scales of each token or given ones.
FUSION = ("-fuse-epilogue", "-fuse-norm", "-fuse-elementwise")
FORMS = {"": FUSION, " fp8": ("-quantise-products", *FUSION), " fp8, given scales": ("-quantise-products=scales=" + ",".join(["0.5"] * 8), *FUSION)}


def kernels_of(options, folder, name, architecture, form):
    """[(name, source)] of the model's kernels in bf16, those of Hopper's own products too."""
    model = folder / f"real-{name}"
    if not model.exists():
        write_shapes(model, architecture)
    graph = subprocess.run([options.transom, "inspect", model, "--stage=merge-projections"], capture_output=True, text=True, check=True)
    text = graph.stdout.replace("batch = [1, 1]", "batch = [1, 4]", 1)  # of decoders; encoders take 16
    opt = Path(options.transom).with_name("transom-opt")
    plan, graph_file = folder / f"{name}.plan", folder / f"{name}.mlir"
    graph_file.write_text(text)
    subprocess.run([opt, graph_file, *FORMS[form], "-lower-to-plan=activations=bf16", "-plan-memory", "-o", plan], check=True, capture_output=True)
    printed = subprocess.run([opt, "--print-cuda=own-products", plan], capture_output=True, text=True, check=True).stdout
    parts = re.split(r"^// (\w+) block \d+ shared \d+(?: stays \d+)?\n", printed.split("\n// program ")[0], flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2]))


def spills_of(nvrtc, headers, source):
    """(problem, bytes that ptxas stores outside registers and loads again) on sm_90a."""
    compiled, log = compile_one(nvrtc, headers, source, "sm_90a")
    spills = re.findall(r"(\d+) bytes spill", log)
    if not compiled or not spills or waits_for_products(log):
        return log.strip() or "no report of ptxas", 0
    return None, sum(map(int, spills))


def check_real(report, options, folder, nvrtc):
    headers = {path.name: path.read_text() for path in sorted((ROOT / "codegen/cuda/kernels").glob("*.cuh"))}
    jobs = []
    for model, architecture in real_models().items():
        for form in FORMS if not architecture.decoder else [""]:
            if options.only not in model + form:
                continue
            try:
                jobs += [(model + form, *kernel) for kernel in kernels_of(options, folder, model, architecture, form)]
            except subprocess.CalledProcessError as failed:
                report.case(f"{model}{form} has kernels", (failed.stderr or b"no reason")[-600:])
    # A kernel beside one for sm_90a never runs there: it need only compile.
    elsewhere = {(model, kernel.removesuffix("_sm90")) for model, kernel, _ in jobs if kernel.endswith("_sm90")}
    with ThreadPoolExecutor(options.jobs) as pool:
        for (model, kernel, _), (problem, spilled) in zip(jobs, pool.map(lambda job: spills_of(nvrtc, headers, job[2]), jobs)):
            most = SPILLED.get((model.split(" fp8")[0], kernel), MOST_SPILLED)
            if not problem and spilled > most and (model, kernel) not in elsewhere:
                problem = f"{spilled} bytes spilled, at most {most} are known"
            report.case(f"{model} {kernel} on sm_90a", problem, f"{spilled} bytes spilled")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transom", default=str(ROOT / "build/release/bin/transom"))
    parser.add_argument("--only", default="", help="models whose name contains this")
    parser.add_argument("--skip", choices=("tiny", "real"), help="leave this part out")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    nvrtc = load_nvrtc()
    if nvrtc is None:
        print("compile_models: skipped, libnvrtc was not found (TRANSOM_NVRTC names one)")
        return 77
    report = Report()
    with tempfile.TemporaryDirectory(prefix="transom-compile-models-") as scratch:
        if options.skip != "tiny":
            check_tiny(report, options, Path(scratch))
        if options.skip != "real":
            check_real(report, options, Path(scratch), nvrtc)
    print(f"compile_models: {report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


if __name__ == "__main__":
    sys.exit(main())
