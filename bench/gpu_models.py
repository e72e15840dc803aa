#!/usr/bin/env python3
"""Hugging Face folders with random weights in the shapes of bench/gpu.py's workloads, made on the GPU and written one tensor at a
time; and what a step of each must read or compute. A folder that is there already is left alone. Needs torch.

As a command: gpu_models.py <workload> <folder> [<seed>].
"""

import json
import math
import struct
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Shape:
    """A decoder. `rotary`: how many numbers of a head turn; `interleaved`: in pairs of neighbours."""

    name: str
    what: str
    layers: int
    hidden: int
    ffn: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    family: str = "llama"
    tied: bool = False
    dtype: str = "bf16"
    context: int = 16384

    @property
    def qkv(self):
        return (self.heads + 2 * self.kv_heads) * self.head_dim

    @property
    def mixed(self):
        return self.heads * self.head_dim

    @property
    def layer_numbers(self):
        """Weights of a layer's matrices."""
        mlp = (2 if self.family == "gpt2" else 3) * self.hidden * self.ffn
        return self.hidden * (self.qkv + self.mixed) + mlp

    def decode_bytes(self, batch, cache):
        """What one step reads at least: every matrix once, and keys and values of `cache` tokens a row. 16 bits a number."""
        weights = self.layers * self.layer_numbers + self.vocab * self.hidden
        return 2 * (weights + batch * cache * self.layers * 2 * self.kv_heads * self.head_dim)

    def prefill_flops(self, tokens):
        """Of one causal prompt, logits of its last token only."""
        attention = 0.5 * 4 * tokens**2 * self.mixed * self.layers
        return 2.0 * tokens * self.layers * self.layer_numbers + attention + 2.0 * self.vocab * self.hidden


SHAPES = {
    "d1": Shape("d1", "Llama-3.2-1B", 16, 2048, 8192, 32, 8, 64, 128256, tied=True),
    "d2": Shape("d2", "ChatGLM2-6B", 28, 4096, 13696, 32, 2, 128, 65024, family="chatglm", context=4096),
    "d3": Shape("d3", "GPT-2 124M", 12, 768, 3072, 12, 12, 64, 50257, family="gpt2", tied=True, dtype="f16", context=1024),
    "d4": Shape("d4", "Llama 8B", 32, 4096, 14336, 32, 8, 128, 128256, context=8192),
}
TORCH_NAMES = {"bf16": "bfloat16", "f16": "float16"}
SAFETENSORS_NAMES = {"bf16": "BF16", "f16": "F16"}


# -- configurations and tensors ---------------------------------------------------------------------------------------


def config_of(s):
    common = {"torch_dtype": TORCH_NAMES[s.dtype], "vocab_size": s.vocab, "bos_token_id": 1, "eos_token_id": 2}
    if s.family == "gpt2":
        return {**common, "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": s.hidden, "n_layer": s.layers, "n_head": s.heads,
                "n_inner": s.ffn, "n_positions": s.context, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5}  # fmt: skip
    if s.family == "chatglm":
        return {"torch_dtype": TORCH_NAMES[s.dtype], "architectures": ["ChatGLMModel"], "model_type": "chatglm", "num_layers": s.layers, "hidden_size": s.hidden,
                "ffn_hidden_size": s.ffn, "kv_channels": s.head_dim, "num_attention_heads": s.heads, "multi_query_attention": True,
                "multi_query_group_num": s.kv_heads, "padded_vocab_size": s.vocab, "seq_length": s.context, "layernorm_epsilon": 1e-5,
                "rmsnorm": True, "original_rope": True, "post_layer_norm": True, "add_bias_linear": False, "add_qkv_bias": True,
                "apply_residual_connection_post_layernorm": False, "apply_query_key_layer_scaling": True, "tie_word_embeddings": False,
                "eos_token_id": 2, "pad_token_id": 0}  # fmt: skip
    return {**common, "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": s.hidden, "intermediate_size": s.ffn,
            "num_hidden_layers": s.layers, "num_attention_heads": s.heads, "num_key_value_heads": s.kv_heads, "head_dim": s.head_dim,
            "hidden_act": "silu", "max_position_embeddings": s.context, "rms_norm_eps": 1e-5, "rope_theta": 500000.0,
            "tie_word_embeddings": s.tied}  # fmt: skip


