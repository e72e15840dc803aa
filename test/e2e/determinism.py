#!/usr/bin/env python3
"""Two compiles of one model are byte-identical: tiny models of every format and, with --models, the two real ones. Needs NumPy."""

import hashlib
import os
import sys

import tiny_architectures
import tiny_models
from harness import MINILM, SMOLLM2, Suite


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check(t, name, model, *flags):
    """Compiles twice: into files of other names, in other folders, under another locale and home."""
    places = [t.folder / "one.transom", t.folder / "elsewhere" / "a longer name.transom"]
    places[1].parent.mkdir(exist_ok=True)
    environments = [
        None,
        {**os.environ, "LC_ALL": "C", "HOME": str(t.folder), "TMPDIR": str(places[1].parent), "TZ": "Asia/Tokyo"},
    ]
    for output, environment in zip(places, environments):
        if not t.ok(f"compile {name}", "compile", model, "-o", output, "--quiet", *flags, environment=environment):
            return
    t.check(
        f"{name}: two compiles are byte-identical", None if digest(places[0]) == digest(places[1]) else "they differ"
    )


def main():
    test = Suite("determinism", lambda parser: parser.add_argument("--models", action="store_true") and parser)
    if test.options.models:
        check(test, "SmolLM2", SMOLLM2)
        check(test, "MiniLM", MINILM)
    else:
        check(test, "llama folder", tiny_models.llama_folder(test.folder / "llama", shards=2))
        check(test, "llama folder, -O0", test.folder / "llama", "-O0")
        check(test, "bert folder", tiny_models.bert_folder(test.folder / "bert"))
        for name in ("chatglm", "gpt2", "robertaForSequenceClassification"):
            check(test, name, tiny_architectures.write(test.folder / name, tiny_architectures.ALL[name]))
        check(test, "gguf", tiny_models.llama_gguf(test.folder / "tiny.gguf"))
        check(test, "gguf for v3", test.folder / "tiny.gguf", "--cpu=x86-64-v3")
    return test.finish()


if __name__ == "__main__":
    sys.exit(main())
