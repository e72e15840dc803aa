#!/usr/bin/env python3
"""Bad artifacts, tensors, flags and outputs given to every command: refused in one line. Needs NumPy."""

import json
import os
import struct
import sys

import numpy as np

import tiny_classifiers
from damage import BadInput
from harness import refusal_problem


def artifacts(t):
    data = t.artifact.read_bytes()
    commands = {
        "verify": (),
        "inspect": (),
        "generate": ("--prompt", "the"),
        "embed": ("--input", t.bert / "config.json", "--output", t.folder / "e.npy"),
        "classify": ("--input", t.bert / "config.json"),
        "run": ("--output", t.folder / "r.npz"),
        "bench": ("--json",),
        "diff": ("--devices=cpu,cpu",),
        "tune": (),
    }
    for i, length in enumerate(t.cuts(len(data), len(data) - 1)):
        bad = t.folder / f"cut-{length}.transom"
        bad.write_bytes(data[:length])
        command = list(commands)[i % len(commands)]
        t.refuses(f"{command} of an artifact cut to {length}", command, bad, *commands[command])
    header = 4096 if len(data) > 8192 else len(data) // 2
    for i in range(t.options.mutations):
        changed = t.flip(data, header)
        if changed == data:
            continue
        bad = t.folder / f"flip-{i}.transom"
        bad.write_bytes(changed)
        command = list(commands)[i % len(commands)]
        t.refuses(f"{command} of an artifact with bytes flipped, {i}", command, bad, *commands[command])
    for name, at, value in (
        ("newer version", 8, struct.pack("<I", 1000)),
        ("header of 2^60 bytes", 24, struct.pack("<Q", 1 << 60)),
        ("header at 2^63", 16, struct.pack("<Q", 1 << 63)),
    ):
        bad = t.folder / f"{name.replace(' ', '-')}.transom"
        bad.write_bytes(data[:at] + value + data[at + len(value) :])
        t.refuses(f"artifact: {name}", "verify", bad)
    for command, arguments in commands.items():
        empty = t.folder / "empty"
        empty.write_bytes(b"")
        for what, path in (
            ("a folder", t.folder),
            ("an empty file", empty),
            ("no file", t.folder / "none"),
            ("a model file", t.gguf),
            ("a name with a line end", t.folder / "a\nb"),
            ("a device", "/dev/zero"),
        ):
            t.refuses(f"{command} of {what}", command, path, *arguments)


def outputs(t):
    pipe = t.folder / "pipe"
    os.mkfifo(pipe)
    inside = t.folder / "inside"
    inside.mkdir()
    for what, output in (
        ("a folder", inside),
        ("a folder that is not there", t.folder / "no" / "m.transom"),
        ("below a file", t.gguf / "m.transom"),
        ("a file system that takes no files", "/proc/m.transom"),
        ("nothing", ""),
        ("a pipe", pipe),
    ):
        t.jobs.append((f"output into {what}", lambda o=output: refusal_problem(t.compile(t.gguf, output=o)[0])))
    t.run_jobs()
    t.check(
        "the pipe and the folder are what they were",
        None if pipe.is_fifo() and not list(inside.iterdir()) else "replaced",
    )
    for limit in (1, 16, 128, 512):
        t.refuses_model(f"disk full after {limit} KiB", t.gguf, file_limit_kb=limit)
    sentences = t.folder / "sentences.txt"
    sentences.write_text("the end\nthe and\n")
    t.refuses("embed into a folder", "embed", t.embedder, "--input", sentences, "--output", inside)
    t.refuses("embed into nowhere", "embed", t.embedder, "--input", sentences, "--output", t.folder / "no" / "e.npy")


