"""Writes tiny random models of every architecture that Transom reads from Hugging Face folders: config.json and weights
under the names of the checkpoints, without a tokenizer. For tests; needs NumPy.

As a command: tiny_architectures.py <name> <folder>. Equal arguments give equal bytes. Numbers keep activations near one, so
that no part of a model vanishes beside another.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tiny_models import gaussian, write_weights

HIDDEN, HEADS, KV_HEADS, HEAD_DIM, FEED_FORWARD, LAYERS, VOCAB, CONTEXT = 64, 4, 2, 16, 96, 2, 96, 64


@dataclass(frozen=True)
class Architecture:
    """A model to write. Decoders have `cache`: its order of dimensions, of batch, heads, past and width."""

    name: str
    fields: dict
    shapes: list
    cache: str = ""
    kv_heads: int = KV_HEADS
    types: int = 0  # kinds of token that token_type_ids may name; 0: no such input
    padding: int = 0  # the id that fills rows up

    @property
    def decoder(self):
        return bool(self.cache)

    def cache_shape(self, batch, past):
        sizes = {"b": batch, "h": self.kv_heads, "p": past, "d": HEAD_DIM}
        return [sizes[letter] for letter in self.cache]


def linear(name, out, width, bias=True):
    return [(name + ".weight", [out, width])] + ([(name + ".bias", [out])] if bias else [])


def norm(name, bias=True):
    return [(name + ".weight", [HIDDEN])] + ([(name + ".bias", [HIDDEN])] if bias else [])


# -- decoders -----------------------------------------------------------------------------------------------------


def llama_like(name, architecture, qkv_bias=False, fused=False, tied=False, head_dim=None, **fields):
    width = head_dim or HEAD_DIM
    shapes = [("model.embed_tokens.weight", [VOCAB, HIDDEN])]
    for i in range(LAYERS):
        at = f"model.layers.{i}."
        shapes += norm(at + "input_layernorm", False) + norm(at + "post_attention_layernorm", False)
        for part, heads in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)):
            shapes += linear(f"{at}self_attn.{part}_proj", heads * width, HIDDEN, qkv_bias)
        shapes += linear(at + "self_attn.o_proj", HIDDEN, HEADS * width, False)
        if fused:
            shapes += linear(at + "mlp.gate_up_proj", 2 * FEED_FORWARD, HIDDEN, False)
        else:
            shapes += linear(at + "mlp.gate_proj", FEED_FORWARD, HIDDEN, False)
            shapes += linear(at + "mlp.up_proj", FEED_FORWARD, HIDDEN, False)
        shapes += linear(at + "mlp.down_proj", HIDDEN, FEED_FORWARD, False)
    shapes += norm("model.norm", False) + ([] if tied else [("lm_head.weight", [VOCAB, HIDDEN])])
    config = {
        "architectures": [architecture],
        "model_type": architecture.removesuffix("ForCausalLM").lower(),
        "hidden_size": HIDDEN,
        "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "hidden_act": "silu",
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": tied,
        "vocab_size": VOCAB,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        **fields,
    }
    if head_dim:
        config["head_dim"] = head_dim
    return Architecture(name, config, shapes, cache="bhpd")


def llama(head_dim=None):
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }
    return llama_like("llama", "LlamaForCausalLM", head_dim=head_dim or HEAD_DIM, rope_scaling=scaling)


def mistral():
    return llama_like("mistral", "MistralForCausalLM", head_dim=HEAD_DIM, sliding_window=5)


def qwen2():
    return llama_like("qwen2", "Qwen2ForCausalLM", qkv_bias=True, tied=True, use_sliding_window=False)


def qwen2_window():
    window = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}
    return llama_like("qwen2-window", "Qwen2ForCausalLM", qkv_bias=True, **window)


def glm():
    more = {"attention_bias": True, "partial_rotary_factor": 0.5, "head_dim": HEAD_DIM}
    return llama_like("glm", "GlmForCausalLM", qkv_bias=True, fused=True, **more)


def gpt2():
    shapes = [("transformer.wte.weight", [VOCAB, HIDDEN]), ("transformer.wpe.weight", [CONTEXT, HIDDEN])]

    def conv(name, width, out):  # stored [in, out]
        return [(name + ".weight", [width, out]), (name + ".bias", [out])]

    for i in range(LAYERS):
        at = f"transformer.h.{i}."
        shapes += norm(at + "ln_1") + conv(at + "attn.c_attn", HIDDEN, 3 * HIDDEN)
        shapes += conv(at + "attn.c_proj", HIDDEN, HIDDEN) + norm(at + "ln_2")
        shapes += conv(at + "mlp.c_fc", HIDDEN, FEED_FORWARD) + conv(at + "mlp.c_proj", FEED_FORWARD, HIDDEN)
    shapes += norm("transformer.ln_f")
    config = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "n_embd": HIDDEN,
        "n_layer": LAYERS,
        "n_head": HEADS,
        "n_inner": FEED_FORWARD,
        "n_positions": CONTEXT,
        "vocab_size": VOCAB,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return Architecture("gpt2", config, shapes, cache="bhpd", kv_heads=HEADS)


def chatglm():
    at = "transformer.encoder.layers.{}."
    width = (HEADS + 2 * KV_HEADS) * HEAD_DIM
    shapes = [("transformer.embedding.word_embeddings.weight", [VOCAB, HIDDEN])]
    for i in range(LAYERS):
        layer = at.format(i)
        shapes += norm(layer + "input_layernorm", False) + norm(layer + "post_attention_layernorm", False)
        shapes += linear(layer + "self_attention.query_key_value", width, HIDDEN)
        shapes += linear(layer + "self_attention.dense", HIDDEN, HEADS * HEAD_DIM, False)
        shapes += linear(layer + "mlp.dense_h_to_4h", 2 * FEED_FORWARD, HIDDEN, False)
        shapes += linear(layer + "mlp.dense_4h_to_h", HIDDEN, FEED_FORWARD, False)
    shapes += norm("transformer.encoder.final_layernorm", False)
    shapes += [("transformer.output_layer.weight", [VOCAB, HIDDEN])]
    config = {
        "architectures": ["ChatGLMModel"],
        "model_type": "chatglm",
        "num_layers": LAYERS,
        "hidden_size": HIDDEN,
        "ffn_hidden_size": FEED_FORWARD,
        "kv_channels": HEAD_DIM,
        "num_attention_heads": HEADS,
        "multi_query_attention": True,
        "multi_query_group_num": KV_HEADS,
        "padded_vocab_size": VOCAB,
        "seq_length": CONTEXT,
        "layernorm_epsilon": 1e-5,
        "rmsnorm": True,
        "original_rope": True,
        "post_layer_norm": True,
        "add_bias_linear": False,
        "add_qkv_bias": True,
        "apply_residual_connection_post_layernorm": False,
        "apply_query_key_layer_scaling": True,
        "tie_word_embeddings": False,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    return Architecture("chatglm", config, shapes, cache="pbhd")


# -- encoders -----------------------------------------------------------------------------------------------------

HEADS_OF_ENCODERS = ("Model", "ForSequenceClassification", "ForTokenClassification", "ForMaskedLM")
LABELS = ["blue", "green", "red"]


def labels(head):
    return {"id2label": {str(i): label for i, label in enumerate(LABELS)}} if "Classification" in head else {}


def bert_body(at, types, positions):
    shapes = [
        (at + "embeddings.word_embeddings.weight", [VOCAB, HIDDEN]),
        (at + "embeddings.position_embeddings.weight", [positions, HIDDEN]),
        (at + "embeddings.token_type_embeddings.weight", [types, HIDDEN]),
        *norm(at + "embeddings.LayerNorm"),
    ]
    for i in range(LAYERS):
        layer = f"{at}encoder.layer.{i}."
        for part in ("query", "key", "value"):
            shapes += linear(f"{layer}attention.self.{part}", HIDDEN, HIDDEN)
        shapes += linear(layer + "attention.output.dense", HIDDEN, HIDDEN) + norm(layer + "attention.output.LayerNorm")
        shapes += linear(layer + "intermediate.dense", FEED_FORWARD, HIDDEN)
        shapes += linear(layer + "output.dense", HIDDEN, FEED_FORWARD) + norm(layer + "output.LayerNorm")
    return shapes


def bert_fields(family, head, types, positions, epsilon):
    return {
        "architectures": [family + head],
        "hidden_size": HIDDEN,
        "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "hidden_act": "gelu",
        "max_position_embeddings": positions,
        "type_vocab_size": types,
        "vocab_size": VOCAB,
        "layer_norm_eps": epsilon,
        **labels(head),
    }


def bert(head="Model"):
    at = "" if head == "Model" else "bert."
    shapes = bert_body(at, 2, CONTEXT)
    if head in ("Model", "ForSequenceClassification"):
        shapes += linear(at + "pooler.dense", HIDDEN, HIDDEN)
    if "Classification" in head:
        shapes += linear("classifier", len(LABELS), HIDDEN)
    if head == "ForMaskedLM":
        shapes += linear("cls.predictions.transform.dense", HIDDEN, HIDDEN)
        shapes += [*norm("cls.predictions.transform.LayerNorm"), ("cls.predictions.bias", [VOCAB])]
    config = {**bert_fields("Bert", head, 2, CONTEXT, 1e-12), "model_type": "bert", "pad_token_id": 0}
    return Architecture("bert" + head, config, shapes, types=2)


def roberta(head="Model", family="Roberta"):
    at = "" if head == "Model" else "roberta."
    shapes = bert_body(at, 1, CONTEXT + 2)
    if head == "Model":
        shapes += linear("pooler.dense", HIDDEN, HIDDEN)
    if head == "ForSequenceClassification":
        shapes += linear("classifier.dense", HIDDEN, HIDDEN) + linear("classifier.out_proj", len(LABELS), HIDDEN)
    if head == "ForTokenClassification":
        shapes += linear("classifier", len(LABELS), HIDDEN)
    if head == "ForMaskedLM":
        shapes += linear("lm_head.dense", HIDDEN, HIDDEN) + norm("lm_head.layer_norm") + [("lm_head.bias", [VOCAB])]
    model_type = "roberta" if family == "Roberta" else "xlm-roberta"
    config = {
        **bert_fields(family, head, 1, CONTEXT + 2, 1e-5),
        "model_type": model_type,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }
    return Architecture(model_type + head, config, shapes, padding=1)


def xlm_roberta(head="Model"):
    return roberta(head, "XLMRoberta")


def distilbert(head="Model"):
    at = "" if head == "Model" else "distilbert."
    shapes = [
        (at + "embeddings.word_embeddings.weight", [VOCAB, HIDDEN]),
        (at + "embeddings.position_embeddings.weight", [CONTEXT, HIDDEN]),
        *norm(at + "embeddings.LayerNorm"),
    ]
    for i in range(LAYERS):
        layer = f"{at}transformer.layer.{i}."
        for part in ("q_lin", "k_lin", "v_lin", "out_lin"):
            shapes += linear(layer + "attention." + part, HIDDEN, HIDDEN)
        shapes += norm(layer + "sa_layer_norm") + linear(layer + "ffn.lin1", FEED_FORWARD, HIDDEN)
        shapes += linear(layer + "ffn.lin2", HIDDEN, FEED_FORWARD) + norm(layer + "output_layer_norm")
    if head == "ForSequenceClassification":
        shapes += linear("pre_classifier", HIDDEN, HIDDEN)
    if "Classification" in head:
        shapes += linear("classifier", len(LABELS), HIDDEN)
    if head == "ForMaskedLM":
        shapes += linear("vocab_transform", HIDDEN, HIDDEN) + norm("vocab_layer_norm")
        shapes += [("vocab_projector.bias", [VOCAB])]
    config = {
        "architectures": ["DistilBert" + head],
        "model_type": "distilbert",
        "dim": HIDDEN,
        "hidden_dim": FEED_FORWARD,
        "n_layers": LAYERS,
        "n_heads": HEADS,
        "activation": "gelu",
        "max_position_embeddings": CONTEXT,
        "sinusoidal_pos_embds": False,
        "vocab_size": VOCAB,
        "pad_token_id": 0,
        **labels(head),
    }
    return Architecture("distilbert" + head, config, shapes)


DECODERS = [llama(), mistral(), qwen2(), qwen2_window(), glm(), gpt2(), chatglm()]
ENCODERS = [make(head) for make in (bert, roberta, xlm_roberta, distilbert) for head in HEADS_OF_ENCODERS]
ALL = {architecture.name: architecture for architecture in DECODERS + ENCODERS}


# -- writing ------------------------------------------------------------------------------------------------------


def shaped(make, *arguments, sizes, **fields):
    """What `make`, of this module, describes in other sizes."""
    before = {name: globals()[name] for name in sizes}
    globals().update(sizes)
    try:
        return make(*arguments, **fields)
    finally:
        globals().update(before)


def tensor(rng, name, shape):
    """Norm scales near 1, biases near 0, tables near 1, matrices that keep the length of a vector."""
    low = name.lower()
    if len(shape) == 1:
        scale = ("norm" in low or ".ln_" in low) and not low.endswith("bias")
        return gaussian(rng, shape, 0.1) + np.float32(scale)
    if "embed" in low or ".wte." in low or ".wpe." in low:
        return gaussian(rng, shape, 1.0)
    fan_in = shape[0] if ".c_" in low else shape[1]
    return gaussian(rng, shape, fan_in**-0.5)


def write(folder, architecture, seed=1, dtype="F32", without=(), shapes=None, **changes):
    """The folder of a model; `changes` override fields of config.json, tensors in `without` are left out, `shapes`
    replaces or adds some. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**architecture.fields, **changes}, indent=1))
    rng = np.random.default_rng(seed)
    wanted = {**dict(architecture.shapes), **(shapes or {})}
    write_weights(
        folder, {name: tensor(rng, name, shape) for name, shape in wanted.items() if name not in without}, dtype, 1
    )
    return folder


if __name__ == "__main__":
    write(Path(sys.argv[2]), ALL[sys.argv[1]])
