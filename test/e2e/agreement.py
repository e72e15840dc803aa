#!/usr/bin/env python3
"""Compiled code against the reference interpreter: with every pass on, with each pass off that can be, and with all of them off.

Tiny random models in every weight format, on ragged batches; with --models also SmolLM2-135M and MiniLM-L6. Numbers: relative
error |out - ref| / |ref| of every row at most the bounds below, and no NaN. Tokens: greedy ones equal, except where the
interpreter's own top-2 gap is under the bound. Needs NumPy.
"""

import re
import sys

import numpy as np

import tiny_models
from harness import MINILM, SMOLLM2, Suite, outcome

# Of tiny models, as of a single kernel. Rounding errors of fp32 add up: 2e-6 over two layers, 1e-5 over SmolLM2's thirty.
BOUND = 1e-5
DEEP_BOUND = 3e-5
SWITCHABLE = [
    "assign-layouts",
    "choose-tokens-early",
    "eliminate-transposes",
    "fold-constants",
    "fuse-elementwise",
    "fuse-epilogue",
    "fuse-norm",
    "make-kv-static",
    "merge-projections",
    "plan-memory",
    "quantise-products",
    "remove-padding",
]


def with_models(parser):
    parser.add_argument("--models", action="store_true")
    return parser


class Agreement(Suite):
    def __init__(self, name="agreement", arguments=with_models):
        super().__init__(name, arguments)
        self.bound = DEEP_BOUND if getattr(self.options, "models", False) else BOUND
        self.worst = 0.0
        self.references = {}

    def variants(self):
        """(name, flags) of every way to compile."""
        return [
            ("all passes", ()),
            ("-O0", ("-O0",)),
            *((f"without {name}", (f"--disable={name}",)) for name in SWITCHABLE),
        ]

    def compiled(self, what, model, flags):
        """The artifact, or None after a failed check."""
        artifact = self.folder / f"{re.sub('[^a-z0-9]+', '-', what.lower())}.transom"
        return artifact if self.ok(f"compile {what}", "compile", model, "-o", artifact, "--quiet", *flags) else None

    def run(self, what, model, inputs, *flags):
        """The outputs by name, or None after a failed check."""
        np.savez(self.folder / "in.npz", **inputs)
        out = self.folder / "out.npz"
        if not self.ok(f"run {what}", "run", model, "--input", self.folder / "in.npz", "--output", out, *flags):
            return None
        with np.load(out) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def logits(self, model, tokens, config):
        """The interpreter's [tokens, vocab] logits of one row, or None after a failed check; kept, as variants choose the same tokens."""
        key = (str(model), *tokens)
        if key not in self.references:
            inputs, _ = decoder_inputs(np.random.default_rng(0), 10, [len(tokens)], **config)
            inputs["input_ids"] = np.array([tokens], "<i4")
            reference = self.run(f"{model} on the interpreter", model, inputs, "--device=interpreter")
            self.references[key] = None if reference is None else reference["logits"][0]
        return self.references[key]

    def compare(self, what, got, want):
        """Checks rows (the last axis) against each other."""
        if got.shape != want.shape:
            self.check(what, f"shape {got.shape}, expected {want.shape}")
            return
        error = np.linalg.norm(np.float64(got) - want, axis=-1) / np.maximum(
            np.linalg.norm(np.float64(want), axis=-1), 1e-30
        )
        worst = float(np.max(error)) if error.size else 0.0
        self.worst = max(self.worst, worst)
        # Written so that NaN fails.
        self.check(what, None if worst <= self.bound else f"relative error {worst:.2e}, more than {self.bound:.0e}")