def flags(t):
    out = t.folder / "flags.transom"
    t.refuses("no command")
    t.refuses("unknown command", "transmogrify")
    for command in ("compile", "explain", "generate", "embed", "classify", "run", "inspect", "verify", "bench", "diff", "tune"):
        t.refuses(f"{command} without arguments", command)
        t.refuses(f"{command} with an unknown flag", command, t.artifact, "--frobnicate")
    for flag in (
        "--cpu=z80",
        "--target=cuda:sm_90",
        "--disable=make-coffee",
        "--disable=lower-to-plan",
        "--max-batch=0",
        "--max-batch=-1",
        "--max-seq=-5",
        "--max-context=99999999999",
        "--max-batch=99999999999999999999",
        "--max-seq=1e3",
        "--max-batch=1000000000",
    ):
        t.refuses(f"compile {flag}", "compile", t.gguf, "-o", out, flag)
    t.refuses("compile without -o", "compile", t.gguf)
    t.refuses("compile --products=other", "compile", t.gguf, "-o", out, "--products=other")
    t.refuses("compile --lengths without a GPU", "compile", t.gguf, "-o", out, "--lengths", t.gguf)
    generate = {
        "no prompt": (),
        "two prompts": ("--prompt", "a", "--tokens", "5"),
        "token out of range": ("--tokens", "99999"),
        "negative token": ("--tokens", "-1"),
        "no token": ("--tokens", "x"),
        "empty tokens": ("--tokens", ""),
        "a prompt longer than the context": ("--tokens", ",".join(["5"] * 70)),
        "temperature": ("--prompt", "a", "--temperature", "-1"),
        "temperature nan": ("--prompt", "a", "--temperature", "nan"),
        "top-p": ("--prompt", "a", "--top-p", "1.5"),
        "top-k": ("--prompt", "a", "--top-k", "-3"),
        "threads": ("--prompt", "a", "--threads", "100000"),
        "tokens-file that is not there": ("--tokens-file", t.folder / "none"),
        "prompt-file that is a folder": ("--prompt-file", t.folder),
        "max-new-tokens": ("--prompt", "a", "--max-new-tokens", "-1"),
        "chat without a format": ("--prompt", "a", "--chat"),
    }
    for what, arguments in generate.items():
        t.refuses(f"generate: {what}", "generate", t.artifact, *arguments)
    naive = t.folder / "naive.transom"
    t.transom("compile", t.gguf, "-o", naive, "-O0", "--quiet")
    t.refuses("generate without caches: a prompt longer than the context", "generate", naive, "--tokens", ",".join(["5"] * 70))
    bench = {
        "tensors that are not there": ("--tensors", t.folder / "none.npz"),
        "tensors that are text": ("--tensors", t.bert / "config.json"),
        "a program without tensors": ("--program", "prefill"),
    }
    for what, arguments in bench.items():
        t.refuses(f"bench: {what}", "bench", t.artifact, *arguments)
    diff = {
        "one device": ("--devices=cpu",),
        "three devices": ("--devices=cpu,cpu,cpu",),
        "an unknown device": ("--devices=cpu,abacus",),
        "a device without programs": ("--devices=cpu,cuda",),
        "a negative tolerance": ("--devices=cpu,cpu", "--tolerance=-1"),
        "a program without inputs": ("--devices=cpu,cpu", "--program=decode"),
        "tokens and a prompt": ("--devices=cpu,cpu", "--tokens", "1", "--prompt", "a"),
        "a prompt that is too long": ("--devices=cpu,cpu", "--tokens", ",".join(["5"] * 200)),
    }
    for what, arguments in diff.items():
        t.refuses(f"diff: {what}", "diff", t.artifact, *arguments)
    table = t.folder / "table.txt"
    table.write_text("NVIDIA H200 | 130100 | bf16 bf16 f32 none - - | 1 2 3\n")
    tune = {
        "no products": (),
        "the CPU": ("--device=cpu",),
        "no rows": ("--rows=0",),
        "no rounds": ("--repeat=0",),
        "a table without an output": ("--apply", table),
        "a bad table": ("--apply", table, "-o", out),
        "a table that is not there": ("--apply", t.folder / "none", "-o", out),
        "a table and a device": ("--apply", table, "-o", out, "--device=cuda:0"),
    }
    for what, arguments in tune.items():
        t.refuses(f"tune: {what}", "tune", t.artifact, *arguments)
    t.refuses("generate with an embedder", "generate", t.embedder, "--prompt", "the")
    t.refuses(
        "embed with a generator", "embed", t.artifact, "--input", t.bert / "config.json", "--output", t.folder / "e.npy"
    )
    t.refuses("embed of no file", "embed", t.embedder, "--input", t.folder / "none", "--output", t.folder / "e.npy")
    t.refuses("inspect of an unknown stage", "inspect", t.gguf, "--stage", "dream")
    t.refuses("inspect of two views", "inspect", t.artifact, "--plan", "--json")


