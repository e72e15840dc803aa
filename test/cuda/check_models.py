#!/usr/bin/env python3
"""Artifacts on the GPU of this machine against what transformers computes (tiny models of every architecture, stored outputs) and
against the CPU backend (GGUF's block formats). Where there is no GPU it says so and exits 77. Needs NumPy; the transom
command needs no compiler of this machine.

The last line is "gpu-models: N passed, M failed".
"""

import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
import numpy as np  # noqa: E402
import tiny_architectures  # noqa: E402
import tiny_models  # noqa: E402
from agreement import decoder_inputs  # noqa: E402
from architectures import GOLDEN, Stored  # noqa: E402

TIMEOUT_S = 300
FORMATS = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K")
LENGTHS = (1, 16, 7)


def arguments(parser):
    parser.add_argument("--only", nargs="*", choices=tiny_architectures.ALL, default=list(tiny_architectures.ALL), metavar="NAME")
    parser.add_argument("--arch", default="sm_90a", help="what to compile for")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--formats", nargs="*", default=FORMATS)
    return parser


class OnGpu(Stored):
    """Every compile is for the GPU and the CPU, every run is on the GPU unless it names another device."""

    def transom(self, command, *rest, environment=None, **_):
        rest = [str(word) for word in rest]
        if command == "compile":
            rest.append(f"--target=cuda:{self.options.arch},cpu")
        elif command in ("run", "generate", "embed") and not any(word.startswith("--device") for word in rest):
            rest.append(f"--device={self.options.device}")
        # Without the limit on virtual memory of other tests: the driver reserves more than the machine has.
        return subprocess.run([self.options.transom, command, *rest], capture_output=True, text=True, errors="replace",
                              timeout=TIMEOUT_S, stdin=subprocess.DEVNULL, env=environment)

    def check_format(self, kind):
        """Logits and greedy tokens of a tiny Llama with weights of this kind: GPU against CPU."""
        config = tiny_models.WIDE
        model = tiny_models.llama_gguf(self.folder / f"{kind}.gguf", kind=kind)
        artifact = self.compiled(f"gguf {kind}", model, ("--max-batch=4", "--max-seq=16", "--max-context=48"))
        if artifact is None:
            return
        rng = np.random.default_rng(4)
        sizes = {"layers": config.layers, "kv_heads": config.kv_heads, "head_dim": config.head_dim}
        inputs, _ = decoder_inputs(rng, 60, LENGTHS, **sizes)
        given = {"input_ids": inputs["input_ids"], "lengths": np.array(LENGTHS, "<i4"), "past_lengths": np.zeros(len(LENGTHS), "<i4")}
        gpu = self.run(f"gguf {kind}", artifact, given, "--program", "prefill")
        cpu = self.run(f"gguf {kind} on the CPU", artifact, given, "--program", "prefill", "--device=cpu")
        if gpu and cpu:
            self.compare(f"gguf {kind}: logits", gpu["logits"], cpu["logits"])
        prompt = ("--tokens", "5,17,9", "--ignore-eos", "--print-tokens", "--max-new-tokens", "32")
        texts = [self.transom("generate", artifact, *prompt, *device) for device in ((), ("--device=cpu",))]
        equal = texts[0].returncode == 0 and texts[0].stdout == texts[1].stdout
        self.check(f"gguf {kind}: tokens", None if equal else f"GPU: {texts[0].stdout} {texts[0].stderr} CPU: {texts[1].stdout}")


def main():
    if shutil.which("nvidia-smi") is None:
        print("gpu-models: skipped, this machine has no NVIDIA driver")
        return 77
    suite = OnGpu("gpu-models", arguments)
    with np.load(GOLDEN) as golden:
        for name in suite.options.only:
            suite.check_stored(tiny_architectures.ALL[name], golden)
            print(f"gpu-models: {name}: {suite.passed} passed, {suite.failed} failed so far", flush=True)
    for kind in suite.options.formats:
        suite.check_format(kind)
    for tie in suite.near_ties:
        print(f"near-tie: {tie}")
    print(f"gpu-models: worst relative error {suite.worst:.2e}, bound {suite.bound:.0e}")
    return suite.finish()


if __name__ == "__main__":
    sys.exit(main())
