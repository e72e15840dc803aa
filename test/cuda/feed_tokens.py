#!/usr/bin/env python3
"""Feeds given tokens to a compiled decoder through the C API, and writes the logits of every step: prompts in chunks by the
program prefill, then one token per row by decode. In a process of its own, so that a fault of the device stays there.

The input has for each job "<job>.ids" [rows, longest], "<job>.lengths" [rows] and "<job>.forced" [rows, steps]; the output
"<job>.logits" [rows, steps, vocab], of which step 0 follows the prompt and step i the forced token i - 1. Needs NumPy.
"""

import argparse
import sys

import numpy as np

from capi import Library, Model, Session, TransomError, feed, step


def job_logits(session, ids, lengths, forced, chunk):
    prompts = [row[:length].tolist() for row, length in zip(ids, lengths)]
    logits = [feed(session, prompts, chunk)]
    for i in range(forced.shape[1] - 1):
        past = [int(length) + i for length in lengths]
        logits.append(step(session, [[int(token)] for token in forced[:, i]], past).copy())
    return np.stack(logits, axis=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("artifact")
    parser.add_argument("--library", required=True, help="libtransom.so")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--chunk", type=int, required=True, help="most new tokens of a row at once")
    options = parser.parse_args()
    try:
        session = Session(Model(Library(options.library), options.artifact), options.device)
        with np.load(options.input) as given:
            jobs = sorted({name.rsplit(".", 1)[0] for name in given.files})
            results = {
                f"{job}.logits": job_logits(session, given[f"{job}.ids"], given[f"{job}.lengths"], given[f"{job}.forced"], options.chunk)
                for job in jobs
            }
    except (TransomError, OSError, AttributeError) as error:
        print(f"feed_tokens: {error}", file=sys.stderr)
        return 1
    np.savez(options.output, **results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