def tensors(t):
    good = {name: np.ones((1, 3), "<i4") for name in ("input_ids", "attention_mask", "token_type_ids")}
    file = t.folder / "in.npz"
    np.savez(file, **good)
    out = ("--output", t.folder / "out.npz")
    t.ok("run", "run", t.embedder, "--input", file, *out)
    data = file.read_bytes()
    for length in t.cuts(len(data), len(data) - 1)[::2]:
        bad = t.folder / f"cut-{length}.npz"
        bad.write_bytes(data[:length])
        t.refuses(f"npz cut to {length}", "run", t.embedder, "--input", bad, *out)
    changes = {
        "missing input": {"input_ids": None},
        "another dtype": {"input_ids": np.ones((1, 3), "<f4")},
        "another rank": {"input_ids": np.ones((3,), "<i4")},
        "sizes that differ": {"attention_mask": np.ones((1, 4), "<i4")},
        "unknown input": {"color": np.ones((1, 3), "<i4")},
        "too many rows": {k: np.ones((9999, 3), "<i4") for k in good},
        "too long": {k: np.ones((1, 999), "<i4") for k in good},
        "no rows": {k: np.ones((0, 3), "<i4") for k in good},
        "complex numbers": {"input_ids": np.ones((1, 3), "<c8")},
        "Fortran order": {"input_ids": np.asfortranarray(np.ones((2, 3), "<i4"))},
    }
    for i, (what, change) in enumerate(changes.items()):
        bad = t.folder / f"bad-{i}.npz"
        np.savez(bad, **{k: v for k, v in {**good, **change}.items() if v is not None})
        for device, model in (("cpu", t.embedder), ("interpreter", t.bert)):
            if device == "interpreter" and what == "too many rows":
                continue  # it takes as many as it is given
            t.refuses(f"run on {device}: {what}", "run", model, f"--device={device}", "--input", bad, *out)
    # Ids outside the table are rows of zeros, by the op's definition.
    for what, token in (("out of range", 1 << 30), ("negative", -1)):
        file = t.folder / f"{what}.npz"
        np.savez(file, **{**good, "input_ids": np.full((1, 3), token, "<i4")})
        t.ok(f"run: token {what}", "run", t.embedder, "--input", file, *out)
    t.refuses("run of an unknown program", "run", t.embedder, "--program", "dream", "--input", file, *out)
    t.refuses("run into a folder", "run", t.embedder, "--input", file, "--output", t.folder)
    t.refuses("run on an unknown device", "run", t.embedder, "--device=abacus", "--input", file, *out)
    t.refuses("input that is a folder", "run", t.embedder, "--input", t.folder, *out)


