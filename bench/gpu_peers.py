#!/usr/bin/env python3
"""The peers of bench/gpu.py in PyTorch, random weights: decoders by transformers, eager, and as a minimal decoder with a static
cache under torch.compile and CUDA Graphs; a long prompt by transformers with PyTorch's fused attention; and the ceilings of the
device. Needs torch and transformers, a GPU, and a C compiler for torch.compile.

    gpu_peers.py ceilings | d1 | d2 | d3 | d4

Each figure is a line of JSON as soon as it is there, so that what comes before a time limit counts.
"""

import argparse
import json
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

from gpu_models import SHAPES, TORCH_NAMES

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
WARM_UP, ROUNDS = 3, 5
INNER = 5  # a ceiling is timed over so many, which hides the launch


def report(**figures):
    print(json.dumps(figures), flush=True)


def wait():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def median_ms(work, rounds=ROUNDS):
    for _ in range(WARM_UP):
        work()
    times = []
    for _ in range(rounds):
        wait()
        start = time.perf_counter()
        work()
        wait()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


# -- ceilings ---------------------------------------------------------------------------------------------------------


def repeated_ms(work):
    return median_ms(lambda: [work() for _ in range(INNER)]) / INNER


def ceilings(numbers=2 << 30, sizes=(4096, 8192)):
    """Bytes per second of a copy (read and written) of so many numbers and of reading them alone; bf16 products of these sizes."""
    a, b = (torch.zeros(numbers, dtype=torch.bfloat16, device=DEVICE) for _ in range(2))
    report(copy_bytes_per_s=2 * 2 * numbers / repeated_ms(lambda: b.copy_(a)) * 1e3)
    rows, x = a.view(-1, 8192), torch.ones(8192, dtype=torch.bfloat16, device=DEVICE)
    readers = {
        "sum of fp32": lambda: torch.sum(a.view(torch.float32)),
        "largest of fp32": lambda: torch.amax(a.view(torch.float32)),
        "matrix-vector product": lambda: torch.mv(rows, x),
    }
    times = {name: repeated_ms(work) for name, work in readers.items()}
    best = min(times, key=times.get)
    report(read_bytes_per_s=2 * numbers / times[best] * 1e3, read_by=best)
    del a, b, rows
    for n in sizes:
        a, b = (torch.randn(n, n, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
        report(**{f"matmul_{n}_flops_per_s": 2 * n**3 / repeated_ms(lambda: a @ b) * 1e3})


# -- transformers, eager ------------------------------------------------------------------------------------------------


def framework_model(shape):
    """transformers' model of this shape, random weights; GLM stands for ChatGLM2, which transformers does not have."""
    import transformers

    transformers.logging.set_verbosity_error()
    if shape.family == "gpt2":
        config = transformers.GPT2Config(n_embd=shape.hidden, n_layer=shape.layers, n_head=shape.heads, n_inner=shape.ffn,
                                         n_positions=shape.context, vocab_size=shape.vocab)  # fmt: skip
        make = transformers.GPT2LMHeadModel
    else:
        more = {"partial_rotary_factor": 0.5, "attention_bias": True} if shape.family == "chatglm" else {}
        name = "Glm" if shape.family == "chatglm" else "Llama"
        config = getattr(transformers, name + "Config")(
            hidden_size=shape.hidden, intermediate_size=shape.ffn, num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads, head_dim=shape.head_dim, vocab_size=shape.vocab, max_position_embeddings=shape.context,
            tie_word_embeddings=shape.tied, pad_token_id=0, bos_token_id=1, eos_token_id=2, **more)  # fmt: skip
        make = getattr(transformers, name + "ForCausalLM")
    config._attn_implementation = "sdpa"
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, TORCH_NAMES[shape.dtype]))
    try:
        with torch.device(DEVICE):
            return make(config).eval()
    finally:
        torch.set_default_dtype(before)