def llama_tensors(s):
    yield "model.embed_tokens.weight", [s.vocab, s.hidden]
    for i in range(s.layers):
        at, kv = f"model.layers.{i}.", s.kv_heads * s.head_dim
        yield at + "input_layernorm.weight", [s.hidden]
        yield at + "post_attention_layernorm.weight", [s.hidden]
        for part, out, width in (("q", s.mixed, s.hidden), ("k", kv, s.hidden), ("v", kv, s.hidden), ("o", s.hidden, s.mixed)):
            yield f"{at}self_attn.{part}_proj.weight", [out, width]
        for part, out, width in (("gate", s.ffn, s.hidden), ("up", s.ffn, s.hidden), ("down", s.hidden, s.ffn)):
            yield f"{at}mlp.{part}_proj.weight", [out, width]
    yield "model.norm.weight", [s.hidden]
    if not s.tied:
        yield "lm_head.weight", [s.vocab, s.hidden]


def chatglm_tensors(s):
    yield "transformer.embedding.word_embeddings.weight", [s.vocab, s.hidden]
    for i in range(s.layers):
        at = f"transformer.encoder.layers.{i}."
        yield at + "input_layernorm.weight", [s.hidden]
        yield at + "post_attention_layernorm.weight", [s.hidden]
        yield at + "self_attention.query_key_value.weight", [s.qkv, s.hidden]
        yield at + "self_attention.query_key_value.bias", [s.qkv]
        yield at + "self_attention.dense.weight", [s.hidden, s.mixed]
        yield at + "mlp.dense_h_to_4h.weight", [2 * s.ffn, s.hidden]
        yield at + "mlp.dense_4h_to_h.weight", [s.hidden, s.ffn]
    yield "transformer.encoder.final_layernorm.weight", [s.hidden]
    yield "transformer.output_layer.weight", [s.vocab, s.hidden]


def gpt2_tensors(s):
    yield "transformer.wte.weight", [s.vocab, s.hidden]
    yield "transformer.wpe.weight", [s.context, s.hidden]
    for i in range(s.layers):
        at = f"transformer.h.{i}."
        for norm in ("ln_1", "ln_2"):
            yield f"{at}{norm}.weight", [s.hidden]
            yield f"{at}{norm}.bias", [s.hidden]
        products = {"attn.c_attn": (s.hidden, s.qkv), "attn.c_proj": (s.mixed, s.hidden), "mlp.c_fc": (s.hidden, s.ffn), "mlp.c_proj": (s.ffn, s.hidden)}
        for name, (width, out) in products.items():
            yield f"{at}{name}.weight", [width, out]  # stored [in, out]
            yield f"{at}{name}.bias", [out]
    yield "transformer.ln_f.weight", [s.hidden]
    yield "transformer.ln_f.bias", [s.hidden]


TENSORS = {"llama": llama_tensors, "chatglm": chatglm_tensors, "gpt2": gpt2_tensors}


# -- writing ----------------------------------------------------------------------------------------------------------


def random_tensor(torch, name, shape, dtype, device):
    low = name.lower()
    if len(shape) == 1:
        scale = ("norm" in low or ".ln_" in low) and not low.endswith("bias")
        return torch.randn(shape, device=device).mul_(0.1).add_(1.0 if scale else 0.0).to(dtype)
    table = "embed" in low or ".wte." in low or ".wpe." in low
    fan_in = shape[0] if ".c_" in low else shape[1]
    return torch.randn(shape, device=device, dtype=dtype).mul_(0.1 if table else fan_in**-0.5)


def write(folder, config, tensors, dtype, seed=1):
    """Makes the folder where it is missing, from (name, shape) of each tensor; returns it. The weights come last under a temporary name: a
    folder that has them is whole."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.safetensors"
    if path.is_file():
        return folder
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(seed)
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, dims in tensors:
        size = 2 * math.prod(dims)
        header[name] = {"dtype": SAFETENSORS_NAMES[dtype], "shape": dims, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    partial = path.with_suffix(".partial")
    with open(partial, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, dims in tensors:
            value = random_tensor(torch, name, dims, getattr(torch, TORCH_NAMES[dtype]), device)
            file.write(memoryview(value.view(torch.int16).cpu().numpy()).cast("B"))
    partial.rename(path)
    return folder


if __name__ == "__main__":
    shape = SHAPES[sys.argv[1]]
    write(Path(sys.argv[2]), config_of(shape), list(TENSORS[shape.family](shape)), shape.dtype, *map(int, sys.argv[3:4]))
