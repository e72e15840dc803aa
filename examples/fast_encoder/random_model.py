"""A Hugging Face folder of an XLM-R classifier with random weights in fp16. Needs NumPy."""

import json
import struct
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Shape:
    """XLM-R large, but for what is given. `positions` are two more than the tokens a row may have."""

    layers: int = 24
    hidden: int = 1024
    heads: int = 16
    feed_forward: int = 4096
    vocab: int = 250002
    positions: int = 514
    labels: int = 2


TINY = Shape(layers=2, hidden=64, heads=2, feed_forward=128, vocab=500)


def config(shape):
    return {
        "architectures": ["XLMRobertaForSequenceClassification"], "model_type": "xlm-roberta", "torch_dtype": "float16",
        "num_hidden_layers": shape.layers, "hidden_size": shape.hidden, "num_attention_heads": shape.heads,
        "intermediate_size": shape.feed_forward, "vocab_size": shape.vocab, "max_position_embeddings": shape.positions,
        "type_vocab_size": 1, "pad_token_id": 1, "hidden_act": "gelu", "layer_norm_eps": 1e-5,
        "id2label": {str(i): f"LABEL_{i}" for i in range(shape.labels)},
    }  # fmt: skip


def tensors(shape):
    """(name, shape) of each, in the order of the file."""

    def linear(name, out, width):
        return [(name + ".weight", (out, width)), (name + ".bias", (out,))]

    def norm(name):
        return [(name + ".weight", (shape.hidden,)), (name + ".bias", (shape.hidden,))]

    found = []
    for table, rows in (("word", shape.vocab), ("position", shape.positions), ("token_type", 1)):
        found.append((f"roberta.embeddings.{table}_embeddings.weight", (rows, shape.hidden)))
    found += norm("roberta.embeddings.LayerNorm")
    for i in range(shape.layers):
        at = f"roberta.encoder.layer.{i}."
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            found += linear(f"{at}attention.{part}", shape.hidden, shape.hidden)
        found += norm(at + "attention.output.LayerNorm")
        found += linear(at + "intermediate.dense", shape.feed_forward, shape.hidden)
        found += linear(at + "output.dense", shape.hidden, shape.feed_forward) + norm(at + "output.LayerNorm")
    return found + linear("classifier.dense", shape.hidden, shape.hidden) + linear("classifier.out_proj", shape.labels, shape.hidden)


def write(folder, shape):
    """Norms are the identity; all else is normal, with products that keep the size of what they read."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    header, end = {}, 0
    for name, dims in tensors(shape):
        size = 2 * int(np.prod(dims))
        header[name] = {"dtype": "F16", "shape": dims, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, dims in tensors(shape):
            scale = 0.02 if len(dims) == 1 or "embeddings" in name else dims[1] ** -0.5
            values = rng.standard_normal(dims, np.float32) * np.float32(scale)
            if "LayerNorm" in name:
                values = np.full(dims, name.endswith("weight"))
            file.write(values.astype("<f2").tobytes())
    (folder / "config.json").write_text(json.dumps(config(shape)))