@torch.no_grad()
def eager_decode(shape, prompt, new):
    """ms per token of a greedy loop with transformers' growing cache."""
    model = framework_model(shape)
    ids = torch.randint(3, shape.vocab, (1, prompt), device=DEVICE)
    times = []
    for _ in range(3):
        out = model(input_ids=ids, use_cache=True)
        token, cache = out.logits[:, -1:].argmax(-1), out.past_key_values
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(new):
            out = model(input_ids=token, past_key_values=cache, use_cache=True)
            token, cache = out.logits[:, -1:].argmax(-1), out.past_key_values
        torch.cuda.synchronize()
        times.append((time.perf_counter() - start) / new * 1e3)
    report(eager_ms=statistics.median(times[1:]))


@torch.no_grad()
def eager_prefill(shape, tokens):
    model = framework_model(shape)
    ids = torch.randint(3, shape.vocab, (1, tokens), device=DEVICE)
    ms = median_ms(lambda: model(input_ids=ids, use_cache=True, logits_to_keep=1))
    report(eager_prefill_tokens_per_s=tokens / ms * 1e3)


# -- a minimal decoder with a static cache, compiled --------------------------------------------------------------------


class Block(nn.Module):
    """One layer for one new token: x is [batch, 1, hidden], caches are [batch, kv_heads, capacity, head_dim]."""

    def __init__(self, s, batch, capacity):
        super().__init__()
        self.s, gpt2 = s, s.family == "gpt2"
        norm = nn.LayerNorm if gpt2 else nn.RMSNorm
        self.norm1, self.norm2 = norm(s.hidden), norm(s.hidden)
        self.qkv = nn.Linear(s.hidden, s.qkv, bias=s.family != "llama")
        self.out = nn.Linear(s.mixed, s.hidden, bias=gpt2)
        self.up = nn.Linear(s.hidden, s.ffn if gpt2 else 2 * s.ffn, bias=gpt2)
        self.down = nn.Linear(s.ffn, s.hidden, bias=gpt2)
        for name in ("keys", "values"):
            self.register_buffer(name, torch.zeros(batch, s.kv_heads, capacity, s.head_dim))

    def turn(self, x, turns):
        """Rotary embedding of [batch, heads, head_dim]; `turns` are cosines and sines [numbers / 2], None for none."""
        if turns is None:
            return x
        cosine, sine = turns
        width = 2 * cosine.shape[-1]
        if self.s.family == "chatglm":
            a, b = x[..., :width].unflatten(-1, (-1, 2)).unbind(-1)
            return torch.cat([torch.stack([a * cosine - b * sine, b * cosine + a * sine], -1).flatten(-2), x[..., width:]], -1)
        a, b = x.chunk(2, -1)
        return torch.cat([a * cosine - b * sine, b * cosine + a * sine], -1)

    def attend(self, x, place, turns, mask):
        s = self.s
        query, key, value = self.qkv(x)[:, 0].split([s.mixed, s.kv_heads * s.head_dim, s.kv_heads * s.head_dim], -1)
        query = self.turn(query.unflatten(-1, (s.heads, s.head_dim)), turns)
        key = self.turn(key.unflatten(-1, (s.kv_heads, s.head_dim)), turns)
        self.keys.index_copy_(2, place, key[:, :, None])
        self.values.index_copy_(2, place, value.unflatten(-1, (s.kv_heads, s.head_dim))[:, :, None])
        grouped = query.unflatten(1, (s.kv_heads, s.heads // s.kv_heads))  # [batch, kv_heads, group, head_dim]
        scores = grouped @ self.keys.transpose(-1, -2) * s.head_dim**-0.5 + mask
        return self.out((scores.float().softmax(-1).to(x.dtype) @ self.values).flatten(1)[:, None])

    def forward(self, x, place, turns, mask):
        x = x + self.attend(self.norm1(x), place, turns, mask)
        up = self.up(self.norm2(x))
        if self.s.family == "gpt2":
            return x + self.down(F.gelu(up, approximate="tanh"))
        gate, up = up.chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class StaticDecoder(nn.Module):
    """Gives each row's next token after its last one; `place` [1] is where that one stands."""

    def __init__(self, s, batch, capacity):
        super().__init__()
        self.s = s
        self.embed, self.head = nn.Embedding(s.vocab, s.hidden), nn.Linear(s.hidden, s.vocab, bias=False)
        if s.tied:
            self.head.weight = self.embed.weight
        self.places = nn.Embedding(capacity, s.hidden) if s.family == "gpt2" else None
        self.blocks = nn.ModuleList(Block(s, batch, capacity) for _ in range(s.layers))
        self.norm = (nn.LayerNorm if s.family == "gpt2" else nn.RMSNorm)(s.hidden)
        width = s.head_dim // 2 if s.family == "chatglm" else s.head_dim
        angle = torch.arange(capacity).float()[:, None] * 10000.0 ** -(torch.arange(0, width, 2).float() / width)
        self.register_buffer("cosine", angle.cos())
        self.register_buffer("sine", angle.sin())
        self.register_buffer("mask", torch.zeros(capacity, capacity).masked_fill(~torch.ones(capacity, capacity, dtype=torch.bool).tril(), float("-inf")))

    def forward(self, token, place):
        x = self.embed(token)
        turns = (self.cosine[place], self.sine[place])
        if self.places is not None:
            x, turns = x + self.places(place), None
        for block in self.blocks:
            x = block(x, place, turns, self.mask[place])
        return self.head(self.norm(x)).argmax(-1)


def static_decoder(shape, batch, capacity):
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, TORCH_NAMES[shape.dtype]))
    try:
        with torch.device(DEVICE), torch.no_grad():
            return StaticDecoder(shape, batch, capacity).to(torch.get_default_dtype()).eval()
    finally:
        torch.set_default_dtype(before)


