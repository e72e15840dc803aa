#!/usr/bin/env python3
"""--quantise=fp8 and --calibrate on the CPU: tiny encoders compiled without, with scales of each token and with those of a sample. What the
command states of a sample against NumPy over what the artifacts give for its texts; what inspect shows; passes off; samples, models and
targets that are refused. Needs NumPy. (Kernels of GPUs: emulated.py.)
"""

import json
import re
import sys

import numpy as np

import tiny_architectures
import tiny_classifiers
from harness import Suite, refusal_problem

SIZES = ("--max-batch=4", f"--max-seq={tiny_classifiers.MAX_TOKENS}")
TEXTS = [text for text in tiny_classifiers.TEXTS if text]
PRODUCTS = 4 * tiny_architectures.LAYERS
CLASSIFIER_PRODUCTS = PRODUCTS - 3  # behind the last layer's keys and values there is one token a row, too few of them for 8 bits


class Fp8(Suite):
    def __init__(self):
        super().__init__("fp8")
        self.sample = self.folder / "sample.txt"
        self.sample.write_text("".join(text + "\n" for text in TEXTS))

    def compiled(self, what, model, *flags):
        """(the artifact, what was printed), or None after a failed check."""
        artifact = self.folder / f"{re.sub('[^a-z0-9]+', '-', what.lower())}.transom"
        done = self.transom("compile", model, "-o", artifact, *SIZES, *flags)
        self.check(f"compile {what}", done.stderr.strip() or (None if done.returncode == 0 else f"exit code {done.returncode}"))
        return (artifact, done.stdout) if done.returncode == 0 else None

    def logits(self, artifact):
        """Of each text of the sample alone: batches would round alike, but padding has no part in this."""
        done = self.transom("classify", artifact, "--input", self.sample, "--json", "--batch=1")
        return np.array([[label["logit"] for label in sorted(json.loads(line)["labels"], key=lambda label: label["label"])] for line in done.stdout.splitlines()])

    def refuses(self, what, expected, *words):
        done = self.transom("compile", *words, "-o", self.folder / "refused.transom")
        problem = refusal_problem(done)
        self.check(what, problem or (None if expected in done.stderr else f"expected {expected!r} in {done.stderr!r}"))
        self.check(f"{what} leaves no file", None if not list(self.folder.glob("refused.transom*")) else "there is one")


