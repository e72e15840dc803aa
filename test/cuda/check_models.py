#!/usr/bin/env python3
"""Compiled models on one GPU against transformers on the same GPU, in fp32, fp16 and bf16: random-weight models of every
architecture, batch 1 and ragged batches, prompts of 1 to 700 tokens, 64 greedy tokens; encoders with each head; replays and
sessions in threads (replay.py); rows alone and in batches of artifacts made with --batch-invariant, bit for bit (invariance.py); encoders
with products of 8 bits against the CPU's form of them (on 9.0); with --smollm2 a GGUF file on GPU and CPU; with --sanitize a reduced set under compute-sanitizer
instead. Needs torch, transformers, NumPy; where those or a GPU are missing it says so and exits 77.

How a case is judged:
1. Reference: PyTorch in fp64 with the weights as the model's type holds them, fed with the tokens that Transom chose.
2. Logits of the prompt and of each step, and hidden states: the relative error |out - ref| / |ref| of every row is at most
   1e-5 (fp32), 2e-3 (fp16), 1e-2 (bf16), or 1.5 times the worst that transformers itself has there in that type.
3. Tokens: each is what transformers chooses in that type after the same tokens, and as its own generate() goes on. Otherwise
   the reference must have it within 6 times the bound times the root mean square of the logits: a near-tie, which is listed.
4. NaN and infinity never pass.

The last line is "check_models: N passed, M failed".
"""

import argparse
import concurrent.futures
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import sanitize
from capi import find_library

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
BOUNDS = {"f32": 1e-5, "f16": 2e-3, "bf16": 1e-2}
FP8_BOUND = 6e-2  # of products in 8 bits, GPU against CPU: rounding in 16 bits moves some numbers over a border of 8, and the tensor cores' sums have some 14 bits
FP8_COSINE = 0.995
SLACK = 1.5
TIE = 6.0
DEEP = 6.0  # more error for a real model of 30 layers with quantised weights, which is compared with fp32: each rounding counts 30 times, and prompts round the decoded weights too
INVARIANT = ("bert-Model", "xlm-r-ForSequenceClassification", "roberta-ForTokenClassification", "llama", "llama-d128", "mistral", "gpt2")
SINGLES, RAGGED = (1, 37, 700), (1, 130, 700, 33, 257)
ENCODED_RAGGED = (1, 130, 500, 33, 257)
ENCODED = {"batch 1": (37,), "a text": (19,), "few tokens": (7, 1, 21), "ragged 5": ENCODED_RAGGED}  # up to 32 tokens have kernels of their own
NEW, CONTEXT = 64, 768
TIMEOUT_S = 180


class CommandError(Exception):
    """A command failed; the message is its last line."""


class Report:
    """One line for each case; counts them."""

    def __init__(self):
        self.passed = self.failed = 0
        self.ties, self.worst = [], {}

    def case(self, name, problems, detail=""):
        self.passed, self.failed = self.passed + (not problems), self.failed + bool(problems)
        print(f"{'FAIL' if problems else 'ok  '} {name}: {detail}{'; ' if detail and problems else ''}{'; '.join(problems[:4])}", flush=True)

    def measured(self, kind, error):
        self.worst[kind] = max(self.worst.get(kind, 0.0), error)


