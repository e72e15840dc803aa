#!/usr/bin/env python3
"""Checks Transom's MiniLM embeddings of 100 sentences against the oracle's: cosine at least 0.99999.

Each sentence alone (--batch 1) and in padded batches (--batch 16). Also checks the vectors' norm, and that no value is
NaN. Needs only Python.
"""

import argparse
import array
import ast
import json
import math
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
BOUND = 0.99999
NORM_BOUND = 1e-4
TIMEOUT_S = 1800


class CheckError(Exception):
    """A failure whose message is the one line that the user sees."""


def read_npy(path):
    """Rows of a two-dimensional little-endian fp32 .npy file (version 1 to 3) as arrays of floats."""
    data = Path(path).read_bytes()
    if data[:6] != b"\x93NUMPY" or len(data) < 12:
        raise CheckError(f"{path}: not a .npy file")
    wide = data[6] > 1
    start = 12 if wide else 10
    end = start + struct.unpack_from("<I" if wide else "<H", data, 8)[0]
    header = ast.literal_eval(data[start:end].decode("utf-8").strip())
    shape = header["shape"]
    if header["descr"] != "<f4" or header["fortran_order"] or len(shape) != 2:
        raise CheckError(f"{path}: expected a row-major <f4 matrix, found {header}")
    values = array.array("f", data[end:])
    if sys.byteorder == "big":
        values.byteswap()
    if len(values) != shape[0] * shape[1]:
        raise CheckError(f"{path}: {len(values)} values for shape {shape}")
    return [values[row * shape[1] : (row + 1) * shape[1]] for row in range(shape[0])]


def embed(options, sentences, batch):
    with tempfile.TemporaryDirectory() as scratch:
        source, result = Path(scratch) / "sentences.txt", Path(scratch) / "embeddings.npy"
        source.write_bytes("".join(text + "\n" for text in sentences).encode())
        command = [options.transom, "embed", options.artifact, "--input", str(source), "--output", str(result)]
        command += ["--batch", str(batch), *options.arguments.split()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            reason = done.stderr.strip().splitlines() or ["no reason given"]
            raise CheckError(f"transom embed exited with {done.returncode}: {reason[-1]}")
        return read_npy(result)


def cosine(a, b):
    dot = math.fsum(x * y for x, y in zip(a, b))
    return dot / math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b) or math.nan)


def check_batch(options, entries, golden, batch):
    """Prints each sentence that fails, and one line in sum; returns how many failed."""
    rows = embed(options, [entry["text"] for entry in entries], batch)
    if len(rows) != len(golden) or len(rows[0]) != len(golden[0]):
        raise CheckError(f"embeddings are {len(rows)} x {len(rows[0])}, expected {len(golden)} x {len(golden[0])}")
    failed, least = 0, 1.0
    for entry, got, want in zip(entries, rows, golden):
        value = cosine(got, want)
        norm = math.sqrt(math.fsum(x * x for x in got))
        least = min(least, value) if value == value else value
        # Written so that a NaN fails.
        if not (value >= BOUND and abs(norm - 1.0) <= NORM_BOUND):
            failed += 1
            text = entry["text"] if len(entry["text"]) <= 40 else entry["text"][:37] + "..."
            print(f"FAIL: batch {batch}: cosine {value:.7f}, norm {norm:.6f}, {len(entry['ids'])} tokens: {text!r}")
    print(f"minilm: batch {batch}: {len(rows) - failed} of {len(rows)} sentences agree, least cosine {least:.8f}")
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transom", required=True, help="the transom command")
    parser.add_argument("--artifact", required=True, help="MiniLM, compiled")
    parser.add_argument("--sentences", type=Path, default=HERE / "minilm_sentences.json")
    parser.add_argument("--golden", type=Path, default=HERE / "minilm_golden.npy")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--arguments", default="", help="more arguments for transom embed")
    options = parser.parse_args()
    try:
        entries = json.loads(options.sentences.read_text(encoding="utf-8"))["sentences"]
        golden = read_npy(options.golden)
        failed = sum(check_batch(options, entries, golden, batch) for batch in options.batches)
    except (CheckError, OSError, subprocess.TimeoutExpired) as error:
        print(f"check_minilm: {error}", file=sys.stderr)
        return 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
