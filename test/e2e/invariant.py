#!/usr/bin/env python3
"""`transom compile --batch-invariant`, on the emulator (see emulated.py): a row's results are the same bits alone, beside rows of other
lengths in any order, and whether padding is removed or not; whole generations too. The same checks fail on artifacts without the option,
so they can fail. cuBLASLt is the fake's here, which sums in another order where there are few rows, as the real one may; what the real
one does, test/cuda/check_models.py checks on a GPU.

Needs libnvrtc for compiling; where there is none it says so and exits 77."""

import subprocess
import sys

import numpy as np

import tiny_architectures
import tiny_models
from emulated import emulated, has_nvrtc
from harness import ROOT, Suite, outcome, refusal_problem

LENGTHS, CHUNK, VOCAB, SIZE = (70, 1, 9, 2, 33), 32, 80, 128
MORE = (*LENGTHS, 1, 4, 3, 17, 2, 5, 1)  # rows enough for kernels that round x because its columns do not fit twice
BERT_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def compiled(suite, name, model, dtype, architecture, lengths, *more):
    """The artifact and what the command printed; None and nothing where it does not compile."""
    artifact = suite.folder / f"{name}.transom"
    done = suite.transom("compile", model, "-o", artifact, f"--target=cuda:{architecture}", f"--dtype={dtype}", "--no-tokenizer",
                         "--max-batch", len(lengths), "--max-seq", SIZE, *more)  # fmt: skip
    suite.check(f"{name} compiles", None if done.returncode == 0 else outcome(done))
    return (artifact, done.stdout) if done.returncode == 0 else (None, "")


def invariance(suite, artifact, environment, encoder, lengths, *more):
    """Lines of test/cuda/invariance.py."""
    words = [sys.executable, ROOT / "test/cuda/invariance.py", artifact, "--transom", suite.options.transom, "--vocab", VOCAB, "--chunk", CHUNK, "--lengths", *lengths, *more]
    words += ["--encoder", *encoder] if encoder else []
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, env=environment, timeout=1200)
    lines = [line.removeprefix("invariance: ") for line in done.stdout.splitlines()]
    if "fake CUDA driver" in done.stderr or len(lines) < 2 or not lines[-1].endswith("failed"):
        return [f"it ran: {done.stdout}{done.stderr}"]
    return lines[:-1]


def check(suite, name, model, dtype, architecture, encoder, lengths=LENGTHS, more=()):
    artifact, printed = compiled(suite, name, model, dtype, architecture, lengths, "--batch-invariant", *more)
    padded, _ = compiled(suite, f"{name}-padded", model, dtype, architecture, lengths, "--batch-invariant", "--disable=remove-padding", *more)
    plain, _ = compiled(suite, f"{name}-plain", model, dtype, architecture, lengths, *more)
    if not (artifact and padded and plain):
        return
    suite.check(f"{name} says what it costs", None if "batch-invariant, which costs, in all programs together:\n    " in printed else printed)
    suite.check(f"{name} is known for it", None if suite.inspect(artifact)["metadata"].get("batch_invariant") == "true" else "no metadata batch_invariant")
    launches, saved = suite.folder / f"{name}.launches", suite.folder / f"{name}.npz"
    environment = {**emulated(suite, artifact, architecture), "TRANSOM_EMULATED_LAUNCHES": str(launches)}
    for what, lines in (("packed", invariance(suite, artifact, environment, encoder, lengths, "--save", saved)),
                        ("padded", invariance(suite, padded, emulated(suite, padded, architecture), encoder, lengths, "--expect", saved))):  # fmt: skip
        for line in lines:
            suite.check(f"{name} {what}, {line.partition(': ')[0]}", None if line.endswith(": bitwise equal") else line)
    if architecture == "sm_90a" and "--products=library" not in more:
        suite.check(f"{name} ran products by wgmma", None if "_product " in launches.read_text() else launches.read_text())
    lines = invariance(suite, plain, emulated(suite, plain, architecture), encoder, lengths)
    suite.check(f"{name} without --batch-invariant differs", None if any(" differ, " in line for line in lines) else str(lines))
    if not encoder:
        check_generation(suite, name, artifact, environment, lengths)
        check_short_prompt(suite, name, artifact, environment, launches)