def command(*words):
    """Standard output of a command."""
    words = [str(word) for word in words]
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise CommandError(f"{Path(words[0]).name} {words[1]}: exit code {done.returncode}: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    return done.stdout


def row_errors(got, want):
    """Relative error of each row (the last axis); infinite where a number is not finite."""
    got = np.asarray(got, np.float64)
    error = np.linalg.norm(got - want, axis=-1) / np.maximum(np.linalg.norm(want, axis=-1), 1e-30)
    return np.where(np.isfinite(got).all(axis=-1), error, np.inf)


# -- what Transom computes: run in threads, each a chain of processes -----------------------------------------------


def compile_model(options, source, artifact, dtype, target, *sizes):
    command(options.transom, "compile", source, "-o", artifact, f"--target={target}", f"--dtype={dtype}", "--no-tokenizer", "--quiet", *sizes, *options.flags)
    return artifact


def generated(options, artifact, prompts, batch, device, count=NEW):
    """Greedy tokens [prompts, count]."""
    file = artifact.with_suffix(f".{batch}.{device[:3]}.txt")
    file.write_text("".join(",".join(map(str, prompt)) + "\n" for prompt in prompts))
    text = command(options.transom, "generate", artifact, f"--device={device}", "--tokens-file", file, "--batch", batch, "-n", count,
                   "--ignore-eos", "--print-tokens")  # fmt: skip
    rows = [[int(word) for word in line.split()] for line in text.splitlines() if line.strip()]
    if [len(row) for row in rows] != [count] * len(prompts):
        raise CommandError(f"generate: expected {len(prompts)} rows of {count} tokens, found rows of {[len(row) for row in rows]}")
    return np.array(rows)


def fed(options, artifact, jobs, chunk, device):
    """Logits [rows, steps, vocab] of each job, given as (prompts, tokens to go on with)."""
    arrays = {}
    for name, (prompts, forced) in jobs.items():
        ids = np.zeros((len(prompts), max(map(len, prompts))), "<i4")
        for row, prompt in zip(ids, prompts):
            row[: len(prompt)] = prompt
        arrays |= {f"{name}.ids": ids, f"{name}.lengths": np.array([len(p) for p in prompts], "<i4"), f"{name}.forced": forced}
    given, out = (artifact.with_suffix(f".{device[:3]}.{end}.npz") for end in ("in", "out"))
    np.savez(given, **arrays)
    command(sys.executable, HERE / "feed_tokens.py", artifact, "--library", options.library, "--device", device, "--input", given,
            "--output", out, "--chunk", chunk)  # fmt: skip
    with np.load(out) as results:
        return {name: results[f"{name}.logits"] for name in jobs}


def decoder_outputs(options, model, dtype, folder, prompts):
    """group -> (tokens [rows, steps], logits [rows, steps, vocab])."""
    sizes = ("--max-batch", len(RAGGED), "--max-seq", model.max_seq, "--max-context", CONTEXT)
    artifact = compile_model(options, folder, folder.with_suffix(".transom"), dtype, options.target, *sizes)
    singles, ragged = prompts["batch 1"], prompts["ragged 5"]
    tokens = {"batch 1": generated(options, artifact, singles, 1, options.device), "ragged 5": generated(options, artifact, ragged, len(RAGGED), options.device)}
    jobs = {f"single{i}": ([prompt], tokens["batch 1"][i : i + 1]) for i, prompt in enumerate(singles)}
    logits = fed(options, artifact, {**jobs, "ragged": (ragged, tokens["ragged 5"])}, model.max_seq, options.device)
    return {"batch 1": (tokens["batch 1"], np.concatenate([logits[name] for name in jobs])), "ragged 5": (tokens["ragged 5"], logits["ragged"])}


def encoder_outputs(options, model, dtype, folder, inputs):
    """group -> outputs by name."""
    sizes = ("--max-batch", len(ENCODED_RAGGED), "--max-seq", model.max_seq)
    artifact = compile_model(options, folder, folder.with_suffix(".transom"), dtype, options.target, *sizes)
    results = {}
    for group, arrays in inputs.items():
        given, out = (artifact.with_suffix(f".{group.replace(' ', '-').replace(',', '')}.{end}.npz") for end in ("in", "out"))
        np.savez(given, **arrays)
        command(options.transom, "run", artifact, f"--device={options.device}", "--input", given, "--output", out)
        with np.load(out) as arrays:
            results[group] = {name: arrays[name] for name in arrays.files}
    return results


# -- inputs ---------------------------------------------------------------------------------------------------------


def decoder_prompts(model, rng):
    return {group: [rng.integers(3, model.vocab, length).tolist() for length in lengths] for group, lengths in (("batch 1", SINGLES), ("ragged 5", RAGGED))}


def encoder_inputs(model, rng):
    """group -> the model's inputs by name; rows padded on either side."""
    groups = {}
    for group, lengths in ENCODED.items():
        mask = (np.arange(max(lengths))[None, :] < np.array(lengths)[:, None]).astype("<i4")
        for side in ("right", "left")[: len(lengths)]:
            mask = mask if side == "right" else mask[:, ::-1].copy()
            ids = np.where(mask, rng.integers(3, model.vocab, mask.shape), model.fields["pad_token_id"]).astype("<i4")
            given = {"input_ids": ids, "attention_mask": mask}
            if model.types:
                given["token_type_ids"] = rng.integers(0, model.types, mask.shape).astype("<i4") * mask
            groups[group if len(lengths) == 1 else f"{group}, padded {side}"] = given
    return groups


# -- judging --------------------------------------------------------------------------------------------------------


class Judge:
    def __init__(self, options, report):
        import parity_models  # needs torch, which a run of --sanitize or one that is skipped does not

        self.options, self.report, self.models = options, report, parity_models
        self.torch_device = "cpu" if options.device == "cpu" else options.device

    def references(self, folder, model, dtype):
        torch = self.models.torch
        return (self.models.load(folder, model, wanted, self.torch_device) for wanted in (torch.float64, self.models.DTYPES[dtype]))

    def judge_row(self, name, tokens, logits, exact, same, limit):
        """Problems of one row: each argument is by step."""
        problems = []
        errors = row_errors(logits, exact)
        if not errors.max() <= limit:
            step = int(errors.argmax())
            problems.append(f"{name}, logits of step {step}: relative error {errors[step]:.2e}, more than {limit:.1e}")
        for step in np.flatnonzero(tokens != same.argmax(axis=1)):
            problems += self.near_tie(f"{name}, step {step}", exact[step], int(tokens[step]), int(same[step].argmax()), limit)
        return problems

    def near_tie(self, name, exact, found, expected, limit):
        """Lists a token that another may replace; a problem where the reference tells them apart. `limit`: relative."""
        rms = float(np.sqrt(np.mean(np.square(exact))))
        gap = (float(exact.max()) - float(exact[found])) / rms if 0 <= found < len(exact) else np.inf
        if gap <= TIE * limit:
            self.report.ties.append(f"{name}: token {found} beside {expected}, behind the best by {gap:.1e} of the logits' root mean square, bound {TIE * limit:.1e}")
            return []
        return [f"{name}: expected token {expected}, found {found}, behind the best by {gap:.1e} of the logits' root mean square"]

    def judge_generate(self, name, tokens, exact, own, limit):
        """Problems of a row against the tokens of the framework's own generation."""
        differs = np.flatnonzero(tokens != np.array(own))
        if not differs.size:
            return []
        step = int(differs[0])
        return self.near_tie(f"{name}, generate() from step {step}", exact[step], int(tokens[step]), own[step], limit)

    def decoder(self, model, dtype, folder, prompts, outputs):
        exact_model, same_model = self.references(folder, model, dtype)
        for group, (tokens, logits) in outputs.items():
            rows = list(zip(prompts[group], tokens.tolist()))
            if not (0 <= tokens.min() and tokens.max() < model.vocab):
                self.report.case(f"{model.name} {dtype} {group}", [f"tokens outside the vocabulary of {model.vocab}: {tokens.min()}, {tokens.max()}"])
                continue
            exact, same = ([self.models.next_logits(made, *row, self.torch_device) for row in rows] for made in (exact_model, same_model))
            framework = max(float(row_errors(a, b).max()) for a, b in zip(same, exact))
            limit = max(BOUNDS[dtype], SLACK * framework)
            before, problems = len(self.report.ties), []
            for i, (prompt, _) in enumerate(rows):
                name = f"{model.name} {dtype} {group}, prompt of {len(prompt)}"
                problems += self.judge_row(name, tokens[i], logits[i], exact[i], same[i], limit)
                own = self.models.generate(same_model, prompt, NEW, self.torch_device) if group == "batch 1" else None
                problems += self.judge_generate(name, tokens[i], exact[i], own, limit) if own else []
            worst = max(float(row_errors(logits[i], exact[i]).max()) for i in range(len(rows)))
            self.report.measured(f"decoders {dtype}", worst)
            ties = len(self.report.ties) - before
            self.report.case(f"{model.name} {dtype} {group}", problems, f"{tokens.size} tokens, {ties} near-ties; logits off by {worst:.1e} (transformers {framework:.1e}, bound {limit:.1e})")

    def encoder(self, model, dtype, folder, inputs, outputs):
        exact_model, same_model = self.references(folder, model, dtype)
        for group, given in inputs.items():
            exact, same = (self.models.encode(made, given, self.torch_device) for made in (exact_model, same_model))
            got, details, problems = outputs[group], [], []
            if set(got) != set(exact):
                problems.append(f"expected outputs {sorted(exact)}, found {sorted(got)}")
            for name in sorted(set(got) & set(exact)):
                # The first place of a row padded on the left holds padding, of which a model may compute anything.
                if exact[name].ndim == 2 and group.endswith("left"):
                    continue
                if got[name].shape != exact[name].shape:
                    problems.append(f"{name}: expected shape {exact[name].shape}, found {got[name].shape}")
                    continue
                found, wanted, framework = (value[given["attention_mask"] != 0] if value.ndim == 3 else value for value in (got[name], exact[name], same[name]))
                framework = float(row_errors(framework, wanted).max())
                worst, limit = float(row_errors(found, wanted).max()), max(BOUNDS[dtype], SLACK * framework)
                self.report.measured(f"encoders {dtype}", worst)
                details.append(f"{name} off by {worst:.1e} (transformers {framework:.1e}, bound {limit:.1e})")
                if not worst <= limit:
                    problems.append(f"{name}: relative error {worst:.2e}, more than {limit:.1e}")
            self.report.case(f"{model.name} {dtype} {group}", problems, ", ".join(details))


def check_parity(options, report, folder):
    judge = Judge(options, report)
    judge.models.quiet()
    chosen = [model for model in judge.models.ALL.values() if not options.only or model.name in options.only]
    pending = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for seed, model in enumerate(chosen):
            rng = np.random.default_rng(seed)
            inputs = (decoder_prompts if model.decoder else encoder_inputs)(model, rng)
            for dtype in options.dtypes:
                source = judge.models.write(folder / f"{model.name}-{dtype}", model, dtype, seed + 1)
                work = decoder_outputs if model.decoder else encoder_outputs
                pending.append((model, dtype, source, inputs, pool.submit(work, options, model, dtype, source, inputs)))
        for model, dtype, source, inputs, future in pending:
            try:
                (judge.decoder if model.decoder else judge.encoder)(model, dtype, source, inputs, future.result())
            except (CommandError, subprocess.TimeoutExpired, OSError, KeyError, ValueError, RuntimeError) as error:
                for group in inputs:
                    report.case(f"{model.name} {dtype} {group}", [str(error)])
    for kind, error in sorted(report.worst.items()):
        print(f"worst relative error, {kind}: {error:.2e}")


def check_smollm2(options, report, folder):
    """A GGUF file: tokens and logits of the GPU against those of the CPU, from one artifact."""
    judge = Judge(options, report)
    rng = np.random.default_rng(3)
    prompts = [rng.integers(3, 49152, length).tolist() for length in (5, 131, 300)]
    for dtype in options.dtypes:
        name, problems, limit = f"smollm2 {dtype}, GPU against CPU", [], DEEP * BOUNDS[dtype]
        try:
            artifact = compile_model(options, options.smollm2, folder / f"smollm2-{dtype}.transom", dtype, f"{options.target},cpu", "--max-batch", 3, "--max-seq", 256, "--max-context", 512)
            gpu, cpu = (generated(options, artifact, prompts, 3, device) for device in (options.device, "cpu"))
            logits = [fed(options, artifact, {"all": (prompts, gpu)}, 256, device)["all"] for device in (options.device, "cpu")]
        except (CommandError, subprocess.TimeoutExpired, OSError) as error:
            report.case(name, [str(error)])
            continue
        exact = logits[1].astype(np.float64)
        worst, before = float(row_errors(logits[0], exact).max()), len(report.ties)
        for row in range(len(prompts)):
            problems += judge.judge_row(f"{name}, row {row}", gpu[row], logits[0][row], exact[row], exact[row], limit)
            problems += judge.judge_generate(f"{name}, row {row}", gpu[row], exact[row], cpu[row].tolist(), limit)
        report.case(name, problems, f"{gpu.size} tokens, {len(report.ties) - before} near-ties; logits off by {worst:.1e} (bound {limit:.1e})")


def check_fp8(options, report, folder):
    """Products of 8 bits by scales of each token and by calibrated ones: the GPU against the CPU, from one artifact."""
    import parity_models

    rng = np.random.default_rng(4)
    encoders = [model for model in parity_models.ALL.values() if not model.decoder and (not options.only or model.name in options.only)]
    for model in encoders:
        source, given = parity_models.write(folder / f"{model.name}-fp8", model, "f16", 5), encoder_inputs(model, rng)["ragged 5, padded right"]
        sample, tensors = folder / f"{model.name}-sample.txt", folder / f"{model.name}-fp8.npz"
        sample.write_text("".join(" ".join(map(str, rng.integers(3, model.vocab, length))) + "\n" for length in (17, 200, 60, 5)))
        np.savez(tensors, **given)
        calibrated = f"--calibrate={sample}"
        own = [] if any(flag.startswith("--products") for flag in options.flags) else [("calibrated, own products", (calibrated, "--products=own"))]
        for how, flags in (("a token's own scales", ()), ("calibrated", (calibrated,)), *own):
            name, problems, details = f"{model.name} fp8, {how}, GPU against CPU", [], []
            try:
                artifact = compile_model(options, source, folder / f"{model.name}-fp8.transom", "f16", f"{options.target},cpu", "--max-batch", len(ENCODED_RAGGED),
                                         "--max-seq", model.max_seq, "--quantise=fp8", *flags)  # fmt: skip
                found = {}
                for device in (options.device, "cpu"):
                    out = artifact.with_suffix(f".{device[:3]}.npz")
                    command(options.transom, "run", artifact, f"--device={device}", "--input", tensors, "--output", out)
                    with np.load(out) as arrays:
                        found[device] = {key: arrays[key].astype(np.float64) for key in arrays.files}
            except (CommandError, subprocess.TimeoutExpired, OSError) as error:
                report.case(name, [str(error)])
                continue
            for key, exact in found["cpu"].items():
                a, b = (value[given["attention_mask"] != 0] if value.ndim == 3 else value for value in (found[options.device][key], exact))
                worst = float(np.linalg.norm(a - b) / np.linalg.norm(b)) if np.isfinite(a).all() else np.inf
                cosine = float(((a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)).min())
                details.append(f"{key} off by {worst:.1e}, cosine {cosine:.5f} at least")
                if not worst <= FP8_BOUND or not cosine >= FP8_COSINE:
                    problems.append(f"{key}: relative error {worst:.2e}, cosine {cosine:.5f}; expected at most {FP8_BOUND:.0e}, at least {FP8_COSINE}")
            report.case(name, problems, ", ".join(details))


def check_replays(options, report, folder):
    """replay.py on a model in bf16, or the first of the types asked for."""
    import parity_models

    model, dtype = parity_models.ALL["llama"], "bf16" if "bf16" in options.dtypes else options.dtypes[0]
    source = parity_models.write(folder / "replay", model, dtype)
    try:
        artifact = compile_model(options, source, folder / "replay.transom", dtype, options.target, "--max-batch", 3, "--max-seq", 64, "--max-context", 256)
    except (CommandError, subprocess.TimeoutExpired) as error:
        report.case("replays", [str(error)])
        return
    words = [sys.executable, HERE / "replay.py", artifact, "--transom", options.transom, "--library", options.library, "--device", options.device,
             "--vocab", model.vocab, "--batch", 3, "--runs", options.runs]  # fmt: skip
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)
    lines = [line for line in done.stdout.splitlines() if line.startswith("replay: ")][:-1]
    for line in lines:
        what, _, result = line.removeprefix("replay: ").rpartition(": ")
        report.case(what or "replays", [] if result == "bitwise equal" else [line], result)
    if not lines or (done.returncode and all(line.endswith("bitwise equal") for line in lines)):
        report.case("replays", [f"exit code {done.returncode}: {(done.stderr.splitlines() or ['no reason given'])[-1]}"])


