#!/usr/bin/env python3
"""Measures llama.cpp on a GGUF file and prints the JSON that `transom bench --json` prints for a decoder.

One prefill of the prompt and greedy decoding after it, in the calling thread plus the library's own pool; the median of
several runs after one warm-up. The token ids are fixed, so both sides process equal counts at equal positions. Drives
llama_decode directly: the Python sampling loop of llama-cpp-python is not part of the time.
"""

import argparse
import ctypes
import json
import statistics
import sys
import time

import llama_cpp
import numpy as np


def decode(ctx, tokens):
    """Feeds tokens at the next positions; returns the greedy next token."""
    array = (llama_cpp.llama_token * len(tokens))(*tokens)
    if llama_cpp.llama_decode(ctx, llama_cpp.llama_batch_get_one(array, len(tokens))) != 0:
        sys.exit("llama_decode failed")
    logits = llama_cpp.llama_get_logits_ith(ctx, -1)
    return int(np.argmax(np.ctypeslib.as_array(logits, shape=(decode.vocabulary,))))


def run(ctx, prompt, new_tokens):
    """Seconds of one prefill and of new_tokens decode steps."""
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(ctx), True)
    start = time.perf_counter()
    token = decode(ctx, prompt)
    middle = time.perf_counter()
    for _ in range(new_tokens):
        token = decode(ctx, [token])
    return middle - start, time.perf_counter() - middle


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="the GGUF file")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()

    model = llama_cpp.Llama(
        options.model,
        n_ctx=options.prompt_tokens + options.new_tokens + 8,
        n_threads=options.threads,
        n_threads_batch=options.threads,
        verbose=False,
    )
    decode.vocabulary = model.n_vocab()
    prompt = [1000 + at % 1000 for at in range(options.prompt_tokens)]
    run(model.ctx, prompt, min(8, options.new_tokens))
    times = [run(model.ctx, prompt, options.new_tokens) for _ in range(options.runs)]
    info = llama_cpp.llama_print_system_info()
    print(
        json.dumps(
            {
                "name": f"llama.cpp (llama-cpp-python {llama_cpp.__version__})",
                "prefill_tokens_per_s": options.prompt_tokens / statistics.median(t[0] for t in times),
                "decode_tokens_per_s": options.new_tokens / statistics.median(t[1] for t in times),
                "prompt_tokens": options.prompt_tokens,
                "new_tokens": options.new_tokens,
                "threads": options.threads,
                "runs": options.runs,
                "built_for": ctypes.string_at(info).decode().split(":", 1)[-1].replace(" = 1", "").strip(" |"),
            }
        )
    )


if __name__ == "__main__":
    main()
