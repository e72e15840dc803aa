#!/usr/bin/env python3
"""Writes test vectors of GGML's block formats: random blocks and what the `gguf` package decodes them to.

    pip install gguf numpy
    make_block_vectors.py [blocks per format] > block_vectors.txt

Each line: format, a block in hex, its numbers as little-endian floats in hex. Scales are finite halves, extremes and
subnormals among them; all other bits are uniformly random. TRANSOM_BLOCK_VECTORS=<file> makes the test read a larger set.
"""
import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from gguf.quants import dequantize

# Offsets of the half-precision fields in a block.
HALVES = {Type.Q8_0: [0], Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2],
          Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208]}
# 0, -0, smallest and largest subnormal, smallest normal, one, largest and smallest finite.
EDGES = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x3C00, 0x7BFF, 0xFBFF]


def random_half(random, index):
    if index < len(EDGES) and random.integers(2):
        return EDGES[random.integers(len(EDGES))]
    return int(random.integers(2)) << 15 | int(random.integers(0x7C00))


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    random = np.random.default_rng(1)
    for kind, offsets in HALVES.items():
        elements, size = GGML_QUANT_SIZES[kind]
        for index in range(count):
            block = random.integers(0, 256, size, dtype=np.uint8)
            for offset in offsets:
                block[offset:offset + 2] = np.array([random_half(random, index)], "<u2").view(np.uint8)
            numbers = dequantize(block.reshape(1, size), kind).reshape(elements).astype("<f4")
            print(kind.name.lower(), block.tobytes().hex(), numbers.tobytes().hex())


main()