def invariance_of(options, model, artifact, *saved):
    """(problems, how many kinds of batches were equal) by invariance.py; `saved` are --save or --expect and a file."""
    lengths, inputs = (RAGGED, []) if model.decoder else (ENCODED_RAGGED, ["input_ids", "attention_mask", *(["token_type_ids"] if model.types else [])])
    words = [sys.executable, HERE / "invariance.py", artifact, "--library", options.library, "--device", options.device, "--vocab", model.vocab, "--chunk", 256,
             *saved, "--lengths", *lengths, *(["--encoder", *inputs] if inputs else [])]  # fmt: skip
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
    lines = [line.removeprefix("invariance: ") for line in done.stdout.splitlines()][:-1]
    problems = [line for line in lines if not line.endswith(": bitwise equal")]
    if not problems and (done.returncode or not lines):
        problems = [f"exit code {done.returncode}: {(done.stderr.splitlines() or ['no reason given'])[-1]}"]
    return problems, len(lines) - len(problems)


def check_invariance(options, report, folder):
    """With --batch-invariant, with remove-padding and without: products by cuBLASLt, whose sums only a GPU shows, and on compute
    capability 9.0 by Hopper's own kernel."""
    import parity_models

    names = [name for name in INVARIANT if not options.only or name in options.only]
    ways = [(model, dtype, by) for model in map(parity_models.ALL.get, names) for dtype in options.dtypes for by in ("library", "own")
            if by == "library" or (options.target.startswith("cuda:sm_90") and dtype != "f32")]  # fmt: skip
    for model, dtype, by in ways:
        source, saved = folder / f"invariant-{model.name}-{dtype}", folder / "invariant.npz"
        if not source.exists():
            parity_models.write(source, model, dtype)
        sizes = ["--max-batch", len(RAGGED), "--max-seq", model.max_seq, *(["--max-context", CONTEXT] if model.decoder else [])]
        for what, flags, keep in (("packed", [], "--save"), ("padded", ["--disable=remove-padding"], "--expect")):
            try:
                artifact = compile_model(options, source, folder / "invariant.transom", dtype, options.target, "--batch-invariant", f"--products={by}", *sizes, *flags)
                problems, equal = invariance_of(options, model, artifact, keep, saved)
            except (CommandError, subprocess.TimeoutExpired, OSError) as error:
                problems, equal = [str(error)], 0
            report.case(f"invariance of {model.name} {dtype}, products by {by}, {what}", problems, f"{equal} kinds of batches bitwise equal")


