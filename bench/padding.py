#!/usr/bin/env python3
"""Measures what remove-padding saves on ragged batches of sentences: MiniLM compiled with the pass and without it.

Two sweeps over batches of 32 sentences: at a fixed padded size [32, 128] the valid tokens grow; at a fixed number of valid
tokens the longest sentence, and with it the padding, grows. Prints a table and writes both as a plot to
bench/results/<date>-padding-<cpu>.svg. Rounds go through all cases in turn; the median counts. Needs NumPy.
"""

import argparse
import datetime
import json
import statistics
import sys
from functools import partial
from pathlib import Path

import numpy as np
from gpu_tables import number
from peers import HERE, MINILM, ROOT, WORK, BenchError, cpu_name, in_turn, run, slug

ROWS, LONGEST = 32, 128
VALID = 1024
VARIANTS = {"with remove-padding": [], "without": ["--disable=remove-padding"]}
COLORS = dict(zip(VARIANTS, ("#1f6f8b", "#c0562f")))


def write_batch(path, lengths, width=None, ids=(1000, 30000), padding=0, types=2):
    """A padded batch [len(lengths), width], without a width max(lengths): any tokens from `ids`, and a mask of these lengths; token types where
    there are several."""
    mask = (np.arange(width or max(lengths)) < np.array(lengths)[:, None]).astype(np.int32)
    tokens = np.where(mask == 1, np.random.default_rng(1).integers(*ids, mask.shape, np.int32), np.int32(padding))
    np.savez(path, input_ids=tokens, attention_mask=mask, **({"token_type_ids": np.zeros_like(mask)} if types > 1 else {}))
    return path


def by_valid_tokens(rows, longest, lengths):
    """Batches padded to [rows, longest]: one sentence as long as that, the others of one length."""
    for length in lengths:
        yield [longest] + [length] * (rows - 1)


def by_padding(rows, valid, longest):
    """Batches of so many valid tokens, the longest sentence ever longer, the others as equal as can be."""
    for most in longest:
        share, over = divmod(valid - most, rows - 1)
        yield [most] + [share + 1] * over + [share] * (rows - 1 - over)


def sweep(cases, time, rounds=1):
    """Figures of (sweep, lengths) cases: rounds go through all, `time` gives the milliseconds of a variant on a batch; the median counts."""
    measures = {f"{variant}, {name} {index}": partial(time, variant, f"{name}-{index}", lengths)
                for index, (name, lengths) in enumerate(cases) for variant in VARIANTS}  # fmt: skip
    times = in_turn(measures, rounds)
    return [{"sweep": name, "rows": len(lengths), "longest": max(lengths), "valid": sum(lengths),
             "ms": {variant: statistics.median(times[f"{variant}, {name} {index}"]) for variant in VARIANTS}}
            for index, (name, lengths) in enumerate(cases)]  # fmt: skip


