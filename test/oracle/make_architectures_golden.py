#!/usr/bin/env python3
"""Writes architectures_golden.npz: what transformers computes with one tiny random model of each architecture, for
test/e2e/architectures.py. Needs torch, transformers, safetensors, NumPy; see README.md. Never run by tools/check.
"""

import hashlib
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
import architectures_torch  # noqa: E402
import tiny_architectures  # noqa: E402
from architecture_checks import inputs_of  # noqa: E402

SEED = 7
HERE = Path(__file__).resolve().parent


def main():
    arrays = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, architecture in tiny_architectures.ALL.items():
            folder = tiny_architectures.write(Path(scratch) / name, architecture, SEED)
            digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).digest()
            arrays[f"{name}/weights_sha256"] = np.frombuffer(digest, np.uint8)
            reference = architectures_torch.reference(architecture, folder, inputs_of(architecture, SEED))
            arrays.update({f"{name}/{key}": value for key, value in reference.items()})
    np.savez_compressed(HERE / "architectures_golden.npz", seed=SEED, **arrays)


if __name__ == "__main__":
    main()