# -- the command ----------------------------------------------------------------------------------------------------


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transom", default=str(ROOT / "build" / "release" / "bin" / "transom"), help="the command")
    parser.add_argument("--library", help="libtransom.so; without it the one beside the command")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--target", help="what to compile for; without it this GPU")
    parser.add_argument("--flags", type=str.split, default=[], help="more options of transom compile in one word: --flags=--products=own")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="these models of parity_models.py")
    parser.add_argument("--dtypes", nargs="*", choices=BOUNDS, default=list(BOUNDS))
    parser.add_argument("--smollm2", help="SmolLM2's GGUF file")
    parser.add_argument("--skip", nargs="*", choices=("parity", "fp8", "replays", "invariance"), default=[])
    parser.add_argument("--only-invariant", action="store_true", help="only rows alone and in batches, with --batch-invariant")
    parser.add_argument("--runs", type=int, default=10000, help="replays")
    parser.add_argument("--jobs", type=int, default=min(8, os.cpu_count() or 1), help="models at once")
    parser.add_argument("--sanitize", action="store_true", help="only a reduced set under compute-sanitizer")
    parser.add_argument("--budget", type=float, default=540, help="seconds that --sanitize may take")
    return parser.parse_args()


def missing(options):
    """Why nothing can be checked here; None where all is there."""
    try:
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        return f"expected torch and transformers: {error}"
    if options.device != "cpu" and not torch.cuda.is_available():
        return "this machine has no GPU that PyTorch can use"
    if options.target is None:
        major, minor = torch.cuda.get_device_capability() if options.device != "cpu" else (0, 0)
        options.target = f"cuda:sm_{major}{minor}{'a' if major >= 9 else ''}" if major else "cpu"
    return None


