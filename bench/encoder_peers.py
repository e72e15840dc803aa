#!/usr/bin/env python3
"""The peers of bench/encoders.py in PyTorch, fp16: transformers with sdpa, eager and under torch.compile; PyTorch's native encoder layers,
whose fast path is that of BetterTransformer, with nested tensors and without; the naive path and its logits; and the ceilings.

    encoder_peers.py ceilings [--tiny]
    encoder_peers.py e1 | e2 | e3 | heads <model folder> <inputs.npz>

transformers runs the weights of the folder, the native layers random ones of the same sizes. Inputs lie on the device. Each figure is a
line of JSON as soon as it is there. Without a GPU all of it runs on the CPU, which is no measurement. Needs torch, transformers, NumPy
and, for torch.compile, a C compiler.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from gpu_peers import DEVICE, attempt, ceilings, median_ms, repeated_ms, report
from torch import nn

TOKENS = 17598  # of E1


def products(tokens, hidden, ffn):
    """fp16 products at the shapes of XLM-R large's layers: the floors of the targets are over the best of them."""
    rates = {}
    for name, out, width in (("query, key, value", 3 * hidden, hidden), ("output", hidden, hidden), ("up", ffn, hidden), ("down", hidden, ffn)):
        a = torch.randn(tokens, width, device=DEVICE, dtype=torch.float16)
        b = torch.randn(out, width, device=DEVICE, dtype=torch.float16)
        rates[name] = 2 * tokens * out * width / repeated_ms(lambda a=a, b=b: nn.functional.linear(a, b)) * 1e3
    best = max(rates, key=rates.get)
    report(layer_flops_per_s=rates[best], layer_flops_by=f"{best} of XLM-R large, {tokens} tokens")


def framework_model(folder, attention, dtype=torch.float16):
    import transformers

    transformers.logging.set_verbosity_error()
    load = transformers.AutoModelForSequenceClassification.from_pretrained
    return load(folder, dtype=dtype, attn_implementation=attention).eval().to(DEVICE)


class NativeEncoder(nn.Module):
    """The same model of torch.nn's layers: embeddings, the encoder, a head on each row's first token."""

    def __init__(self, config, nested):
        super().__init__()
        hidden = config.hidden_size
        self.words, self.places = nn.Embedding(config.vocab_size, hidden), nn.Embedding(config.max_position_embeddings, hidden)
        self.norm = nn.LayerNorm(hidden)
        layer = nn.TransformerEncoderLayer(hidden, config.num_attention_heads, config.intermediate_size, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, config.num_hidden_layers, enable_nested_tensor=nested)
        self.dense, self.out = nn.Linear(hidden, hidden), nn.Linear(hidden, config.num_labels)

    def forward(self, input_ids, padding):
        x = self.norm(self.words(input_ids) + self.places.weight[: input_ids.shape[1]])
        x = self.encoder(x, src_key_padding_mask=padding)
        return self.out(torch.tanh(self.dense(x[:, 0])))


@torch.inference_mode()
def native(folder, inputs, nested):
    import transformers

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float16)
    try:
        with torch.device(DEVICE):
            model = NativeEncoder(transformers.AutoConfig.from_pretrained(folder), nested).eval()
    finally:
        torch.set_default_dtype(before)
    if nested and not model.encoder.use_nested_tensor:
        raise RuntimeError("torch.nn.TransformerEncoder refuses nested tensors")
    padding = inputs["attention_mask"] == 0
    report(**{f"native_{'nested' if nested else 'padded'}_ms": median_ms(lambda: model(inputs["input_ids"], padding))})


@torch.inference_mode()
def eager(folder, inputs, name, attention):
    """transformers; its ms as `name`."""
    model = framework_model(folder, attention)
    report(**{name: median_ms(lambda: model(**inputs).logits)})


@torch.no_grad()
def compiled(folder, inputs):
    step = torch.compile(framework_model(folder, "sdpa"), mode="reduce-overhead")
    report(compiled_ms=median_ms(lambda: step(**inputs).logits))


@torch.inference_mode()
def logits(folder, inputs):
    """Of the naive path: fp32 as the reference, fp16 for how far rounding alone leads."""
    for name, dtype in (("logits_f32", torch.float32), ("logits_f16", torch.float16)):
        report(**{name: framework_model(folder, "eager", dtype)(**inputs).logits.float().tolist()})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["ceilings", "e1", "e2", "e3", "heads"])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("inputs", type=Path, nargs="?")
    parser.add_argument("--tiny", action="store_true", help="ceilings of small sizes: to try the program")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")  # that nested tensors are a prototype
    if options.what == "ceilings":
        attempt("ceilings", ceilings, *((1 << 20, (64, 128)) if options.tiny else ()))
        attempt("layer", products, *((256, 64, 128) if options.tiny else (TOKENS, 1024, 4096)))
        return 0
    inputs = {name: torch.from_numpy(value).long().to(DEVICE) for name, value in np.load(options.inputs).items()}
    if options.what == "heads":
        attempt("naive", eager, options.folder, inputs, "naive_ms", "eager")
        attempt("logits", logits, options.folder, inputs)
        return 0
    attempt("eager", eager, options.folder, inputs, "eager_ms", "sdpa")
    for nested in (True, False):
        attempt("native_nested" if nested else "native_padded", native, options.folder, inputs, nested)
    attempt("compiled", compiled, options.folder, inputs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
