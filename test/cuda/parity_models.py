"""Random-weight Hugging Face models for check_models.py, and what PyTorch computes with them on one device: small, of several
head counts and head sizes, with odd vocabularies. Weights keep activations near one and logits apart. Needs torch,
transformers, safetensors.

A model's folder holds weights in the type under test, so that a reference in fp64 starts from the same numbers. What
transformers itself computes in fp32 at any type (angles of rotary embeddings, norms, softmax) stays fp32 in that reference.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracle"))
from chatglm import ChatGlm  # noqa: E402

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
CONTEXT = 1024
LABELS = 32  # of classifiers: few labels would make the relative error of a row a matter of luck


@dataclass(frozen=True)
class ParityModel:
    """`make` gives the configuration; `max_seq` is what the artifact takes at once, so longer prompts go in chunks."""

    name: str
    family: str
    fields: dict = field(default_factory=dict)
    max_seq: int = 700
    types: int = 0  # kinds of token that token_type_ids may name; 0: no such input
    head: str = ""  # of an encoder: "Model", "ForMaskedLM", ...; empty for a decoder

    @property
    def decoder(self):
        return not self.head

    @property
    def vocab(self):
        return self.fields["padded_vocab_size" if self.family == "ChatGlm" else "vocab_size"]


def llama_like(name, family, hidden, heads, kv_heads, head_dim, ffn, layers, vocab, max_seq=700, **more):
    fields = {
        "hidden_size": hidden, "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": head_dim,
        "intermediate_size": ffn, "num_hidden_layers": layers, "vocab_size": vocab, "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": False, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, **more,
    }  # fmt: skip
    return ParityModel(name, family, fields, max_seq)


def llama3_scaling():
    return {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 128}  # fmt: skip


def chatglm(name, hidden, heads, kv_heads, head_dim, ffn, layers, vocab):
    return ParityModel(name, "ChatGlm", {
        "architectures": ["ChatGLMModel"], "model_type": "chatglm", "num_layers": layers, "hidden_size": hidden,
        "ffn_hidden_size": ffn, "kv_channels": head_dim, "num_attention_heads": heads, "multi_query_attention": True,
        "multi_query_group_num": kv_heads, "padded_vocab_size": vocab, "seq_length": CONTEXT, "layernorm_epsilon": 1e-5,
        "rmsnorm": True, "original_rope": True, "post_layer_norm": True, "add_bias_linear": False, "add_qkv_bias": True,
        "apply_residual_connection_post_layernorm": False, "apply_query_key_layer_scaling": True,
        "tie_word_embeddings": False, "eos_token_id": 2, "pad_token_id": 0,
    })  # fmt: skip


def gpt2(name, hidden, heads, layers, vocab):
    return ParityModel(name, "GPT2", {
        "n_embd": hidden, "n_head": heads, "n_layer": layers, "n_positions": CONTEXT, "vocab_size": vocab,
        "activation_function": "gelu_new", "bos_token_id": 1, "eos_token_id": 2,
    })  # fmt: skip


DECODERS = [
    llama_like("llama", "Llama", 256, 4, 2, 64, 704, 3, 1003),
    llama_like("llama-scaled-tied", "Llama", 128, 8, 2, 32, 352, 2, 515, 256, tie_word_embeddings=True, rope_parameters=llama3_scaling()),
    llama_like("llama-d128", "Llama", 256, 4, 1, 128, 544, 2, 769),
    llama_like("llama-d16", "Llama", 64, 4, 4, 16, 176, 2, 257),
    llama_like("mistral", "Mistral", 192, 6, 2, 64, 512, 2, 999, 256, sliding_window=100),
    llama_like("qwen2", "Qwen2", 192, 6, 3, 32, 416, 3, 1001, tie_word_embeddings=True),
    llama_like("qwen2-window", "Qwen2", 128, 4, 2, 32, 352, 2, 501, use_sliding_window=True, sliding_window=40, max_window_layers=1),
    llama_like("glm", "Glm", 256, 8, 2, 64, 512, 2, 1003, partial_rotary_factor=0.5, attention_bias=True),
    gpt2("gpt2", 192, 3, 3, 1023),
    chatglm("chatglm2", 256, 8, 2, 64, 544, 2, 1009),
]


def bert_like(name, family, head, hidden, heads, ffn, layers, vocab, types, positions, pad):
    fields = {
        "hidden_size": hidden, "num_attention_heads": heads, "intermediate_size": ffn, "num_hidden_layers": layers,
        "vocab_size": vocab, "type_vocab_size": types, "max_position_embeddings": positions, "pad_token_id": pad,
        "hidden_act": "gelu",
    }  # fmt: skip
    if family == "DistilBert":
        fields = {"dim": hidden, "n_heads": heads, "hidden_dim": ffn, "n_layers": layers, "vocab_size": vocab,
                  "max_position_embeddings": positions, "pad_token_id": pad, "activation": "gelu"}  # fmt: skip
    return ParityModel(f"{name}-{head}", family, fields, 512, types if types > 1 else 0, head)


HEADS = ("Model", "ForSequenceClassification", "ForTokenClassification", "ForMaskedLM")
ENCODERS = [
    make
    for head in HEADS
    for make in (
        bert_like("bert", "Bert", head, 192, 3, 416, 2, 1003, 2, 512, 0),
        bert_like("roberta", "Roberta", head, 128, 4, 352, 2, 517, 1, 514, 1),
        bert_like("xlm-r", "XLMRoberta", head, 256, 4, 512, 2, 1025, 1, 514, 1),
        bert_like("distilbert", "DistilBert", head, 128, 2, 288, 2, 771, 0, 512, 0),
    )
]
ENCODERS.append(bert_like("bert-wide", "Bert", "Model", 512, 8, 640, 2, 1003, 2, 512, 0))  # whose norms products' own kernels take in
ALL = {model.name: model for model in DECODERS + ENCODERS}


# -- weights ------------------------------------------------------------------------------------------------------


def fill(name, value, generator, tied, conv):
    """Norm scales near 1, biases near 0, tables near 1, matrices that keep the length of a vector. A tied table is small, or
    every token would be followed by itself."""
    low = name.lower()
    normal = torch.randn(value.shape, generator=generator)
    if value.dim() == 1:
        scale = ("norm" in low or ".ln_" in low) and not low.endswith("bias")
        return normal * 0.1 + (1.0 if scale else 0.0)
    if "embed" in low or ".wte." in low or ".wpe." in low:
        return normal * (0.1 if tied and ".wpe." not in low else 1.0)
    return normal * value.shape[0 if conv else 1] ** -0.5


def chatglm_shapes(c):
    hidden, ffn, vocab = c["hidden_size"], c["ffn_hidden_size"], c["padded_vocab_size"]
    mixed = c["num_attention_heads"] * c["kv_channels"]
    qkv = mixed + 2 * c["multi_query_group_num"] * c["kv_channels"]
    shapes = {"transformer.embedding.word_embeddings.weight": [vocab, hidden]}
    for i in range(c["num_layers"]):
        at = f"transformer.encoder.layers.{i}."
        shapes |= {
            at + "input_layernorm.weight": [hidden], at + "post_attention_layernorm.weight": [hidden],
            at + "self_attention.query_key_value.weight": [qkv, hidden], at + "self_attention.query_key_value.bias": [qkv],
            at + "self_attention.dense.weight": [hidden, mixed], at + "mlp.dense_h_to_4h.weight": [2 * ffn, hidden],
            at + "mlp.dense_4h_to_h.weight": [hidden, ffn],
        }  # fmt: skip
    return {**shapes, "transformer.encoder.final_layernorm.weight": [hidden], "transformer.output_layer.weight": [vocab, hidden]}


def write(folder, model, dtype, seed=1):
    """The folder of a model; returns it. Equal arguments give equal weights."""
    generator = torch.Generator().manual_seed(seed)
    if model.family == "ChatGlm":
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps({**model.fields, "torch_dtype": str(DTYPES[dtype])[6:]}, indent=1))
        tensors = {name: fill(name, torch.empty(shape), generator, False, False).to(DTYPES[dtype])
                   for name, shape in chatglm_shapes(model.fields).items()}  # fmt: skip
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return folder
    labels = {"id2label": {i: f"label {i}" for i in range(LABELS)}} if "Classification" in model.head else {}
    config = getattr(transformers, model.family + "Config")(**model.fields, **labels)
    made = model_class(model)(config)
    tied = model.decoder and config.tie_word_embeddings
    with torch.no_grad():
        for name, value in made.named_parameters():
            conv = isinstance(made.get_submodule(name.rpartition(".")[0]), transformers.pytorch_utils.Conv1D)
            value.copy_(fill(name, value, generator, tied, conv))
    made.to(DTYPES[dtype]).save_pretrained(folder)
    return folder


def model_class(model):
    head = ("LMHeadModel" if model.family == "GPT2" else "ForCausalLM") if model.decoder else model.head
    return getattr(transformers, model.family + head)


# -- references ---------------------------------------------------------------------------------------------------


class ChatGlmOnDevice(ChatGlm):
    """As the published checkpoints' code: angles and norms in fp32, whatever the type."""

    def __init__(self, config, tensors, device):
        super().__init__(config, tensors)
        self.device = torch.device(device)

    def norm(self, x, name):
        wide = torch.promote_types(x.dtype, torch.float32)
        return F.rms_norm(x.to(wide), x.shape[-1:], eps=self.config["layernorm_epsilon"]).to(x.dtype) * self.take(name + ".weight")

    def turn(self, x, positions):
        half = self.width // 2
        step = torch.arange(0, half, 2, dtype=torch.float32) / half
        angle = positions[:, :, None, None].float() * 10000.0**-step  # [batch, seq, 1, half / 2]
        wide = torch.promote_types(x.dtype, torch.float32)
        sine, cosine = angle.sin().to(x.dtype).to(wide), angle.cos().to(x.dtype).to(wide)
        even, odd = x[..., :half:2].to(wide), x[..., 1:half:2].to(wide)
        turned = torch.stack([even * cosine - odd * sine, odd * cosine + even * sine], -1).flatten(-2)
        return torch.cat([turned.to(x.dtype), x[..., half:]], -1)

    def logits(self, ids):
        with self.device:
            positions = torch.arange(ids.shape[1])[None]
            return self(ids, torch.ones_like(ids), positions)