def decoder_inputs(rng, vocab, lengths, layers, kv_heads, head_dim, past=0):
    """Inputs of a naive decoder: rows padded on the right, and `past` random tokens in every row's cache."""
    batch, seq = len(lengths), max(lengths)
    valid = np.arange(seq)[None, :] < np.array(lengths)[:, None]
    inputs = {
        "input_ids": rng.integers(3, vocab, (batch, seq)).astype("<i4"),
        "attention_mask": np.concatenate([np.ones((batch, past)), valid], axis=1).astype("<i4"),
        "position_ids": np.tile(np.arange(past, past + seq, dtype="<i4"), (batch, 1)),
    }
    for i in range(layers):
        for part in ("key", "value"):
            inputs[f"past.{i}.{part}"] = rng.standard_normal((batch, kv_heads, past, head_dim)).astype("<f4")
    return inputs, valid


def check_naive(t, what, artifact, inputs, reference, valid):
    """An artifact that kept the plain graph, against all of the interpreter's outputs."""
    got = t.run(what, artifact, inputs)
    if got is None:
        return
    t.check(
        f"{what}: outputs", None if got.keys() == reference.keys() else f"{sorted(got)}, expected {sorted(reference)}"
    )
    past = inputs["attention_mask"].shape[1] - valid.shape[1]
    for name in got.keys() & reference.keys():
        out, want = got[name], reference[name]
        if name.startswith("present."):
            kept = np.concatenate([np.ones((len(valid), past), bool), valid], axis=1)
            out, want = np.swapaxes(out, 1, 2)[kept], np.swapaxes(want, 1, 2)[kept]
        else:
            out, want = out[valid], want[valid]
        t.compare(f"{what}: {name}", out, want)


def padded_rows(rng, lengths, seq):
    """(name, mask [batch, seq]) of each way to pad rows of these lengths."""
    yield "padded right", np.arange(seq)[None, :] < np.array(lengths)[:, None]
    yield "padded left", np.arange(seq)[None, :] >= seq - np.array(lengths)[:, None]
    holes = np.zeros((len(lengths), seq), bool)
    for row, length in zip(holes, lengths):
        row[rng.permutation(seq)[:length]] = True
    yield "with holes", holes


def check_prefill(t, what, artifact, inputs, reference, lengths):
    """An artifact with its own caches: the logits of each row's last token, however the prompts are padded."""
    batch, seq = inputs["input_ids"].shape
    want = reference["logits"][np.arange(batch), np.array(lengths) - 1]
    counted = {"lengths": np.array(lengths, "<i4"), "past_lengths": np.zeros(batch, "<i4")}
    got = t.run(what, artifact, {"input_ids": inputs["input_ids"], **counted}, "--program", "prefill")
    if got is not None:
        t.compare(f"{what}: logits", got["logits"], want)
    for name, mask in padded_rows(np.random.default_rng(8), lengths, seq):
        ids = np.full((batch, seq), 3, "<i4")
        for row, length in enumerate(lengths):
            ids[row, mask[row]] = inputs["input_ids"][row, :length]
        padded = {"input_ids": ids, "attention_mask": mask.astype("<i4")}
        got = t.run(f"{what}, {name}", artifact, padded, "--program", "prefill")
        if got is not None:
            t.compare(f"{what}, {name}: logits", got["logits"], want)


def check_greedy(t, what, model, artifact, prompts, count, config):
    """Greedy tokens of a ragged batch, each judged by the interpreter's logits after the same tokens."""
    file = t.folder / "prompts.txt"
    file.write_text("".join(",".join(map(str, prompt)) + "\n" for prompt in prompts))
    done = t.transom(
        "generate",
        artifact,
        "--tokens-file",
        file,
        "--ignore-eos",
        "--print-tokens",
        "--max-new-tokens",
        count,
        "--batch",
        len(prompts),
    )
    t.check(f"{what}: generate", None if done.returncode == 0 else outcome(done))
    if done.returncode != 0:
        return
    rows = [[int(word) for word in line.split()] for line in done.stdout.splitlines() if line.strip()]
    t.check(
        f"{what}: {count} tokens for each prompt",
        None if [len(row) for row in rows] == [count] * len(prompts) else f"found {rows}",
    )
    for prompt, row in zip(prompts, rows):
        text = prompt + row
        logits = t.logits(model, text[:-1], config)
        if logits is None:
            continue
        logits = logits[len(prompt) - 1 :]
        gaps = logits.max(axis=1) - logits[np.arange(len(row)), row]
        bound = t.bound * np.linalg.norm(logits, axis=1)
        t.check(
            f"{what}: tokens after {prompt}",
            None if (gaps <= bound).all() else f"{row}: behind the best token by {gaps.max():.2e}",
        )


