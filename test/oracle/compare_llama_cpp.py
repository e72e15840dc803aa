#!/usr/bin/env python3
"""Holds smollm2_golden.json against a second oracle, llama.cpp: over the decoded weights in fp32, and over the file as is.

Feeds the golden tokens and compares each step's choice and logit gap. Over fp32 weights all must agree; over the
quantised file llama.cpp rounds activations to 8 bits, so its agreement is only counted. The prompt ids must be equal.
Needs llama-cpp-python, gguf, numpy; see README.md. Never run by tools/check.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import gguf
import llama_cpp
import numpy as np

HERE = Path(__file__).resolve().parent
GGUF = HERE.parents[1] / "build" / "models" / "smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
ALL_F32 = 0  # general.file_type


def write_f32(source, target):
    """The same model with every tensor decoded to fp32."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, "llama")
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key in ("general.architecture", "general.quantization_version"):
            continue
        value = ALL_F32 if key == "general.file_type" else field.contents()
        if field.types[0] == gguf.GGUFValueType.ARRAY:
            writer.add_array(key, value)
        else:
            writer.add_key_value(key, value, field.types[0])
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def compare(model, entry):
    """Feeds one prompt and its golden tokens; returns the steps that differ and the largest change of a logit gap."""
    ids = model.tokenize(entry["text"].encode(), add_bos=False, special=True)
    if ids != entry["prompt_ids"]:
        sys.exit(f"{entry['name']}: llama.cpp tokenizes to {ids}, the golden data has {entry['prompt_ids']}")
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(model.ctx), True)
    differ, error, feed = [], 0.0, ids
    for step, token in enumerate(entry["tokens"]):
        array = (llama_cpp.llama_token * len(feed))(*feed)
        if llama_cpp.llama_decode(model.ctx, llama_cpp.llama_batch_get_one(array, len(feed))) != 0:
            sys.exit("llama_decode failed")
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(model.ctx, -1), shape=(model.n_vocab(),))
        if int(logits.argmax()) != token:
            differ.append(step)
        second, first = np.partition(logits, -2)[-2:]
        error = max(error, abs(float(first - second) - entry["gaps"][step]))
        feed = [token]
    return differ, error


def compare_all(path, entries, what):
    """Prints the differences and one line in sum; returns how many steps differ."""
    options = {"n_ctx": 1024, "n_threads": 2, "n_threads_batch": 2, "verbose": False}
    fp32_cache = {"type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32, "flash_attn": False}
    model = llama_cpp.Llama(str(path), **options, **fp32_cache)
    steps, prompts, worst = 0, 0, 0.0
    for entry in entries:
        differ, error = compare(model, entry)
        worst = max(worst, error)
        steps += len(differ)
        prompts += not differ
        for step in differ:
            print(f"{what}: {entry['name']}: step {step} differs, the golden logit gap is {entry['gaps'][step]:.4f}")
    total = sum(len(entry["tokens"]) for entry in entries)
    print(f"{what}: {total - steps} of {total} tokens and {prompts} of {len(entries)} prompts agree")
    print(f"{what}: the largest difference of a logit gap is {worst:.1e}")
    return steps


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=GGUF)
    parser.add_argument("--golden", type=Path, default=HERE / "smollm2_golden.json")
    options = parser.parse_args()
    entries = json.loads(options.golden.read_text(encoding="utf-8"))["prompts"]
    print(f"llama-cpp-python {llama_cpp.__version__}")
    with tempfile.TemporaryDirectory() as scratch:
        decoded = Path(scratch) / "f32.gguf"
        write_f32(options.model, decoded)
        differ = compare_all(decoded, entries, "fp32 weights")
    compare_all(options.model, entries, "quantised file")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