def check_generation(suite, name, artifact, environment, lengths):
    """Tokens of each prompt: alone and with others, greedy and sampled."""
    prompts = suite.folder / "prompts"
    rng = np.random.default_rng(9)
    prompts.write_text("".join(" ".join(map(str, rng.integers(3, VOCAB, length))) + "\n" for length in lengths))
    for what, options in (("greedy", ()), ("sampled", ("--temperature", "0.9", "--top-p", "0.9", "--seed", "5"))):
        found = [suite.transom("generate", artifact, "--device=cuda:0", "--tokens-file", prompts, "--print-tokens", "--ignore-eos", "-n", "6", "--batch", batch,
                               *options, environment=environment) for batch in (1, 2, len(lengths))]  # fmt: skip
        same = all(done.returncode == 0 and done.stdout == found[0].stdout for done in found) and len(found[0].stdout.splitlines()) == len(lengths)
        suite.check(f"{name} generates, {what}", None if same else "\n".join(done.stdout + done.stderr for done in found))


def check_short_prompt(suite, name, artifact, environment, launches):
    """A prompt of one token is read by the program that reads it beside longer ones, not by that of single tokens."""
    launches.unlink()
    suite.ok(f"{name} reads one token", "generate", artifact, "--device=cuda:0", "--tokens", "5", "--print-tokens", "-n", "1", environment=environment)
    ran = launches.read_text() if launches.exists() else "nothing"
    suite.check(f"{name} reads one token by prefill", None if "attention_" in ran and "attention_cached_1x" not in ran else ran)


def check_refusals(suite, model):
    """On the CPU the library of products decides the order of sums, so the option is refused there."""
    for target in ("cpu", "cuda:sm_80,cpu"):
        done = suite.transom("compile", model, "-o", suite.folder / "none.transom", f"--target={target}", "--batch-invariant")
        problem = refusal_problem(done) or (None if "--batch-invariant: expected --target with GPUs only, found cpu" in done.stderr else done.stderr)
        suite.check(f"--batch-invariant for {target} is refused", problem)


def cases(folder):
    """(name, model, dtype, architecture, inputs of an encoder, what else check() takes)."""
    def written(name, make, **sizes):
        path = folder / name
        fields = sizes.pop("fields", {})
        tiny_architectures.write(path, tiny_architectures.shaped(make, sizes={"CONTEXT": 256, **sizes}), **fields)
        return path

    def encoder(name, **sizes):  # with mean pooling
        path = tiny_models.bert_folder(folder / name, tiny_models.Bert(positions=SIZE, **sizes))
        (path / "sentence_bert_config.json").unlink()  # or it would say that 32 tokens are the most
        return path

    pooled, wide_heads = encoder("pooled"), encoder("pooled-64", heads=1)
    llama = written("llama", tiny_architectures.llama)
    llama_64 = written("llama-64", tiny_architectures.llama, HEAD_DIM=64)
    library = {"more": ("--products=library",)}
    yield "bert-f32", pooled, "f32", "sm_80", BERT_INPUTS, {}
    yield "bert-f16", pooled, "f16", "sm_80", BERT_INPUTS, {}
    yield "bert-90", wide_heads, "bf16", "sm_90a", BERT_INPUTS, {}
    yield "bert-90-library", wide_heads, "f16", "sm_90a", BERT_INPUTS, library
    for name, make, head, inputs in (("bert", tiny_architectures.bert, "ForSequenceClassification", BERT_INPUTS),
                                     ("roberta", tiny_architectures.roberta, "ForTokenClassification", BERT_INPUTS[:2]),
                                     ("distilbert", tiny_architectures.distilbert, "ForMaskedLM", BERT_INPUTS[:2])):  # fmt: skip
        path = folder / f"{name}{head}"
        tiny_architectures.write(path, tiny_architectures.shaped(make, head, sizes={"CONTEXT": 256}))
        yield f"{name}{head}", path, "f16", "sm_80", inputs, {}
    yield "llama-bf16", llama, "bf16", "sm_80", None, {}
    yield "llama-90", llama_64, "f16", "sm_90a", None, {}
    yield "llama-90-library", llama_64, "bf16", "sm_90a", None, library
    yield "gpt2-f32", written("gpt2", tiny_architectures.gpt2), "f32", "sm_80", None, {}
    gguf = tiny_models.llama_gguf(folder / "q4.gguf", tiny_models.Llama(context=256), kind="Q4_1")
    yield "llama-Q4_1", gguf, "f16", "sm_80", None, {"lengths": MORE}


def main():
    suite = Suite("invariant", lambda parser: parser.add_argument("--only", default="", help="models whose name contains this") and parser)
    if not has_nvrtc(suite):
        print("invariant: skipped, libnvrtc was not found (TRANSOM_NVRTC names one)")
        return 77
    for name, model, dtype, architecture, encoder, more in cases(suite.folder):
        if suite.options.only in name:
            check(suite, name, model, dtype, architecture, encoder, **more)
        if suite.options.only in "refusals" and name == "bert-f32":
            check_refusals(suite, model)
    return suite.finish()


if __name__ == "__main__":
    sys.exit(main())
