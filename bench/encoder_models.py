#!/usr/bin/env python3
"""The models of bench/encoders.py as Hugging Face folders with random weights: encoders with a head for two classes, so that what comes
back is [batch, 2]. And what a batch of each must read or compute. Needs torch.

As a command: encoder_models.py <model> <folder> [<seed>].
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from gpu_models import write

LABELS = 2


@dataclass(frozen=True)
class Encoder:
    """An encoder of BERT's form; `positions` counts all rows of the table, `padding` is the id of padding tokens."""

    what: str
    family: str
    layers: int
    hidden: int
    ffn: int
    heads: int
    vocab: int
    positions: int
    padding: int
    types: int
    dtype: str = "f16"

    def flops(self, lengths):
        """Of a batch's products and attention, over valid tokens alone; of the last layer's keys and values those of all, else of a row's first
        token, which the head reads."""
        layer = 2 * sum(lengths) * self.layer_numbers + 4 * self.hidden * sum(length**2 for length in lengths)
        keys = 4 * sum(lengths) * self.hidden**2
        last = keys + 2 * len(lengths) * (self.layer_numbers - 2 * self.hidden**2) + 4 * self.hidden * sum(lengths)
        return (self.layers - 1) * layer + last + 2 * len(lengths) * self.hidden**2

    def weight_bytes(self):
        """Of the layers' and the head's matrices, 16 bits a number; of the embeddings a batch reads a few rows."""
        return 2 * (self.layers * self.layer_numbers + self.hidden**2)

    @property
    def layer_numbers(self):
        """Weights of a layer's matrices."""
        return 4 * self.hidden**2 + 2 * self.hidden * self.ffn


MODELS = {
    "xlmr": Encoder("XLM-R large", "xlm-roberta", 24, 1024, 4096, 16, 250002, 514, 1, 1),
    "bert": Encoder("BERT-base", "bert", 12, 768, 3072, 12, 30522, 512, 0, 2),
    "tiny-xlmr": Encoder("tiny XLM-R", "xlm-roberta", 2, 64, 128, 2, 500, 66, 1, 1),
    "tiny-bert": Encoder("tiny BERT", "bert", 2, 64, 128, 2, 500, 64, 0, 2),
}


def config_of(model):
    bert = model.family == "bert"
    return {"architectures": ["BertForSequenceClassification" if bert else "XLMRobertaForSequenceClassification"], "model_type": model.family,
            "torch_dtype": "float16", "num_hidden_layers": model.layers, "hidden_size": model.hidden, "intermediate_size": model.ffn,
            "num_attention_heads": model.heads, "vocab_size": model.vocab, "max_position_embeddings": model.positions,
            "type_vocab_size": model.types, "pad_token_id": model.padding, "hidden_act": "gelu",
            "layer_norm_eps": 1e-12 if bert else 1e-5}  # fmt: skip


def linear(name, out, width):
    yield name + ".weight", [out, width]
    yield name + ".bias", [out]


def norm(name, width):
    yield name + ".weight", [width]
    yield name + ".bias", [width]


def tensors(model):
    root, hidden = "bert." if model.family == "bert" else "roberta.", model.hidden
    for table, rows in (("word", model.vocab), ("position", model.positions), ("token_type", model.types)):
        yield f"{root}embeddings.{table}_embeddings.weight", [rows, hidden]
    yield from norm(root + "embeddings.LayerNorm", hidden)
    for i in range(model.layers):
        at = f"{root}encoder.layer.{i}."
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            yield from linear(f"{at}attention.{part}", hidden, hidden)
        yield from norm(at + "attention.output.LayerNorm", hidden)
        yield from linear(at + "intermediate.dense", model.ffn, hidden)
        yield from linear(at + "output.dense", hidden, model.ffn)
        yield from norm(at + "output.LayerNorm", hidden)
    dense, out = ("bert.pooler.dense", "classifier") if model.family == "bert" else ("classifier.dense", "classifier.out_proj")
    yield from linear(dense, hidden, hidden)
    yield from linear(out, LABELS, hidden)


if __name__ == "__main__":
    name, folder, *seed = sys.argv[1:]
    write(Path(folder), config_of(MODELS[name]), list(tensors(MODELS[name])), MODELS[name].dtype, *map(int, seed))
