#!/usr/bin/env python3
"""Prints what a compiled tiny model runs, for lit: operations.py <name> <folder> [flags of transom explain].

The model is written with two layers and with three. What the third adds is what a layer runs; what the model runs but for
its layers stands besides, and where a layer is unlike the others, what it lacks. Moves only copy numbers. Of each program:

    decode: 5 a layer: gemv_rms_norm_rotary_cache_append attention_cached gemv_add gemv_rms_norm_silu gemv_add
    decode: besides: positions embedding gemv_rms_norm
    decode: lacks: none
    decode: moves: none
"""

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import tiny_architectures
import tiny_models

LAYER = re.compile(r"\.(layers?|h)\.(\d+)\.")
COUNTS = {"num_hidden_layers", "num_layers", "n_layer", "n_layers"}
# Steps of these ops, and copies into results, write nothing but what they read.
MOVES = {"transpose", "concat", "broadcast", "slice", "pad", "copy"}


def with_layers(architecture, count):
    """Every layer like the first."""
    shapes = []
    for name, shape in architecture.shapes:
        layer = LAYER.search(name)
        if not layer:
            shapes.append((name, shape))
        elif layer[2] == "0":
            shapes += [(LAYER.sub(rf".\g<1>.{i}.", name), shape) for i in range(count)]
    fields = {key: count if key in COUNTS else value for key, value in architecture.fields.items()}
    return replace(architecture, fields=fields, shapes=shapes)


def write(path, name, layers):
    if name == "llama-gguf":
        return tiny_models.llama_gguf(path, replace(tiny_models.WIDE, layers=layers))
    if name == "minilm":
        return tiny_models.bert_folder(path, tiny_models.Bert(layers=layers))
    changes = {}
    if name == "chatglm3":
        name, changes = "chatglm", {"architectures": ["ChatGLMForConditionalGeneration"], "rope_ratio": 1}
    return tiny_architectures.write(path, with_layers(tiny_architectures.ALL[name], layers), **changes)


def kernel_stem(kernel):
    """The ops in a kernel's name, without the type and sizes behind them."""
    return re.sub(r"(_q\d_[01k]|_i32|_f16|_bf16)?(_\d+(x\d+)*)*$", "", kernel)


def programs(model, flags):
    """{program: steps in order} of what runs; noting a size is no operation."""
    done = subprocess.run(["transom", "explain", model, "--json", *flags], stdout=subprocess.PIPE, check=True)
    stems = lambda program: [kernel_stem(step["kernel"]) for step in program["steps"] if step["kernel"] != "size"]
    return {program["name"]: stems(program) for program in json.loads(done.stdout)["programs"]}


def listed(steps, counts):
    """What `counts` has, in the order of `steps`."""
    left, found = Counter(counts), []
    for step in steps:
        if left[step] > 0:
            found.append(step)
            left[step] -= 1
    return " ".join(found) or "none"


def describe(program, fewer, more):
    layer = Counter(more) - Counter(fewer)
    if Counter(fewer) - Counter(more):
        raise SystemExit(f"@{program}: a layer more takes away {dict(Counter(fewer) - Counter(more))}")
    twice = layer + layer
    print(f"{program}: {layer.total()} a layer: {listed(more, layer)}")
    print(f"{program}: besides: {listed(fewer, Counter(fewer) - twice)}")
    print(f"{program}: lacks: {listed(more, twice - Counter(fewer))}")
    print(f"{program}: moves: {listed(more, {step: more.count(step) for step in MOVES})}")


def main():
    name, folder, *flags = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    two, three = (programs(write(Path(folder) / f"{layers}-layers", name, layers), flags) for layers in (2, 3))
    for program, steps in three.items():
        describe(program, two[program], steps)


if __name__ == "__main__":
    main()
