"""A reduced set of models under compute-sanitizer, for check_models.py --sanitize: odd shapes, every type, ragged batches, greedy
and sampled tokens, an encoder. One line for each tool; a command that did not end in its time is named, and fails.
"""

import re
import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
COMMAND_S = 150
FAULT = 86  # the exit code of compute-sanitizer where it found something
SUMMARY = re.compile(r"(?:ERROR SUMMARY: (\d+) error|RACECHECK SUMMARY: (\d+) hazard)")
DECODERS = {"llama-scaled-tied": "bf16", "llama-d16": "f32", "mistral": "f16", "qwen2": "f32", "glm": "bf16", "gpt2": "f16", "chatglm2": "bf16"}
ENCODERS = {"bert-Model": "f16", "roberta-ForSequenceClassification": "f32", "distilbert-ForMaskedLM": "bf16"}
LENGTHS = (1, 17, 45)
SAMPLED = ("--temperature", "0.8", "--top-k", "7", "--top-p", "0.9", "--seed", "5")


def commands(options, folder):
    """(name, words) of what runs under each tool; compiles the models."""
    import parity_models

    parity_models.quiet()
    rng = np.random.default_rng(9)

    def compiled(name, dtype, *sizes):
        source = parity_models.write(folder / f"{name}-{dtype}", parity_models.ALL[name], dtype)
        artifact = folder / f"{name}-{dtype}.transom"
        words = [options.transom, "compile", source, "-o", artifact, f"--target={options.target}", f"--dtype={dtype}", "--no-tokenizer", "--quiet", *options.flags]
        subprocess.run([str(word) for word in (*words, "--max-batch", len(LENGTHS), *sizes)], check=True, capture_output=True, text=True, timeout=COMMAND_S)
        return artifact

    with ThreadPoolExecutor(options.jobs) as pool:
        decoders = {name: pool.submit(compiled, name, dtype, "--max-seq", 32, "--max-context", 77) for name, dtype in DECODERS.items()}
        encoders = {name: pool.submit(compiled, name, dtype, "--max-seq", 51) for name, dtype in ENCODERS.items()}
    for i, (name, artifact) in enumerate(decoders.items()):
        prompts = folder / f"{name}.prompts"
        prompts.write_text("".join(",".join(map(str, rng.integers(3, parity_models.ALL[name].vocab, length))) + "\n" for length in LENGTHS))
        flags = SAMPLED if i % 2 else ()
        yield f"{name} {DECODERS[name]}", ["generate", artifact.result(), "--tokens-file", prompts, "--batch", 3, "-n", 4, "--ignore-eos", "--print-tokens", *flags]
    for name, artifact in encoders.items():
        model, given = parity_models.ALL[name], folder / f"{name}.npz"
        mask = (np.arange(51)[None, :] < np.array([[51], [1], [22]])).astype("<i4")
        types = {"token_type_ids": np.zeros_like(mask)} if model.types else {}
        np.savez(given, input_ids=rng.integers(3, model.vocab, mask.shape).astype("<i4"), attention_mask=mask, **types)
        yield f"{name} {ENCODERS[name]}", ["run", artifact.result(), "--input", given]


def sanitized(options, tool, words, limit):
    """Problem of one command under a tool, or None."""
    sanitizer = ["compute-sanitizer", "--tool", tool, "--error-exitcode", FAULT, options.transom, *words, f"--device={options.device}"]
    try:
        done = subprocess.run([str(word) for word in sanitizer], capture_output=True, text=True, errors="replace", timeout=limit, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return f"still running after {limit:.0f} s"
    text = done.stdout + done.stderr
    found = [int(a or b) for a, b in SUMMARY.findall(text)]
    if done.returncode == 0 and found and not any(found):
        return None
    first = next((line.strip("= ") for line in text.splitlines() if "=========" in line and re.search(r"Invalid|Race|hazard|Uninitialized|Barrier|Error", line)), None)
    reason = first or (done.stderr.strip().splitlines() or ["no summary"])[-1]
    return f"exit code {done.returncode}, {sum(found)} errors: {reason[:160]}"


def check_tool(options, report, lock, tool, work, ends):
    clean, problems = 0, []
    for name, words in work:
        limit = min(COMMAND_S, ends - time.monotonic())
        problem = "not run, the time was over" if limit < 1 else sanitized(options, tool, words, limit)
        clean += problem is None
        problems += [f"{name}: {problem}"] if problem else []
    with lock:
        report.case(f"compute-sanitizer {tool}", problems, f"{clean} of {len(work)} commands without an error")
        for problem in problems[4:]:
            print(f"     {problem}")


def check(options, report, folder):
    if shutil.which("compute-sanitizer") is None:
        report.case("compute-sanitizer", ["it was not found"])
        return
    ends = time.monotonic() + options.budget
    try:
        work = list(commands(options, folder))
    except subprocess.CalledProcessError as error:
        report.case("compute-sanitizer", [f"compile: {(error.stderr.strip().splitlines() or ['no reason given'])[-1]}"])
        return
    if options.only:
        work = [one for one in work if one[0].split()[0] in options.only]
    lock = threading.Lock()
    with ThreadPoolExecutor(len(TOOLS)) as pool:
        for done in [pool.submit(check_tool, options, report, lock, tool, work, ends) for tool in TOOLS]:
            done.result()
