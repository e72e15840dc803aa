#!/usr/bin/env python3
"""An encoder on ragged batches: the naive path, the optimised one with padding, and the optimised one without.

    python examples/fast_encoder/fast_encoder.py --layers 4             # XLM-R large's shape, fewer layers, random weights
    python examples/fast_encoder/fast_encoder.py --model my-classifier  # a Hugging Face folder with tokenizer.json
    python examples/fast_encoder/fast_encoder.py --device cuda --target cuda:sm_90a

The workload of PyTorch's BetterTransformer tutorial: a classifier reads two short sentences, then these and a paragraph, so that two
thirds of the second batch are padding. Prints milliseconds of each path and the kernels that take longest; fails where the paths'
logits differ. Needs NumPy; with --model `tokenizers`; where torch and transformers are installed, they are measured too.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import random_model

ROOT = Path(__file__).resolve().parents[2]
SENTENCES = ["Hello world", "How are you!"]
PARAGRAPH = "The ferry left late, and nobody on the quay could say whether the fog or the captain was to blame. " * 8
LENGTHS = {"small": [4, 6], "large": [4, 6, 210]}  # of about these texts, for a model without tokenizer
LONGEST = 256  # tokens, where the model takes as many
PATHS = {"naive": ["-O0"], "padded": ["--disable=remove-padding"], "optimised": []}
TOLERANCE = 2e-2  # of the logits, against their norm: enough for two paths in fp16
TOP = 6  # kernels of a profile


def batches(options, work):
    """Name to (file of tensors, mask)."""
    ids = {name: [np.random.default_rng(n).integers(5, options.vocab, n) for n in lengths] for name, lengths in LENGTHS.items()}
    if options.model:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(options.model / "tokenizer.json"))
        tokenizer.enable_truncation(options.longest)
        for name, texts in (("small", SENTENCES), ("large", [*SENTENCES, PARAGRAPH])):
            ids[name] = [tokenizer.encode(text).ids for text in texts]
    found = {}
    for name, rows in ids.items():
        mask = (np.arange(max(map(len, rows))) < np.array([[len(row)] for row in rows])).astype(np.int32)
        tokens = np.full(mask.shape, options.padding, np.int32)
        tokens[mask == 1] = np.concatenate(rows)
        found[name] = (work / f"{name}.npz", mask)
        types = {"token_type_ids": np.zeros_like(mask)} if options.types > 1 else {}
        np.savez(found[name][0], input_ids=tokens, attention_mask=mask, **types)
    return found


class Paths:
    """Artifacts of one model, one for each path."""

    def __init__(self, options, folder, work):
        self.options, self.artifacts = options, {}
        for name, flags in PATHS.items():
            self.artifacts[name] = work / f"{name}.transom"
            wanted = [f"--target={options.target}", "--max-batch=3", f"--max-seq={options.longest}", "--no-tokenizer", "--quiet", *flags]
            self.transom("compile", folder, "-o", self.artifacts[name], *wanted)

    def transom(self, *words):
        words = [str(word) for word in (self.options.transom, *words)]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"fast_encoder: {' '.join(words)}\n{done.stderr.strip()}")
        return done.stdout

    def bench(self, path, inputs, *more):
        """What `transom bench` measures."""
        device = f"--device={self.options.device}"
        return json.loads(self.transom("bench", self.artifacts[path], "--tensors", inputs, device, f"--repeat={self.options.repeat}", "--json", *more))

    def logits(self, path, inputs):
        output = inputs.with_name("logits.npz")
        self.transom("run", self.artifacts[path], "--input", inputs, "--output", output, f"--device={self.options.device}")
        with np.load(output) as found:
            return found["logits"]


def transformers_ms(options, folder, files):
    """Milliseconds of transformers' eager path for each batch, in fp32 on the CPU and fp16 on a GPU."""
    import torch
    import transformers

    cuda = options.device.startswith("cuda")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    model = model.to(options.device, torch.float16 if cuda else torch.float32)
    found = {}
    for name, (file, _) in files.items():
        with np.load(file) as arrays, torch.inference_mode():
            given = {key: torch.from_numpy(value).long().to(options.device) for key, value in arrays.items()}
            times = []
            for _ in range(options.repeat + 1):  # the first warms up
                begin = time.perf_counter()
                model(**given).logits.cpu()
                times.append(1e3 * (time.perf_counter() - begin))
            found[name] = float(np.median(times[1:]))
    return found