def load(folder, model, dtype, device):
    """PyTorch's model of a folder in a type. Every tensor of the file must be used, and none be missing."""
    if model.family == "ChatGlm":
        tensors = {name: value.to(device, dtype) for name, value in load_file(folder / "model.safetensors").items()}
        return ChatGlmOnDevice(model.fields, tensors, device)
    made, loading = model_class(model).from_pretrained(folder, dtype=dtype, attn_implementation="eager", output_loading_info=True)
    problems = {what: names for what, names in loading.items() if names}
    if problems:
        raise ValueError(f"{folder}: transformers loads it with {problems}")
    return made.to(device).eval()


@torch.no_grad()
def next_logits(made, prompt, forced, device):
    """Logits [steps, vocab] in fp64: after a prompt, and after each of the forced tokens but the last. One row, no padding."""
    ids = torch.tensor([[*prompt, *forced[:-1]]], device=device)
    logits = made.logits(ids) if isinstance(made, ChatGlm) else made(input_ids=ids, use_cache=False).logits
    return logits[0, len(prompt) - 1 :].double().cpu().numpy()


@torch.no_grad()
def generate(made, prompt, count, device):
    """Greedy tokens by transformers' own generation; None for models that have none."""
    if isinstance(made, ChatGlm):
        return None
    made.generation_config.eos_token_id = None
    made.generation_config.pad_token_id = 0
    ids = torch.tensor([prompt], device=device)
    out = made.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=count, min_new_tokens=count)
    return out[0, len(prompt) :].tolist()


@torch.no_grad()
def encode(made, inputs, device):
    """An encoder's outputs in fp64 by name, for NumPy inputs."""
    outputs = made(**{name: torch.from_numpy(value).long().to(device) for name, value in inputs.items()})
    return {name: outputs[name].double().cpu().numpy() for name in ("last_hidden_state", "pooler_output", "logits")
            if outputs.get(name) is not None}  # fmt: skip


def quiet():
    """No progress bars or warnings of transformers; matrix products in fp32, not TF32."""
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
