#!/usr/bin/env python3
"""Writes a BERT-family embedder (config.json + model.safetensors) as an ONNX file for the onnxruntime peer.

The graph is the one that onnxruntime's own transformer optimiser ends with: EmbedLayerNormalization, Attention,
SkipLayerNormalization and BiasGelu (exact erf), then mean pooling and L2 normalisation. So the peer runs its fused
kernels whatever an exporter of the day would have produced. fp32 only.
"""

import argparse
import json
import struct
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CONTRIB = "com.microsoft"


def read_safetensors(path):
    """All fp32 tensors of the file by name."""
    data = np.memmap(path, dtype=np.uint8, mode="r")
    length = struct.unpack("<Q", data[:8].tobytes())[0]
    header = json.loads(data[8 : 8 + length].tobytes())
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            tensors[name] = data[begin:end].view("<f4").reshape(entry["shape"])
    return tensors


class Graph:
    """Collects nodes and initializers; every call names its one result."""

    def __init__(self):
        self.nodes, self.initializers = [], []

    def constant(self, name, value):
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, op, inputs, result, domain="", more=(), **attributes):
        self.nodes.append(helper.make_node(op, inputs, [result, *more], name=result, domain=domain, **attributes))
        return result


def add_layer(graph, weights, config, hidden, mask, index):
    """One encoder layer over hidden [batch, seq, hidden]; post-norm, as BERT has it."""
    prefix, tag = f"encoder.layer.{index}.", f"l{index}."
    eps = config["layer_norm_eps"]

    def weight(name):
        return graph.constant(prefix + name, weights[prefix + name])

    def transposed(name):
        return graph.constant(prefix + name, weights[prefix + name].T)

    def dense(source, name, result):
        return graph.node("MatMul", [source, transposed(f"{name}.weight")], tag + result)

    def skip_norm(source, skip, norm, bias, result):
        inputs = [source, skip, weight(f"{norm}.weight"), weight(f"{norm}.bias"), weight(f"{bias}.bias")]
        return graph.node("SkipLayerNormalization", inputs, tag + result, CONTRIB, epsilon=eps)

    parts = [f"{prefix}attention.self.{part}." for part in ("query", "key", "value")]
    qkv = graph.constant(tag + "qkv_weight", np.concatenate([weights[p + "weight"].T for p in parts], axis=1))
    bias = graph.constant(tag + "qkv_bias", np.concatenate([weights[p + "bias"] for p in parts]))
    heads = config["num_attention_heads"]
    attended = graph.node("Attention", [hidden, qkv, bias, mask], tag + "attention", CONTRIB, num_heads=heads)
    projected = dense(attended, "attention.output.dense", "attention_out")
    middle = skip_norm(projected, hidden, "attention.output.LayerNorm", "attention.output.dense", "attention_norm")
    wide = dense(middle, "intermediate.dense", "wide")
    active = graph.node("BiasGelu", [wide, weight("intermediate.dense.bias")], tag + "gelu", CONTRIB)
    narrow = dense(active, "output.dense", "narrow")
    return skip_norm(narrow, middle, "output.LayerNorm", "output.dense", "norm")


def add_pooling(graph, hidden, mask):
    """Mean over attended tokens, then L2 normalisation: [batch, hidden]."""
    weight = graph.node("Cast", [mask], "mask_f32", to=TensorProto.FLOAT)
    axis = graph.constant("axis_seq", np.array([1], np.int64))
    wide = graph.node("Unsqueeze", [weight, graph.constant("axis_last", np.array([2], np.int64))], "mask_wide")
    masked = graph.node("Mul", [hidden, wide], "masked")
    total = graph.node("ReduceSum", [masked, axis], "total", keepdims=0)
    count = graph.node("ReduceSum", [weight, axis], "count", keepdims=1)
    mean = graph.node("Div", [total, count], "mean")
    return graph.node("LpNormalization", [mean], "embedding", axis=1, p=2)


def build(folder):
    config = json.loads((folder / "config.json").read_text())
    weights = read_safetensors(folder / "model.safetensors")
    weights = {name.removeprefix("bert."): value for name, value in weights.items()}
    if config["hidden_act"] != "gelu":
        raise SystemExit(f"{folder}/config.json: hidden_act is {config['hidden_act']}, expected gelu")
    graph = Graph()
    tables = ["word_embeddings.weight", "position_embeddings.weight", "token_type_embeddings.weight"]
    names = [f"embeddings.{name}" for name in tables + ["LayerNorm.weight", "LayerNorm.bias"]]
    inputs = ["input_ids", "segment_ids", *(graph.constant(name, weights[name]) for name in names), "attention_mask"]
    eps = config["layer_norm_eps"]
    hidden = graph.node("EmbedLayerNormalization", inputs, "embedded", CONTRIB, more=["mask_index"], epsilon=eps)
    for index in range(config["num_hidden_layers"]):
        hidden = add_layer(graph, weights, config, hidden, "attention_mask", index)
    add_pooling(graph, hidden, "attention_mask")

    matrix = ["batch", "seq"]
    names = ("input_ids", "segment_ids", "attention_mask")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT32, matrix) for name in names]
    result = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", config["hidden_size"]])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(CONTRIB, 1)]
    body = helper.make_graph(graph.nodes, "bert_embedder", inputs, [result], graph.initializers)
    return helper.make_model(body, opset_imports=opsets, ir_version=8)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the model folder")
    parser.add_argument("out", type=Path, help="the ONNX file to write")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(build(options.folder), options.out)


if __name__ == "__main__":
    main()