def difference(found, wanted):
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def compare(options, folder, work):
    """Prints the table and the profiles; whether all paths agree."""
    files, paths = batches(options, work), Paths(options, folder, work)
    peers = {}
    if not options.no_transformers and all(map(importlib.util.find_spec, ("torch", "transformers"))):
        peers = transformers_ms(options, folder, files)
    columns = [*(["transformers"] if peers else []), *PATHS]
    print(f"{'batch':8}{'rows':>6}{'tokens':>8}{'padded to':>11}" + "".join(f"{name + ' ms':>17}" for name in columns) + f"{'speedup':>9}")
    agree = True
    for name, (file, mask) in files.items():
        times = {path: 1e3 * paths.bench(path, file)["seconds"] for path in PATHS}
        times |= {"transformers": peers[name]} if peers else {}
        sizes = f"{len(mask):6}{int(mask.sum()):8}{mask.size:11}"
        print(f"{name:8}{sizes}" + "".join(f"{times[path]:17.2f}" for path in columns) + f"{times['naive'] / times['optimised']:8.2f}x")
        wanted = paths.logits("naive", file)
        for path in ("padded", "optimised"):
            off = difference(paths.logits(path, file), wanted)
            if not off <= TOLERANCE:
                print(f"fast_encoder: {name} batch: logits of {path} are off by {off:.1e} from the naive path's", file=sys.stderr)
                agree = False
    for path in ("naive", "optimised"):
        print(f"\nlarge batch, {path}: the kernels that take longest")
        profile = paths.bench(path, files["large"][0], "--profile")["profile"]
        total = sum(step["seconds"] for step in profile)
        for step in profile[:TOP]:
            print(f"  {step['seconds'] / total:6.1%} of the time, {step['steps']:4} x {step['kernel']}")
    return agree


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="a Hugging Face folder of a classifier, with tokenizer.json; otherwise random weights")
    parser.add_argument("--layers", type=int, help="of the random model, which has 24")
    parser.add_argument("--tiny", action="store_true", help="a random model of a moment's size")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda")
    parser.add_argument("--target", help="what to compile for; the device, if not given")
    parser.add_argument("--repeat", type=int, default=5, help="rounds, of which the median counts")
    parser.add_argument("--work", type=Path, default=ROOT / "build/fast-encoder", help="for the model and what it is compiled to")
    parser.add_argument("--transom", default=ROOT / "build/release/bin/transom")
    parser.add_argument("--no-transformers", action="store_true", help="do not measure it, even if it is installed")
    options = parser.parse_args()
    options.target = options.target or options.device.partition(":")[0]
    shape = random_model.TINY if options.tiny else random_model.Shape()
    shape = random_model.Shape(**{**vars(shape), "layers": options.layers or shape.layers})
    folder = options.model or options.work / f"random-{shape.hidden}-{shape.layers}"
    options.work.mkdir(parents=True, exist_ok=True)
    if not (folder / "config.json").exists() and not options.model:
        random_model.write(folder, shape)
    config = json.loads((folder / "config.json").read_text())
    options.vocab, options.padding, options.types = config["vocab_size"], config.get("pad_token_id", 0), config.get("type_vocab_size", 1)
    options.longest = min(LONGEST, config["max_position_embeddings"] - 2)  # XLM-R's positions begin at 2
    return 0 if compare(options, folder, options.work) else 1


if __name__ == "__main__":
    sys.exit(main())
