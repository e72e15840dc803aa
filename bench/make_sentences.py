#!/usr/bin/env python3
"""Writes sentences.txt, the ragged batch of the MiniLM benchmark: 64 sentences of 8 to 256 tokens in random order."""

import random
import sys
from pathlib import Path

from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "test" / "oracle"))
from minilm_sentences import composed  # noqa: E402  (the path above has to come first)

COUNT, LEAST, MOST = 64, 8, 256


def main():
    tokenizer = Tokenizer.from_file(str(ROOT / "build" / "models" / "minilm" / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    targets = [LEAST + (MOST - LEAST) * at // (COUNT - 1) for at in range(COUNT)]
    random.Random(2).shuffle(targets)
    sentences = composed(lambda text: len(tokenizer.encode(text).ids), targets, seed=3)
    (ROOT / "bench" / "sentences.txt").write_text("".join(text + "\n" for text in sentences), encoding="utf-8")


if __name__ == "__main__":
    main()