def measure(options):
    """Figures of every case."""
    artifacts = {}
    for variant, flags in VARIANTS.items():
        artifacts[variant] = WORK / f"padding-{'off' if flags else 'on'}.transom"
        sizes = [f"--max-batch={ROWS}", "--max-seq=256", "--quiet"]
        run([options.transom, "compile", options.model, "-o", artifacts[variant], *sizes, *flags], "transom compile")

    def time(variant, name, lengths):
        batch = write_batch(WORK / f"padding-{name}.npz", lengths)
        command = [options.transom, "bench", artifacts[variant], "--tensors", batch, "--json"]
        command += ["--threads", options.threads, "--repeat", options.repeat]
        return 1000 * json.loads(run(command, "transom bench"))["seconds"]

    cases = [("valid", lengths) for lengths in by_valid_tokens(ROWS, LONGEST, (8, 24, 48, 72, 96, 128))]
    cases += [("padding", lengths) for lengths in by_padding(ROWS, VALID, (VALID // ROWS, 48, 64, 96, 128, 192))]
    return sweep(cases, time, options.rounds)


def padding_of(case):
    """The share of the padded batch that is padding."""
    return 1 - case["valid"] / (case["rows"] * case["longest"])


def table(cases):
    lines = ["| padded size | valid tokens | padding | with, ms | without, ms | ratio |", "|---|---:|---:|---:|---:|---:|"]
    for case in cases:
        on, off = (case["ms"][variant] for variant in VARIANTS)
        lines.append(f"| {case['rows']} x {case['longest']} | {case['valid']} | {padding_of(case):.0%} | {number(on)} | {number(off)} | {off / on:.2f}x |")
    return "\n".join(lines)


def ticks(most):
    step = next(s * 10**p for p in range(6) for s in (1, 2, 5) if most / (s * 10**p) <= 6)
    return [step * i for i in range(int(most // step) + 1)]


def panel(left, title, label, points):
    """One diagram at x = left: points are (x, milliseconds by variant)."""
    width, height, top = 340, 260, 60
    right_most = max(x for x, _ in points) * 1.05
    highest = max(max(times.values()) for _, times in points) * 1.08

    def at(x, y):
        return f"{left + x / right_most * width:.1f},{top + height - y / highest * height:.1f}"

    out = [f'<text x="{left}" y="{top - 16}" font-weight="bold">{title}</text>']
    for x in ticks(right_most):
        px = left + x / right_most * width
        out.append(f'<line x1="{px:.1f}" y1="{top}" x2="{px:.1f}" y2="{top + height}" stroke="#e4e4e4"/>')
        out.append(f'<text x="{px:.1f}" y="{top + height + 18}" text-anchor="middle">{x:g}</text>')
    for y in ticks(highest):
        py = top + height - y / highest * height
        out.append(f'<line x1="{left}" y1="{py:.1f}" x2="{left + width}" y2="{py:.1f}" stroke="#e4e4e4"/>')
        out.append(f'<text x="{left - 8}" y="{py + 4:.1f}" text-anchor="end">{y:g}</text>')
    out.append(f'<text x="{left + width / 2}" y="{top + height + 40}" text-anchor="middle">{label}</text>')
    for variant, color in COLORS.items():
        places = [at(x, times[variant]) for x, times in sorted(points, key=lambda point: point[0])]
        out.append(f'<polyline points="{" ".join(places)}" fill="none" stroke="{color}" stroke-width="2"/>')
        for place in places:
            x, y = place.split(",")
            out.append(f'<circle cx="{x}" cy="{y}" r="3.5" fill="{color}"/>')
    return out


def plot(cases, caption):
    grow = [case for case in cases if case["sweep"] == "valid"]
    pad = [case for case in cases if case["sweep"] == "padding"]
    size, valid = f"[{grow[0]['rows']}, {grow[0]['longest']}]", pad[0]["valid"]
    body = panel(70, f"Time (ms), padded to {size}", "valid tokens", [(case["valid"], case["ms"]) for case in grow])
    points = [(100 * padding_of(case), case["ms"]) for case in pad]
    body += panel(500, f"Time (ms), {valid} valid tokens", "padding, % of the padded batch", points)
    for index, (variant, color) in enumerate(COLORS.items()):
        body.append(f'<rect x="{70 + 190 * index}" y="388" width="14" height="14" fill="{color}"/>')
        body.append(f'<text x="{90 + 190 * index}" y="400">{variant}</text>')
    body.append(f'<text x="500" y="400" fill="#666">{caption}</text>')
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 880 420" font-family="sans-serif" font-size="12">\n'
        '<rect width="880" height="420" fill="white"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transom", type=Path, default=ROOT / "build/release/bin/transom")
    parser.add_argument("--model", type=Path, default=MINILM)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--note", default="", help="a remark for the plot, such as how busy the machine was")
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    try:
        cases = measure(options)
    except BenchError as failure:
        print(f"padding.py: {failure}", file=sys.stderr)
        return 1
    today, name = datetime.date.today().isoformat(), cpu_name()
    caption = f"MiniLM-L6 fp32, {name}, {options.threads} threads, {today}"
    print(table(cases))
    print(f"\n{caption}; median of {options.rounds} rounds. {options.note}".rstrip())
    path = HERE / "results" / f"{today}-padding-{slug(name)}.svg"
    path.write_text(plot(cases, caption + (f", {options.note}" if options.note else "")))
    print(f"plot: {path}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
