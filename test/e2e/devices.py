#!/usr/bin/env python3
"""The commands diff and tune on a machine without a GPU: the CUDA runtime on the fake driver, kernels on the emulator, products by the
fake cuBLASLt. Needs libnvrtc, for compiling; where the compiler has none, it says so and exits 77."""

import json
import re
import sys

import tiny_architectures
from emulated import emulated
from harness import Suite, outcome


def check_diff(suite, name, artifact, environment, tensors):
    """All that both devices have agrees within the usual tolerance, which a tolerance of nothing does not allow."""
    done = suite.transom("diff", artifact, "--check", "--json", environment=environment)
    suite.check(f"{name}: no layer differs", None if done.returncode == 0 else outcome(done))
    found = json.loads(done.stdout or '{"tensors": []}')
    outputs = [tensor["source"] for tensor in found["tensors"]]
    enough = len(outputs) >= tensors and all(any(f"layers.{i}." in source or f"layer.{i}." in source for source in outputs) for i in range(2))
    suite.check(f"{name}: layers are compared", None if enough else f"only {outputs}")
    done = suite.transom("diff", artifact, "--check", "--tolerance=0", environment=environment)
    named = re.fullmatch(r"transom: error: program \w+, [^:]+: relative error \S+, more than 0\n", done.stderr)
    suite.check(f"{name}: the first that differs is an error with --check", None if done.returncode == 1 and named else outcome(done))
    done = suite.transom("diff", artifact, "--tolerance=0", environment=environment)
    named = "\nthe first that differs: program " in done.stdout
    suite.check(f"{name}: and a line without", None if done.returncode == 0 and named else outcome(done))


def check_tune(suite, name, artifact, environment):
    """What is tuned is applied alike from a table, runs, and gives back the original where the table is empty."""
    folder = suite.folder
    tuned, table, again, plain = (folder / f"{name}-{part}" for part in ("tuned", "table", "again", "plain"))
    words = ("tune", artifact, "-o", tuned, "--table", table, "--rows=70,96", "--repeat=1")
    if not suite.ok(f"{name}: tune", *words, environment=environment):
        return
    suite.ok(f"{name}: a table is applied without a GPU", "tune", artifact, "--apply", table, "-o", again)
    suite.check(f"{name}: with the same bytes", None if again.read_bytes() == tuned.read_bytes() else "they differ")
    suite.ok(f"{name}: the tuned artifact is valid", "verify", tuned)
    empty = folder / "empty-table"
    empty.write_text("# nothing\n")
    suite.ok(f"{name}: an empty table is applied", "tune", artifact, "--apply", empty, "-o", plain)
    suite.check(f"{name}: and changes nothing", None if plain.read_bytes() == artifact.read_bytes() else "it does")
    suite.ok(f"{name}: layers of the tuned artifact agree", "diff", tuned, "--check", environment=environment)


def main():
    suite = Suite("devices")
    for name, dtype, tensors in (("gpt2", "bf16", 20), ("llama", "f16", 20), ("bertModel", "f32", 5)):
        folder, artifact = suite.folder / name, suite.folder / f"{name}.transom"
        tiny_architectures.write(folder, tiny_architectures.ALL[name])
        sizes = ("--max-batch", "3", "--max-seq", "32")  # of up to 64 rows most products are none of cuBLASLt's
        done = suite.transom("compile", folder, "-o", artifact, "--target=cuda:sm_80,cpu", f"--dtype={dtype}", "--no-tokenizer", *sizes)
        if "NVRTC" in done.stderr and done.returncode != 0:
            print(f"devices skipped: {done.stderr.strip()}")
            return 77
        if done.returncode != 0:
            suite.check(f"{name} compiles", outcome(done))
            continue
        environment = emulated(suite, artifact, "sm_80")
        check_diff(suite, name, artifact, environment, tensors)
        check_tune(suite, name, artifact, environment)
    return suite.finish()


if __name__ == "__main__":
    sys.exit(main())