def softmax(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def classifier(t):
    """Labels of texts: what is printed is what the two artifacts' logits say."""
    model = tiny_classifiers.write(t.folder / "classifier", "bert", "ForSequenceClassification")
    exact, own, given = t.compiled("as it is", model), t.compiled("fp8", model, "--quantise=fp8"), t.compiled("calibrated", model, "--quantise=fp8", f"--calibrate={t.sample}")
    off = t.compiled("disabled", model, "--disable=fuse-epilogue", "--disable=fuse-norm", "--quantise=fp8")
    if not (exact and own and given and off):
        return
    t.check("without a sample nothing is stated", None if f"fp8: {CLASSIFIER_PRODUCTS} products; scales are found as it runs, what they change was not measured" in own[1] else own[1])
    logits = {name: t.logits(artifact) for name, (artifact, _) in (("exact", exact), ("own", own), ("given", given), ("off", off))}
    for name in ("own", "given"):
        error = np.linalg.norm(logits[name] - logits["exact"]) / np.linalg.norm(logits["exact"])
        t.check(f"{name} scales: 8 bits show, and not much", None if 1e-4 < error < 0.1 else f"relative error {error:.1e}")
    error = np.linalg.norm(logits["off"] - logits["own"]) / np.linalg.norm(logits["own"])
    t.check("without fusion the same is computed", None if error < 1e-2 else f"relative error {error:.1e}")
    said = re.search(r"logits of (\d+) texts, (\d+) tokens: the best label is the same for (\d+) of (\d+) \(.*%\), probabilities differ by ([\d.]+) at most", given[1])
    agree = int((logits["exact"].argmax(1) == logits["given"].argmax(1)).sum())
    apart = float(np.abs(softmax(logits["exact"]) - softmax(logits["given"])).max())
    right = said and (int(said[1]), int(said[3]), int(said[4])) == (len(TEXTS), agree, len(TEXTS)) and abs(float(said[5]) - apart) < 2e-4
    t.check("what is stated of labels", None if right else f"expected {agree} of {len(TEXTS)} and {apart:.4f} in\n{given[1]}")
    metadata = t.inspect(given[0]).get("metadata", {})
    shown = f"fp8 (e4m3): {CLASSIFIER_PRODUCTS} products" in metadata.get("quantised", "") and said and said[0] in metadata.get("quantised_error", "")
    t.check("inspect shows it", None if shown else f"{metadata}")


def hidden_states(t):
    """A model without a head and without a tokenizer: vectors are compared, the sample is token ids."""
    model = t.folder / "bert"
    tiny_architectures.write(model, tiny_architectures.ALL["bertModel"])
    ids = t.folder / "ids.txt"
    ids.write_text("3 4 5 6\n7,8,9\n" + " ".join(["11"] * 50) + "\n")
    given = t.compiled("hidden states", model, "--quantise=fp8", f"--calibrate={ids}")
    if given:
        said = re.search(r"of 3 texts, 57 tokens: cosine ([\d.]+) on average, ([\d.]+) at least", given[1])
        right = said and 0.98 < float(said[2]) <= float(said[1]) < 1
        t.check("what is stated of vectors", None if right else given[1])
    t.refuses("a sample of texts for a model without a tokenizer", "sample.txt:1", model, "--quantise=fp8", f"--calibrate={t.sample}", *SIZES)


def masked(t):
    """Two programs with the same products: the sample runs one, its scales serve both."""
    model = tiny_classifiers.write(t.folder / "masked", "bert", "ForMaskedLM")
    given = t.compiled("masked LM", model, "--quantise=fp8", f"--calibrate={t.sample}")
    if given:
        t.check("what is stated of tokens", None if re.search(r"the best label is the same for \d+ of \d+", given[1]) else given[1])


def refused(t):
    bert, gpt2 = t.folder / "classifier", t.folder / "gpt2"
    tiny_architectures.write(gpt2, tiny_architectures.ALL["gpt2"])
    empty = t.folder / "empty.txt"
    empty.write_text("\n\n")
    fp8 = "--quantise=fp8"
    t.refuses("a sample that is not there", "none.txt", bert, fp8, f"--calibrate={t.folder / 'none.txt'}")
    t.refuses("an empty sample", "expected a text a line, found none", bert, fp8, f"--calibrate={empty}")
    t.refuses("a sample without fp8", "--calibrate: expected --quantise=fp8", bert, f"--calibrate={t.sample}")
    t.refuses("a decoder", "--quantise=fp8: expected an encoder", gpt2, fp8)
    t.refuses("another architecture", "expected --target=cuda:sm_89 or cuda:sm_90a, found cuda:sm_86", bert, fp8, "--target=cuda:sm_90a,cuda:sm_86", "--dtype=f16")
    t.refuses("another architecture, before the sample is read", "found cuda:sm_86", bert, fp8, "--target=cuda:sm_86", f"--calibrate={t.folder / 'none.txt'}")
    t.refuses("f32 on GPUs", "expected --dtype=f16 or bf16 for GPUs, found f32", bert, fp8, "--target=cuda:sm_90a", "--dtype=f32")
    t.refuses("no product at all", "no product can be quantised", bert, fp8, "--disable=quantise-products")
    t.refuses("too few tokens at once", "no product can be quantised", bert, fp8, "--max-batch=1", "--max-seq=16")


def main():
    t = Fp8()
    classifier(t)
    hidden_states(t)
    masked(t)
    refused(t)
    return t.finish()


if __name__ == "__main__":
    sys.exit(main())
