#!/usr/bin/env python3
"""A tiny random model of every architecture against what transformers computes with it, stored in
test/oracle/architectures_golden.npz: on the interpreter, and as compiled code with every pass and with none. Ragged rows,
padded on either side; greedy tokens. Needs NumPy.
"""

import hashlib
import sys

import numpy as np

import tiny_architectures
from architecture_checks import ArchitectureSuite, inputs_of
from harness import ROOT

GOLDEN = ROOT / "test" / "oracle" / "architectures_golden.npz"


class Stored(ArchitectureSuite):
    def check_stored(self, architecture, golden):
        name, seed = architecture.name, int(golden["seed"])
        folder = tiny_architectures.write(self.folder / name, architecture, seed)
        digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).digest()
        if digest != golden[f"{name}/weights_sha256"].tobytes():
            self.check(name, "this NumPy draws other weights than those that the golden outputs are of")
            return
        reference = {key.split("/")[1]: golden[key] for key in golden.files if key.startswith(name + "/")}
        del reference["weights_sha256"]
        variants = [("all passes", ()), ("-O0", ("-O0",))]
        self.check_model(name, architecture, folder, inputs_of(architecture, seed), reference, variants)


def main():
    suite = Stored("architectures")
    with np.load(GOLDEN) as golden:
        for name in suite.options.only:
            suite.check_stored(tiny_architectures.ALL[name], golden)
    for tie in suite.near_ties:
        print(f"near-tie: {tie}")
    print(f"architectures: worst relative error {suite.worst:.2e}, bound {suite.bound:.0e}")
    return suite.finish()


if __name__ == "__main__":
    sys.exit(main())
