#!/usr/bin/env python3
"""Equal inputs give equal bits: thousands of replays of decode, of a prompt's prefill, of whole generations; and four sessions in
four threads against the same work done one after the other. On one artifact of a decoder. Needs NumPy.

The last line is "replay: N passed, M failed".
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

from capi import Inputs, Library, Model, Session, TransomError, find_library, step, step_inputs

LENGTHS = (37, 1, 20)
GENERATED = 64


def prompts_of(rng, vocab, lengths=LENGTHS):
    return [rng.integers(0, vocab, length).tolist() for length in lengths]


def check_replays(model, device, runs, rng, vocab, batch):
    """Problems found in `runs` runs of decode, and a tenth as many of prefill, on inputs that stay the same."""
    session = Session(model, device)
    prompts = prompts_of(rng, vocab, LENGTHS[:batch])
    lengths = [len(prompt) for prompt in prompts]
    prefill = Inputs(step_inputs(prompts, [0] * len(prompts)))
    decode = Inputs(step_inputs([[int(rng.integers(0, vocab))] for _ in prompts], lengths))
    problems = []
    for program, inputs, count in (("prefill", prefill, max(runs // 10, 2)), ("decode", decode, runs)):
        first = session.run_bytes(program, inputs)
        logits = np.frombuffer(first["logits"], "<f4")
        if not np.isfinite(logits).all() or not logits.any():
            problems.append(f"{program}: the logits are not finite, or all zero")
        differing = sum(session.run_bytes(program, inputs) != first for _ in range(count - 1))
        if differing:
            problems.append(f"{program}: {differing} of {count} runs differ from the first")
    return problems


def greedy_digest(session, prompts, tokens):
    """Of all logits while these prompts go on greedily for so many tokens."""
    digest, past = hashlib.sha256(), [0] * len(prompts)
    parts = prompts
    for _ in range(tokens):
        logits = step(session, parts, past)
        digest.update(logits.tobytes())
        past = [done + len(part) for done, part in zip(past, parts)]
        parts = [[int(row.argmax())] for row in logits]
    return digest.hexdigest()


def check_threads(model, device, count, tokens, rng, vocab, batch):
    """Problems found where `count` sessions run at once."""
    work = [prompts_of(rng, vocab, rng.permutation(LENGTHS)[:batch]) for _ in range(count)]
    serial = [greedy_digest(Session(model, device), prompts, tokens) for prompts in work]
    found = [None] * count
    start = threading.Barrier(count)

    def one(i):
        try:
            session = Session(model, device)
            start.wait()
            found[i] = greedy_digest(session, work[i], tokens)
        except (TransomError, threading.BrokenBarrierError) as error:
            start.abort()
            found[i] = str(error)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(set(serial)) != count:
        return ["different prompts gave equal logits"]
    return [f"session {i}: expected {serial[i]}, found {found[i]}" for i in range(count) if found[i] != serial[i]]


def check_generations(transom, artifact, device, runs, rng, vocab, folder):
    """Problems found where one process generates from the same prompt again and again: `runs` steps in all."""
    rounds = -(-runs // (GENERATED - 1))
    prompt = ",".join(map(str, prompts_of(rng, vocab)[0]))
    file = Path(folder) / "same.txt"
    file.write_text(f"{prompt}\n" * rounds)
    done = subprocess.run(
        [str(transom), "generate", str(artifact), f"--device={device}", "--tokens-file", str(file), "--batch", "1", "--ignore-eos",
         "--print-tokens", "-n", str(GENERATED)],
        capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
    lines = done.stdout.split("\n")[:-1]
    if done.returncode != 0:
        return [f"generate: exit code {done.returncode}: {(done.stderr.splitlines() or ['no reason given'])[-1]}"]
    if len(lines) != rounds or len(lines[0].split()) != GENERATED:
        return [f"generate: expected {rounds} lines of {GENERATED} tokens, found {len(lines)}"]
    differing = sum(line != lines[0] for line in lines)
    return [f"generate: {differing} of {rounds} answers to one prompt differ from the first"] if differing else []


def run_checks(options, vocab, folder):
    """(what, problems) of each check."""
    rng = np.random.default_rng(11)
    model = Model(Library(options.library), options.artifact)
    for batch in (1, min(options.batch, len(LENGTHS))):
        yield f"{options.runs} runs of decode, batch {batch}", check_replays(model, options.device, options.runs, rng, vocab, batch)
    for batch in (1, min(options.batch, len(LENGTHS))):
        yield (f"{options.threads} sessions in {options.threads} threads, batch {batch}",
               check_threads(model, options.device, options.threads, GENERATED, rng, vocab, batch))
    yield (f"{options.runs} steps of generation",
           check_generations(options.transom, options.artifact, options.device, options.runs, rng, vocab, folder))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("artifact", help="a decoder, compiled for prompts of 40 tokens and a context of 128 at least")
    parser.add_argument("--transom", required=True, help="the command")
    parser.add_argument("--library", help="libtransom.so; without it the one beside the command")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--vocab", type=int, required=True)
    parser.add_argument("--batch", type=int, default=1, help="most rows of the artifact")
    parser.add_argument("--runs", type=int, default=10000)
    parser.add_argument("--threads", type=int, default=4)
    options = parser.parse_args()
    options.library = options.library or find_library(options.transom)
    passed = failed = 0
    try:
        with tempfile.TemporaryDirectory() as folder:
            for what, problems in run_checks(options, options.vocab, folder):
                print(f"replay: {what}: {'; '.join(problems) or 'bitwise equal'}", flush=True)
                passed, failed = passed + (not problems), failed + bool(problems)
    except (TransomError, OSError, AttributeError, subprocess.TimeoutExpired) as error:
        print(f"replay: {error}")
        failed += 1
    print(f"replay: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