def check_decoder(t, name, model, vocab, config, lengths, variants):
    rng = np.random.default_rng(5)
    fresh, valid = decoder_inputs(rng, vocab, lengths, **config)
    resumed, _ = decoder_inputs(rng, vocab, lengths, past=5, **config)
    references = [
        t.run(f"{name} on the interpreter", model, inputs, "--device=interpreter") for inputs in (fresh, resumed)
    ]
    if None in references:
        return
    prompts = [list(map(int, row[:length])) for row, length in zip(fresh["input_ids"], lengths)]
    prompts.append(list(map(int, rng.integers(3, vocab, 20))))  # longer than --max-seq: prefill goes in chunks
    for variant, flags in variants:
        what = f"{name}, {variant}"
        artifact = t.compiled(what, model, (*flags, "--max-batch=4", "--max-seq=16", "--max-context=64"))
        if artifact is None:
            continue
        if [program["name"] for program in t.inspect(artifact).get("programs", [])] == ["main"]:
            check_naive(t, what, artifact, fresh, references[0], valid)
            check_naive(t, f"{what}, with a past", artifact, resumed, references[1], valid)
        else:
            check_prefill(t, what, artifact, fresh, references[0], lengths)
        check_greedy(t, what, model, artifact, prompts, 8, config)
        artifact.unlink()


def check_encoder(t, name, model, vocab, lengths, variants, cls=False):
    """Rows padded right, left and with holes, one of them empty. Pooling by `cls` reads a token that has to be there."""
    rng = np.random.default_rng(6)
    seq = max(lengths)
    masks = list(padded_rows(rng, lengths, seq))[: 1 if cls else None]
    if not cls:
        masks.append(("with an empty row", masks[0][1] & (np.arange(len(lengths)) != 1)[:, None]))
    cases = []
    for padding, valid in masks:
        inputs = {
            "input_ids": rng.integers(5, vocab, valid.shape).astype("<i4"),
            "attention_mask": valid.astype("<i4"),
            "token_type_ids": rng.integers(0, 2, valid.shape).astype("<i4"),
        }
        reference = t.run(f"{name} on the interpreter", model, inputs, "--device=interpreter")
        if reference is not None:
            cases.append((padding, valid, inputs, reference))
    for variant, flags in variants:
        what = f"{name}, {variant}"
        artifact = t.compiled(what, model, (*flags, "--max-batch=4", "--max-seq=32"))
        for padding, valid, inputs, reference in cases if artifact else []:
            got = t.run(f"{what}, {padding}", artifact, inputs)
            if got is None:
                continue
            hidden = "last_hidden_state"
            t.compare(f"{what}, {padding}: {hidden}", got[hidden][valid], reference[hidden][valid])
            if "sentence_embedding" in reference:
                embedding = "sentence_embedding"
                t.compare(f"{what}, {padding}: {embedding}", got[embedding], reference[embedding])
        if artifact:
            artifact.unlink()


STATIC = """
module attributes {transom.task = "run", transom.model = "static", transom.architecture = "test"} {
  func.func @main(%x: tensor<4x8xf32> {transom.name = "x"}) -> (tensor<4x8xf32> {transom.name = "y"}) {
    %0 = transom.add %x, %x : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
    return %0 : tensor<4x8xf32>
  }
}
"""


