"""ChatGLM2 and ChatGLM3 in plain PyTorch, as an oracle: written from the published description of the architecture
(GLM team, ChatGLM: A Family of Large Language Models, 2024; the fields of its config.json), sharing nothing with Transom.

Rows are [batch, seq] here, not [seq, batch] as in checkpoints' own code: what is compared is the result, and the other
order of dimensions makes it another program. Needs torch.
"""

import torch
from torch.nn import functional as F


class ChatGlm:
    """`config` is config.json; `tensors` are the checkpoint's, under its own names."""

    def __init__(self, config, tensors):
        self.config, self.tensors = config, tensors
        self.heads, self.width = config["num_attention_heads"], config["kv_channels"]
        self.groups = config["multi_query_group_num"]

    def take(self, name):
        return self.tensors.get(name)

    def project(self, x, name):
        return F.linear(x, self.take(name + ".weight"), self.take(name + ".bias"))

    def norm(self, x, name):
        weight, epsilon = self.take(name + ".weight"), self.config["layernorm_epsilon"]
        if self.config["rmsnorm"]:
            return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon) * weight
        return F.layer_norm(x, weight.shape, weight, self.take(name + ".bias"), epsilon)

    def turn(self, x, positions):
        """Rotates the first half of each head: numbers 2i and 2i+1 by position / 10000^(2i / half)."""
        half = self.width // 2
        step = torch.arange(0, half, 2, dtype=x.dtype) / half
        angle = positions[:, :, None, None] * 10000.0**-step  # [batch, seq, 1, half / 2]
        turned = torch.view_as_complex(x[..., :half].unflatten(-1, (-1, 2)).contiguous()) * torch.polar(
            torch.ones_like(angle), angle
        )
        return torch.cat([torch.view_as_real(turned).flatten(-2), x[..., half:]], -1)

    def attention(self, x, at, positions, allowed):
        sizes = [self.heads * self.width, self.groups * self.width, self.groups * self.width]
        query, key, value = self.project(x, at + "query_key_value").split(sizes, -1)
        query = self.turn(query.unflatten(-1, (self.heads, self.width)), positions)
        key = self.turn(key.unflatten(-1, (self.groups, self.width)), positions)
        value = value.unflatten(-1, (self.groups, self.width))
        key, value = (part.repeat_interleave(self.heads // self.groups, 2) for part in (key, value))
        scores = torch.einsum("bqhd,bkhd->bhqk", query, key) / self.width**0.5
        weights = scores.masked_fill(~allowed[:, None], float("-inf")).softmax(-1).nan_to_num()
        return self.project(torch.einsum("bhqk,bkhd->bqhd", weights, value).flatten(-2), at + "dense")

    def __call__(self, ids, mask, positions):
        """Logits [batch, seq, vocabulary] of tokens `ids`, where `mask` is not 0, at `positions`; all are [batch, seq]."""
        x = self.take("transformer.embedding.word_embeddings.weight")[ids]
        seq = ids.shape[1]
        allowed = torch.ones(seq, seq, dtype=torch.bool).tril() & (mask != 0)[:, None, :]
        after_norm = self.config["apply_residual_connection_post_layernorm"]
        for layer in range(self.config["num_layers"]):
            at = f"transformer.encoder.layers.{layer}."
            normed = self.norm(x, at + "input_layernorm")
            mixed = self.attention(normed, at + "self_attention.", positions, allowed)
            x = (normed if after_norm else x) + mixed
            normed = self.norm(x, at + "post_attention_layernorm")
            gate, up = self.project(normed, at + "mlp.dense_h_to_4h").chunk(2, -1)
            x = (normed if after_norm else x) + self.project(F.silu(gate) * up, at + "mlp.dense_4h_to_h")
        if self.config["post_layer_norm"]:
            x = self.norm(x, "transformer.encoder.final_layernorm")
        return self.project(x, "transformer.output_layer")