def main():
    options = parse()
    reason = missing(options)
    if reason:
        print(f"check_models: skipped, {reason}")
        return 77
    options.library = options.library or find_library(options.transom)
    if not Path(options.transom).is_file() or not options.library:
        print(f"check_models: expected the command transom and lib/libtransom.so beside it, found neither or one at {options.transom}", file=sys.stderr)
        return 1
    if options.only_invariant:
        options.skip, options.smollm2 = ["parity", "fp8", "replays"], None
    report, started = Report(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="transom-check-models-") as scratch:
        folder = Path(scratch)
        if options.sanitize:
            sanitize.check(options, report, folder)
        else:
            if "parity" not in options.skip:
                check_parity(options, report, folder)
            if "fp8" not in options.skip and options.target == "cuda:sm_90a":
                check_fp8(options, report, folder)
            if options.smollm2:
                check_smollm2(options, report, folder)
            if "replays" not in options.skip:
                check_replays(options, report, folder)
            if "invariance" not in options.skip and options.device != "cpu":
                check_invariance(options, report, folder)
    for tie in report.ties:
        print(f"near-tie: {tie}")
    print(f"check_models: {len(report.ties)} near-ties, {time.monotonic() - started:.0f} s")
    print(f"check_models: {report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


if __name__ == "__main__":
    sys.exit(main())
