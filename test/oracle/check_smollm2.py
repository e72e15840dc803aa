#!/usr/bin/env python3
"""Checks that Transom's greedy tokens for SmolLM2 equal the oracle's: 20 prompts, 64 tokens each.

Where the oracle's own top-2 logit gap is under the near-tie bound, its second-best token is accepted, listed, and the
rest of that prompt is generated again after the oracle's token. Every other difference fails. Needs only Python.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TIMEOUT_S = 1800


class CheckError(Exception):
    """A failure whose message is the one line that the user sees."""


def generate(options, prompts, new_tokens):
    """Greedy token ids of the compiled model for lists of prompt ids: one list of new_tokens ids for each."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(",".join(map(str, ids)) + "\n" for ids in prompts))
        file.flush()
        command = [options.transom, "generate", options.artifact, "--tokens-file", file.name, "--ignore-eos"]
        command += ["--max-new-tokens", str(new_tokens), "--print-tokens", *options.arguments.split()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines() or ["no reason given"]
        raise CheckError(f"transom generate exited with {done.returncode}: {reason[-1]}")
    try:
        rows = [[int(word) for word in line.split()] for line in done.stdout.splitlines() if line.strip()]
    except ValueError as error:
        raise CheckError(f"transom generate printed something else than token ids: {error}") from None
    if len(rows) != len(prompts):
        raise CheckError(f"transom generate printed {len(rows)} lines of tokens, expected {len(prompts)}")
    for row in rows:
        if len(row) != new_tokens:
            raise CheckError(f"transom generate printed {len(row)} tokens for a prompt, expected {new_tokens}")
    return rows


def compare(options, entry, got):
    """Returns (wrong, listed): the reason why the prompt fails, or None; and its near-ties as text."""
    want, start, listed = entry["tokens"], 0, []
    ties = {tie["step"]: tie for tie in entry["near_ties"]}
    while True:
        step = next((at for at in range(start, len(want)) if got[at] != want[at]), None)
        agreed = range(start, len(want) if step is None else step)
        listed += [f"step {at}, gap {ties[at]['gap']:.1e}, equal" for at in sorted(ties) if at in agreed]
        if step is None:
            return None, listed
        if step not in ties or got[step] != ties[step]["second"]:
            return f"step {step}: token {got[step]}, oracle {want[step]} with logit gap {entry['gaps'][step]:.4f}", listed
        listed.append(f"step {step}, gap {ties[step]['gap']:.1e}, the oracle's second-best token {got[step]}")
        start = step + 1
        if start == len(want):
            return None, listed
        rest = generate(options, [entry["prompt_ids"] + want[:start]], len(want) - start)
        got = want[:start] + rest[0]


def check(options):
    golden = json.loads(options.golden.read_text(encoding="utf-8"))
    entries = golden["prompts"]
    rows = generate(options, [entry["prompt_ids"] for entry in entries], len(entries[0]["tokens"]))
    failed = 0
    for entry, got in zip(entries, rows):
        wrong, listed = compare(options, entry, got)
        for line in listed:
            print(f"near-tie: {entry['name']}: {line}")
        if wrong:
            print(f"FAIL: {entry['name']}: {wrong}")
            failed += 1
    equal = sum(a == b for entry, got in zip(entries, rows) for a, b in zip(entry["tokens"], got))
    total = sum(len(entry["tokens"]) for entry in entries)
    print(f"smollm2: {len(entries) - failed} of {len(entries)} prompts agree, {equal} of {total} tokens equal at first try")
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transom", required=True, help="the transom command")
    parser.add_argument("--artifact", required=True, help="SmolLM2, compiled")
    parser.add_argument("--golden", type=Path, default=HERE / "smollm2_golden.json")
    parser.add_argument("--arguments", default="", help="more arguments for transom generate, for example '--batch 4'")
    options = parser.parse_args()
    try:
        return check(options)
    except (CheckError, OSError, subprocess.TimeoutExpired) as error:
        print(f"check_smollm2: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