def check_static(t, variants):
    """A graph in the dialect's text that has no dynamic size at all."""
    model = t.folder / "static.mlir"
    model.write_text(STATIC)
    inputs = {"x": np.random.default_rng(7).standard_normal((4, 8)).astype("<f4")}
    for variant, flags in variants:
        artifact = t.compiled(f"static sizes, {variant}", model, flags)
        got = t.run(f"static sizes, {variant}", artifact, inputs) if artifact else None
        if got is not None:
            t.compare(f"static sizes, {variant}", got["y"], 2 * inputs["x"])


def check_list_of_passes(t, model):
    """The passes that this test switches off are all there are."""
    done = t.transom("compile", model, "-o", t.folder / "x.transom", "--disable=no-such-pass")
    missing = [name for name in SWITCHABLE if name not in done.stderr]
    listed = set(re.findall(r"[a-z]+(?:-[a-z]+)+", done.stderr.split("no-such-pass", 1)[-1]))
    t.check(
        "passes that can be switched off",
        None if done.returncode == 1 and not missing and listed == set(SWITCHABLE) else outcome(done),
    )


def tiny(t):
    vocab = len(tiny_models.bpe_vocabulary()[0])
    narrow, wide = tiny_models.Llama(), tiny_models.WIDE
    sizes = {c: {"layers": c.layers, "kv_heads": c.kv_heads, "head_dim": c.head_dim} for c in (narrow, wide)}
    tied = tiny_models.Llama(tied=True, kv_heads=1)
    sizes[tied] = {"layers": tied.layers, "kv_heads": 1, "head_dim": tied.head_dim}
    short = [("all passes", ()), ("-O0", ("-O0",))]
    check_static(t, short)
    lengths = [9, 1, 4]
    folder = tiny_models.llama_folder(t.folder / "llama")
    check_list_of_passes(t, folder)
    check_decoder(t, "llama", folder, vocab, sizes[narrow], lengths, t.variants())
    folder = tiny_models.llama_folder(
        t.folder / "llama-tied", tied, shards=2, dtype="BF16", rope_scaling={"rope_type": "linear", "factor": 4.0}
    )
    check_decoder(t, "llama, tied, bf16, scaled rope", folder, vocab, sizes[tied], lengths, short)
    for kind in tiny_models.GGML_TYPES:
        model = tiny_models.llama_gguf(t.folder / f"{kind}.gguf", kind=kind)
        check_decoder(
            t, f"gguf {kind}", model, vocab, sizes[wide], lengths, t.variants() if kind == "Q4_1" else short[:1]
        )
    mixed = tiny_models.llama_gguf(
        t.folder / "mixed.gguf",
        kind="Q4_K",
        version=2,
        tensor_types={"token_embd.weight": "Q6_K", "blk.0.attn_v.weight": "F16"},
    )
    check_decoder(t, "gguf of mixed types", mixed, vocab, sizes[wide], lengths, short[:1])
    words = len(tiny_models.bert_vocabulary())
    for pooling in ("mean_tokens", ""):
        folder = tiny_models.bert_folder(t.folder / f"bert-{pooling}", tiny_models.Bert(pooling=pooling))
        check_encoder(
            t, f"bert, pooling {pooling or 'none'}", folder, words, [9, 1, 20], t.variants() if pooling else short
        )
    for pooling in ("cls_token", "max_tokens", "mean_sqrt_len_tokens"):
        folder = tiny_models.bert_folder(t.folder / f"bert-{pooling}", tiny_models.Bert(pooling=pooling), dtype="F16")
        check_encoder(t, f"bert, pooling {pooling}", folder, words, [9, 1, 20], short[:1], cls=pooling == "cls_token")


def main():
    test = Agreement()
    if test.options.models:
        check_encoder(test, "MiniLM", MINILM, 30522, [12, 3, 7], test.variants())
        check_decoder(
            test, "SmolLM2", SMOLLM2, 49152, {"layers": 30, "kv_heads": 3, "head_dim": 64}, [6, 3], test.variants()
        )
    else:
        tiny(test)
    print(f"agreement: worst relative error {test.worst:.2e}, bound {test.bound:.0e}")
    return test.finish()


if __name__ == "__main__":
    sys.exit(main())
