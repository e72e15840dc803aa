#!/usr/bin/env python3
"""`transom classify` against transformers' pipelines, live: text-classification, token-classification and fill-mask on the tiny models of
test/e2e/tiny_classifiers.py; texts, pairs, one label and several that may hold together. Needs torch, transformers,
safetensors, NumPy; see README.md. tools/check compares with NumPy instead: test/e2e/classify.py.
"""

import json
import sys
from pathlib import Path

import transformers

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
import tiny_classifiers  # noqa: E402
from agreement import BOUND  # noqa: E402
from architectures_torch import load  # noqa: E402
from harness import Suite, outcome  # noqa: E402

TEXTS = [text for text in tiny_classifiers.TEXTS if text]  # pipelines take no empty text
PAIRS = [pair for pair in tiny_classifiers.PAIRS if all(pair)]


def pipeline(task, family, folder):
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        mask_token=tiny_classifiers.mask_of(family),
        pad_token="<pad>" if "roberta" in family else "[PAD]",
        model_max_length=tiny_classifiers.MAX_TOKENS,
        model_input_names=["input_ids", "attention_mask"] + (["token_type_ids"] if family == "bert" else []),
    )
    return transformers.pipeline(task, model=load(folder), tokenizer=tokenizer, device="cpu")


def label_texts(pipe, rows):
    """In the form of `transom classify --json`, as far as the pipeline goes; so below."""
    given = [{"text": row[0], "text_pair": row[1]} if isinstance(row, tuple) else row for row in rows]
    found = [pipe(row, top_k=None, truncation="longest_first") for row in given]
    return [{"labels": [{"label": entry["label"], "score": entry["score"]} for entry in row]} for row in found]


def label_tokens(pipe, rows):
    return [
        {
            "tokens": [
                {key: entry[name] for key, name in PARTS} | {"score": float(entry["score"])}
                for entry in pipe(row, ignore_labels=[])
            ]
        }
        for row in rows
    ]


PARTS = (("position", "index"), ("start", "start"), ("end", "end"), ("token", "word"), ("label", "entity"))


def fill_masks(pipe, rows):
    found = [pipe(row) for row in rows]
    found = [row if isinstance(row[0], list) else [row] for row in found]  # one mask is not in a list
    return [{"masks": [{"tokens": [{"id": e["token"], "token": e["token_str"], "score": e["score"]} for e in mask]} for mask in row]} for row in found]


def only(value, like):
    """`value` with no more than the keys that `like` has."""
    if isinstance(like, dict):
        return {key: only(value.get(key), like[key]) for key in like}
    return [only(*pair) for pair in zip(value, like)] if isinstance(like, list) and len(value) == len(like) else value


def check(suite, what, task, give, family, head, rows, **settings):
    folder = tiny_classifiers.write(suite.folder / what.replace(" ", "-").replace(",", ""), family, head, **settings)
    artifact = folder.with_suffix(".transom")
    if not suite.ok(f"compile {what}", "compile", folder, "-o", artifact, "--quiet", f"--max-seq={tiny_classifiers.MAX_TOKENS}"):
        return
    file = suite.folder / "rows.txt"
    file.write_text("".join(("\t".join(row) if isinstance(row, tuple) else row) + "\n" for row in rows))
    done = suite.transom("classify", artifact, "--input", file, "--json", *(["--pairs"] if isinstance(rows[0], tuple) else []))
    found = [json.loads(line) for line in done.stdout.splitlines()]
    suite.check(f"{what}: classify", None if done.returncode == 0 and len(found) == len(rows) else outcome(done))
    for i, (row, wanted) in enumerate(zip(found, give(pipeline(task, family, folder), rows))):
        suite.check(f"{what}, row {i}", tiny_classifiers.difference(only(row, wanted), wanted, BOUND))


def main():
    transformers.logging.set_verbosity_error()
    suite = Suite("check_classifiers")
    for family in tiny_classifiers.FAMILIES:
        sequence, token, words = tiny_classifiers.HEADS
        short = [text for text in TEXTS if len(text) < 60]  # these two pipelines do not cut
        masked = [tiny_classifiers.masked(text, tiny_classifiers.mask_of(family)) for text in short]
        check(suite, f"{family}, texts", "text-classification", label_texts, family, sequence, TEXTS)
        check(suite, f"{family}, pairs", "text-classification", label_texts, family, sequence, PAIRS)
        check(suite, f"{family}, one label", "text-classification", label_texts, family, sequence, TEXTS, labels=["yes"])
        several = {"problem_type": "multi_label_classification"}
        check(suite, f"{family}, several labels", "text-classification", label_texts, family, sequence, TEXTS, **several)
        regression = {"problem_type": "regression"}
        check(suite, f"{family}, regression", "text-classification", label_texts, family, sequence, TEXTS, **regression)
        check(suite, f"{family}, tokens", "token-classification", label_tokens, family, token, short)
        check(suite, f"{family}, masks", "fill-mask", fill_masks, family, words, masked)
    return suite.finish()


if __name__ == "__main__":
    sys.exit(main())
