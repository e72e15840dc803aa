#!/usr/bin/env python3
"""Writes smollm2_golden.json: greedy tokens of SmolLM2 by an outside oracle, for check_smollm2.py to compare with.

The oracle is transformers in fp32 on the CPU over the weights decoded from the GGUF file. A second pass in fp64 over the
same tokens bounds the oracle's own error; compare_llama_cpp.py holds the result against a second oracle.
Needs torch, transformers, gguf, accelerate; see README.md. Never run by tools/check.
"""

import argparse
import hashlib
import json
from pathlib import Path

import torch
import transformers
from tokenizers import pre_tokenizers

from smollm2_prompts import PROMPTS

HERE = Path(__file__).resolve().parent
GGUF = HERE.parents[1] / "build" / "models" / "smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
NEW_TOKENS = 64
NEAR_TIE = 1e-3


def load_tokenizer(path):
    """The GGUF file's tokenizer. transformers' conversion drops the single-digit split that the pre-tokenizer
    named in the file ("smollm") asks for, so it is put back."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return tokenizer


def greedy(model, prompt_ids):
    """Always NEW_TOKENS tokens, past the end of text; returns them, each step's top-2 logit gap, and the near-ties."""
    tokens, gaps, ties, cache, feed = [], [], [], None, prompt_ids
    for _ in range(NEW_TOKENS):
        out = model(torch.tensor([feed]), past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache = out.past_key_values
        top = out.logits[0, -1].topk(2)
        feed = [top.indices[0].item()]
        gap = (top.values[0] - top.values[1]).item()
        if gap < NEAR_TIE:
            ties.append({"step": len(tokens), "gap": float(f"{gap:.1e}"), "second": top.indices[1].item()})
        tokens += feed
        gaps.append(gap)
    return tokens, gaps, ties


def check_in_double(model, entry):
    """Steps whose fp64 argmax differs, and the largest change of a step's own logit gap."""
    out = model(torch.tensor([entry["prompt_ids"] + entry["tokens"][:-1]]), logits_to_keep=NEW_TOKENS)
    top = out.logits[0].topk(2)
    differ = [step for step in range(NEW_TOKENS) if top.indices[step, 0].item() != entry["tokens"][step]]
    gaps = top.values[:, 0] - top.values[:, 1]
    error = max((abs(gaps[s].item() - entry["gaps"][s]) for s in range(NEW_TOKENS) if s not in differ), default=0.0)
    return differ, error


def write_golden(out, model, entries, oracle_error):
    """One prompt a line, gaps rounded, so that the file stays small and a change of it reads well."""
    head = {
        "model": model.name,
        "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "oracle": f"transformers {transformers.__version__}, torch {torch.__version__}, fp32 on the CPU",
        "oracle_error": float(f"{oracle_error:.1e}"),
        "near_tie": NEAR_TIE,
    }
    rounded = [entry | {"gaps": [round(gap, 4) for gap in entry["gaps"]]} for entry in entries]
    lines = ",\n".join("  " + json.dumps(entry, ensure_ascii=False) for entry in rounded)
    out.write_text(f'{json.dumps(head, indent=1)[:-2]},\n "prompts": [\n{lines}\n ]\n}}\n', encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=GGUF)
    parser.add_argument("--out", type=Path, default=HERE / "smollm2_golden.json")
    options = parser.parse_args()
    torch.set_grad_enabled(False)

    tokenizer = load_tokenizer(options.model)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        options.model.parent, gguf_file=options.model.name, dtype=torch.float32
    )
    entries = []
    for name, text in PROMPTS.items():
        prompt_ids = tokenizer(text, add_special_tokens=False).input_ids
        tokens, gaps, ties = greedy(model, prompt_ids)
        entry = {"name": name, "text": text, "prompt_ids": prompt_ids, "tokens": tokens, "gaps": gaps, "near_ties": ties}
        entries.append(entry)
        print(f"{name}: {len(prompt_ids)} + {NEW_TOKENS} tokens, near-ties {ties}: {tokenizer.decode(tokens)!r}")

    model = model.double()
    worst = 0.0
    for entry in entries:
        differ, error = check_in_double(model, entry)
        worst = max(worst, error)
        for step in differ:
            print(f"{entry['name']}: step {step} differs in fp64, fp32 gap {entry['gaps'][step]:.2e}")
    print(f"largest difference of a logit gap between fp32 and fp64: {worst:.2e}")
    write_golden(options.out, options.model, entries, worst)


if __name__ == "__main__":
    main()
