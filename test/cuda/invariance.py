#!/usr/bin/env python3
"""A row's results are the same bits alone and beside other rows, in any order and padded to any width, on an artifact that was compiled with
--batch-invariant. Rows of ragged lengths: of decoders the logits after the prompt, read in chunks, and after each greedy token; of
encoders every output. An artifact that differs in remove-padding alone gives the same bits, which --save and --expect compare. Needs NumPy.

The last line is "invariance: N passed, M failed".
"""

import argparse
import sys

import numpy as np

from capi import Library, Model, Session, TransomError, find_library, step_inputs

STEPS = 4  # greedy tokens behind each prompt


def read(session, program, parts, past):
    return session.run(program, step_inputs(parts, past))["logits"]


def decoder_rows(session, rows, chunk, forced):
    """For each row its logits as bytes, after the prompt and after each of its `forced` tokens; greedy ones where that is None."""
    past, found = [0] * len(rows), [[] for _ in rows]
    while any(done < len(row) for done, row in zip(past, rows)):
        parts = [row[done : done + chunk] for done, row in zip(past, rows)]
        logits = read(session, "prefill", parts, past)
        past = [done + len(part) for done, part in zip(past, parts)]
        for i, part in enumerate(parts):
            if part and past[i] == len(rows[i]):
                found[i].append(logits[i].copy())
    steps = len(forced[0]) if forced[0] is not None else STEPS
    for number in range(steps):
        tokens = [[int(found[i][-1].argmax()) if forced[i] is None else forced[i][number]] for i in range(len(rows))]
        logits = read(session, "decode", tokens, past)
        past = [done + 1 for done in past]
        for i in range(len(rows)):
            found[i].append(logits[i].copy())
    return found


def encoder_rows(session, rows, names, width):
    """For each row its outputs, without what belongs to padding; padded behind to `width` tokens, or the longest where that is more."""
    width = max(width, *map(len, rows))
    ids, mask = np.zeros((len(rows), width), "<i4"), np.zeros((len(rows), width), "<i4")
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = row, 1
    values = {"input_ids": ids, "attention_mask": mask, "token_type_ids": mask * 0}
    outputs = session.run("main", {name: values[name] for name in names})
    return [[value[i, : len(row)] if value.ndim == 3 and value.shape[1] == width else value[i] for _, value in sorted(outputs.items())] for i, row in enumerate(rows)]


class Work:
    """What rows give on a session, in batches."""

    def __init__(self, session, options):
        self.session, self.options = session, options

    def outputs(self, rows, forced, width=0):
        if self.options.encoder:
            return encoder_rows(self.session, rows, self.options.encoder, width)
        return decoder_rows(self.session, rows, self.options.chunk, forced)

    def alone(self, rows, forced):
        return [self.outputs([row], [tokens])[0] for row, tokens in zip(rows, forced)]


def batches(count, encoder, longest):
    """(what, rows in their order, width) of the batches that are compared with each row alone."""
    order = list(range(count))
    yield "all rows at once", order, 0
    yield "the other way round", order[::-1], 0
    yield "two rows", order[:2], 0
    yield "a row beside itself", [1] * 3, 0
    if encoder:
        yield "padded further", order, longest + 5


def difference(found, expected):
    """Which outputs of a row differ; None where all bits agree."""
    if len(found) != len(expected) or any(not np.isfinite(value).all() or not value.any() for value in expected):
        return "missing, not finite, or all zero"
    differing = [i for i, (a, b) in enumerate(zip(found, expected)) if a.shape != b.shape or a.tobytes() != b.tobytes()]
    if not differing:
        return None
    worst = max(float(np.abs(found[i].astype(np.float64) - expected[i]).max()) for i in differing if found[i].shape == expected[i].shape)
    return f"{len(differing)} of {len(expected)} outputs differ, the worst by {worst:.1e}"


def run_checks(options):
    """(what, problems) of each check."""
    library = Library(options.library)
    work = Work(Session(Model(library, options.artifact), options.device), options)
    rng = np.random.default_rng(12)
    rows = [rng.integers(3, options.vocab, length).tolist() for length in options.lengths]
    expected = work.alone(rows, [None] * len(rows)) if options.expect is None else loaded(options.expect, len(rows))
    forced = [None if options.encoder else [int(logits.argmax()) for logits in row[:-1]] for row in expected]
    if options.save:
        np.savez(options.save, **{f"{i} {j}": value for i, row in enumerate(expected) for j, value in enumerate(row)})
    if options.expect:
        yield "each row alone, as saved", problems_of(work.alone(rows, forced), expected, range(len(rows)))
    for what, order, width in batches(len(rows), options.encoder, max(options.lengths)):
        found = work.outputs([rows[i] for i in order], [forced[i] for i in order], width)
        yield what, problems_of(found, [expected[i] for i in order], order)


def loaded(path, rows):
    with np.load(path) as file:
        return [[file[name] for name in file.files if name.startswith(f"{i} ")] for i in range(rows)]


def problems_of(found, expected, order):
    return [f"row {row}: {problem}" for row, one, other in zip(order, found, expected) if (problem := difference(one, other))]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("artifact")
    parser.add_argument("--save", metavar="FILE", help="keep what each row gives alone")
    parser.add_argument("--expect", metavar="FILE", help="compare with what another artifact kept")
    parser.add_argument("--transom", help="the command")
    parser.add_argument("--library", help="libtransom.so; without it the one beside the command")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--vocab", type=int, required=True)
    parser.add_argument("--lengths", type=int, nargs="+", required=True, help="tokens of each row; at most the artifact's rows, and an encoder's tokens less 5")
    parser.add_argument("--chunk", type=int, help="most new tokens of a decoder's row at once")
    parser.add_argument("--encoder", nargs="+", metavar="INPUT", help="inputs of an encoder's program main; without it a decoder")
    options = parser.parse_args()
    options.library = options.library or find_library(options.transom)
    passed = failed = 0
    try:
        for what, problems in run_checks(options):
            print(f"invariance: {what}: {'; '.join(problems) or 'bitwise equal'}", flush=True)
            passed, failed = passed + (not problems), failed + bool(problems)
    except (TransomError, OSError, AttributeError) as error:
        print(f"invariance: {error}")
        failed += 1
    print(f"invariance: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
