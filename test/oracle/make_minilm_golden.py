#!/usr/bin/env python3
"""Writes minilm_sentences.json and minilm_golden.npy: embeddings of 100 sentences by transformers, fp32 on the CPU.

Does what the model's own module configs say: at most max_seq_length (256) tokens with the special ones, mean pooling over
the attended tokens, L2 normalisation; each sentence alone, without padding. A pass in padded batches and one in fp64 show
how far the oracle is from itself. Needs torch, transformers, numpy; see README.md. Never run by tools/check.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer

from minilm_sentences import SHORT, composed

HERE = Path(__file__).resolve().parent
MODEL = HERE.parents[1] / "build" / "models" / "minilm"
SENTENCES = 100
OVERLONG = [257, 258, 300, 420]  # cut to max_seq_length


def load_tokenizer(folder):
    """tokenizer.json with sentence-transformers' limits instead of its own (128 tokens, always padded to 128)."""
    limit = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer, limit


def check_modules(folder):
    """The golden data assumes this pooling; a folder that says something else must not pass in silence."""
    types = [module["type"].rsplit(".", 1)[-1] for module in json.loads((folder / "modules.json").read_text())]
    pooling = json.loads((folder / "1_Pooling" / "config.json").read_text())
    modes = [key for key, value in pooling.items() if key.startswith("pooling_mode") and value]
    assert types == ["Transformer", "Pooling", "Normalize"] and modes == ["pooling_mode_mean_tokens"], (types, modes)


def embed(model, batch):
    """Embeddings of token id lists, padded to the longest: [sentences, hidden]."""
    width = max(map(len, batch))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in batch])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in batch])
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    pooled = (hidden * weight).sum(1) / weight.sum(1)
    return torch.nn.functional.normalize(pooled, dim=1).numpy()


def least_cosine(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return ((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min()


def make_sentences(tokenizer):
    """SHORT, then composed ones with lengths spread evenly from 4 to 256 tokens, then the overlong ones."""
    spread = np.linspace(4, 256, SENTENCES - len(SHORT) - len(OVERLONG)).round().astype(int).tolist()
    return SHORT + composed(lambda text: len(tokenizer.encode(text).ids), spread + OVERLONG, seed=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=MODEL)
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    check_modules(options.model)
    tokenizer, limit = load_tokenizer(options.model)
    sentences = make_sentences(tokenizer)
    full = [len(tokenizer.encode(text).ids) for text in sentences]
    tokenizer.enable_truncation(limit)
    ids = [tokenizer.encode(text).ids for text in sentences]
    assert len(ids) == SENTENCES and min(full) == 3 and 256 in full and all("\n" not in text for text in sentences)

    model = transformers.BertModel.from_pretrained(options.model, dtype=torch.float32).eval()
    golden = np.concatenate([embed(model, [row]) for row in ids]).astype("<f4")
    batched = np.concatenate([embed(model, ids[at : at + 16]) for at in range(0, SENTENCES, 16)])
    double = np.concatenate([embed(model.double(), [row]) for row in ids])
    print(f"least cosine, alone against batches of 16: {least_cosine(golden, batched):.9f}")
    print(f"least cosine, fp32 against fp64: {least_cosine(golden, double):.9f}")

    np.save(HERE / "minilm_golden.npy", golden)
    head = {
        "model": "all-MiniLM-L6-v2",
        "sha256": hashlib.sha256((options.model / "model.safetensors").read_bytes()).hexdigest(),
        "oracle": f"transformers {transformers.__version__}, torch {torch.__version__}, fp32 on the CPU",
        "max_tokens": limit,
    }
    rows = ",\n".join(
        "  " + json.dumps({"text": text, "ids": row}, ensure_ascii=False) for text, row in zip(sentences, ids)
    )
    body = json.dumps(head, indent=1)[:-2] + f',\n "sentences": [\n{rows}\n ]\n}}\n'
    (HERE / "minilm_sentences.json").write_text(body, encoding="utf-8")
    print(f"{SENTENCES} sentences of {min(full)} to {max(full)} tokens, cut to {limit}")


if __name__ == "__main__":
    main()