@torch.no_grad()
def compiled_decode(shape, prompt, new, batch, mode):
    """ms per step of the compiled decoder, whose cache holds just what is needed."""
    model = static_decoder(shape, batch, prompt + new)
    step = torch.compile(model, mode=mode, fullgraph=True) if mode else model
    token = torch.full((batch, 1), 3, device=DEVICE)
    started = time.perf_counter()

    def generate():
        nonlocal token
        place = torch.full((1,), prompt, device=DEVICE)
        for _ in range(new):
            torch.compiler.cudagraph_mark_step_begin()
            token = step(token, place).clone()
            place += 1

    generate()
    torch.cuda.synchronize()
    report(compile_seconds=time.perf_counter() - started)
    report(compiled_ms=median_ms(generate) / new, compiled_by=f"torch.compile, {mode}, static cache" if mode else "static cache, eager")


# -- the command --------------------------------------------------------------------------------------------------------


def attempt(what, work, *arguments):
    """A peer that fails is a line of its own; the others still run."""
    try:
        work(*arguments)
    except Exception as error:  # whatever PyTorch, Triton or the C compiler raise
        report(**{f"{what}_error": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"})
    torch.cuda.empty_cache()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["ceilings", *SHAPES])
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--mode", default="reduce-overhead", help="of torch.compile; empty: not compiled")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("gpu_peers: expected a GPU that PyTorch can use", file=sys.stderr)
        return 77
    if options.what == "ceilings":
        attempt("ceilings", ceilings)
        return 0
    shape = SHAPES[options.what]
    if options.what == "d4":
        attempt("eager", eager_prefill, shape, options.prompt_tokens)
        return 0
    attempt("eager", eager_decode, shape, options.prompt_tokens, options.new_tokens)
    attempt("compiled", compiled_decode, shape, options.prompt_tokens, options.new_tokens, options.batch, options.mode)
    return 0


if __name__ == "__main__":
    sys.exit(main())