def classifiers(t):
    """Artifacts whose head, tokenizer or metadata do not do, and files that are no texts."""
    sizes = ("--max-batch=4", "--max-seq=16")

    def made(name, family, head, *flags, change=None):
        folder = tiny_classifiers.write(t.folder / name, family, head)
        if change:
            (folder / "tokenizer.json").write_text(json.dumps(change(json.loads((folder / "tokenizer.json").read_text()))))
        artifact = t.folder / f"{name}.transom"
        t.ok(f"compile {name}", "compile", folder, "-o", artifact, "--quiet", *sizes, *flags)
        return artifact

    def file(name, data):
        (t.folder / name).write_bytes(data)
        return t.folder / name

    sequence, token, words = (made(head, "bert", head) for head in tiny_classifiers.HEADS)
    bare = made("bare", "bert", "ForMaskedLM", "--no-tokenizer")
    plain = made("plain", "bert", "ForSequenceClassification", change=lambda tokenizer: {**tokenizer, "post_processor": None})
    unmasked = made("unmasked", "bert", "ForMaskedLM", change=lambda tokenizer: {**tokenizer, "added_tokens": tokenizer["added_tokens"][:4]})
    distilbert = made("distilbert", "distilbert", "ForSequenceClassification")
    texts, pairs, ids = file("texts", b"the end\nthe [MASK]\n"), file("pairs", b"the\tend\nthe end\n"), file("ids", b"2 5 3\n")
    heads = "sequence_classification, token_classification or masked_lm"
    t.refuses("classify with an embedder", "classify", t.embedder, "--input", texts, says=f"{heads}, found sentence_embedding: use embed")
    t.refuses("classify with a decoder", "classify", t.artifact, "--input", texts, says=f"{heads}, found a decoder's: use generate")
    t.refuses("embed with a classifier", "embed", token, "--input", texts, "--output", t.folder / "e.npy", says="does not embed texts")
    # (artifact, what the reason says, arguments)
    cases = [
        (sequence, "[--input,--tokens-file] is required", ()),
        (sequence, "--tokens-file", ("--input", texts, "--tokens-file", ids)),
        (sequence, "nothing: the file is empty", ("--input", file("nothing", b""))),
        (sequence, "latin: line 2: the text is not UTF-8", ("--input", file("latin", b"the\ncaf\xe9\n"))),
        (sequence, "pairs: line 2: expected two texts with a tab between them, found 0 tabs", ("--input", pairs, "--pairs")),
        (sequence, "tabs: line 1: expected two texts with a tab between them, found 2 tabs", ("--input", file("tabs", b"a\tb\tc\n"), "--pairs")),
        (sequence, "texts: line 1: tokens: expected token ids, found 'the end'", ("--tokens-file", texts)),
        (sequence, "long: line 1: expected 1 to 16 tokens, found 17", ("--tokens-file", file("long", b"5 " * 17 + b"\n"))),
        (sequence, "No such file", ("--input", t.folder / "none")),
        (sequence, "--mask-token: expected a model whose head is masked_lm", ("--tokens-file", ids, "--mask-token=4")),
        (sequence, "--output", ("--input", texts, "--json", "--output", t.folder / "o.jsonl")),
        (sequence, "expected a file to write", ("--input", texts, "--output", t.folder)),
        (sequence, "--top-k", ("--input", texts, "--top-k=0")),
        (token, "--top-k: the model's head is token_classification", ("--input", texts, "--top-k=2")),
        (words, "texts: line 1: expected a mask token ([MASK]), found none", ("--input", texts)),
        (words, "cut: line 1: expected a mask token ([MASK]), found none in the 16 tokens", ("--input", file("cut", b"a " * 20 + b"[MASK]\n"))),
        (words, "--mask-token", ("--input", texts, "--mask-token=4")),
        (bare, "the artifact carries no tokenizer; give token ids", ("--input", texts)),
        (bare, "the artifact carries no tokenizer: give the id of the mask token", ("--tokens-file", ids)),
        (bare, "expected a mask token (4), found none", ("--tokens-file", ids, "--mask-token=4")),
        (unmasked, "the tokenizer has no mask token", ("--input", texts)),
        (plain, "the model's tokenizer has no template for pairs", ("--input", file("pair", b"the\tend\n"), "--pairs")),
        (distilbert, "token types: the model takes none", ("--tokens-file", file("typed", b"2 5\t6 3\n"), "--pairs")),
    ]
    for artifact, says, arguments in cases:
        t.refuses(f"classify, {says}", "classify", artifact, *arguments, says=says)


def main():
    test = BadInput("bad-commands")
    if not test.make_good():
        return test.finish()
    for part in (artifacts, outputs, flags, tensors, classifiers):
        part(test)
        test.run_jobs()
    return test.finish()


if __name__ == "__main__":
    sys.exit(main())
