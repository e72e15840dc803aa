#!/usr/bin/env python3
"""Tiny random models of every architecture against transformers, live: the interpreter, and compiled code with every pass,
with each pass off and with none. Several seeds; ragged rows padded on the right and on the left; greedy tokens.

Each model is loaded by transformers from the folder that tiny_architectures.py writes, and saved by it into another one,
which Transom reads too: so both spellings of config.json are tested. Needs torch, transformers, safetensors, NumPy; see
README.md. tools/check compares with stored outputs instead: test/e2e/architectures.py.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
import architectures_torch  # noqa: E402
import tiny_architectures  # noqa: E402
from architecture_checks import ArchitectureSuite, inputs_of, with_names  # noqa: E402


class Live(ArchitectureSuite):
    def check_seed(self, architecture, seed, variants):
        what = f"{architecture.name}, seed {seed}"
        self.worst = 0.0
        before = self.passed, self.failed
        folder = tiny_architectures.write(self.folder / f"{architecture.name}-{seed}", architecture, seed)
        inputs = inputs_of(architecture, seed)
        reference = architectures_torch.reference(architecture, folder, inputs)
        self.check_model(what, architecture, folder, inputs, reference, variants)
        model = architectures_torch.load(folder)
        if hasattr(model, "save_pretrained"):
            again = folder.with_name(folder.name + "-saved")
            model.save_pretrained(again)
            self.check_model(f"{what}, saved by transformers", architecture, again, inputs, reference, variants[:1])
        passed, failed = self.passed - before[0], self.failed - before[1]
        print(f"| {architecture.name} | {seed} | {passed} | {failed} | {self.worst:.1e} |", flush=True)


def arguments(parser):
    parser.add_argument("--seeds", type=int, default=3, help="how many of each model")
    return with_names(parser)


def main():
    suite = Live("check_architectures", arguments)
    print("| architecture | seed | passed | failed | worst relative error |\n|---|---:|---:|---:|---:|")
    for name in suite.options.only:
        for seed in range(1, suite.options.seeds + 1):
            suite.check_seed(tiny_architectures.ALL[name], seed, suite.variants())
    for tie in suite.near_ties:
        print(f"near-tie: {tie}")
    return suite.finish()


if __name__ == "__main__":
    sys.exit(main())
