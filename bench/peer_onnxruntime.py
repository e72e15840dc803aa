#!/usr/bin/env python3
"""Measures onnxruntime on an embedder and prints the JSON that `transom bench --input --json` prints for one.

Sentences are tokenized beforehand; a run embeds them all in batches of the given size, in the file's order, each batch
padded to its longest. Reports the median of several runs after one warm-up. --output keeps the embeddings, to check them.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


def tokenize(folder, sentences):
    """Token ids under sentence-transformers' limit instead of tokenizer.json's own fixed length."""
    limit = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(limit)
    return [encoding.ids for encoding in tokenizer.encode_batch(sentences)]


def make_batches(ids, size):
    """Inputs of the graph for consecutive groups of size sentences."""
    batches = []
    for at in range(0, len(ids), size):
        rows = ids[at : at + size]
        width = max(map(len, rows))
        tokens, mask = np.zeros((len(rows), width), np.int32), np.zeros((len(rows), width), np.int32)
        for index, row in enumerate(rows):
            tokens[index, : len(row)] = row
            mask[index, : len(row)] = 1
        batches.append({"input_ids": tokens, "segment_ids": np.zeros_like(tokens), "attention_mask": mask})
    return batches


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("onnx", help="the graph, by minilm_onnx.py")
    parser.add_argument("--model", type=Path, required=True, help="the model folder, for its tokenizer")
    parser.add_argument("--input", type=Path, required=True, help="one sentence a line")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--sort", action="store_true", help="sort the sentences by length first")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--output", type=Path, help="also write the embeddings, in the input's order")
    options = parser.parse_args()

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    session = onnxruntime.InferenceSession(options.onnx, settings, providers=["CPUExecutionProvider"])
    ids = tokenize(options.model, options.input.read_text(encoding="utf-8").splitlines())
    order = sorted(range(len(ids)), key=lambda at: len(ids[at])) if options.sort else list(range(len(ids)))
    batches = make_batches([ids[at] for at in order], options.batch)

    def embed_all():
        return np.concatenate([session.run(None, batch)[0] for batch in batches])

    result = embed_all()
    times = []
    for _ in range(options.runs):
        start = time.perf_counter()
        embed_all()
        times.append(time.perf_counter() - start)
    if options.output:
        np.save(options.output, result[np.argsort(order)])
    print(
        json.dumps(
            {
                "name": f"onnxruntime {onnxruntime.__version__}",
                "sentences_per_s": len(ids) / statistics.median(times),
                "sentences": len(ids),
                "tokens": sum(map(len, ids)),
                "batch": options.batch,
                "sorted": options.sort,
                "threads": options.threads,
                "runs": options.runs,
            }
        )
    )


if __name__ == "__main__":
    main()
