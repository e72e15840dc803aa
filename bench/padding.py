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
from pathlib import Path

import numpy as np
from peers import HERE, MINILM, ROOT, WORK, BenchError, cpu_name, run, slug

ROWS, LONGEST = 32, 128
VALID = 1024
COLORS = {"with remove-padding": "#1f6f8b", "without": "#c0562f"}


def write_batch(name, lengths):
    """A padded batch [len(lengths), max(lengths)]: any tokens, and a mask of these lengths."""
    path = WORK / f"padding-{name}.npz"
    mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int32)
    ids = np.random.default_rng(1).integers(1000, 30000, mask.shape, np.int32)
    np.savez(path, input_ids=ids * mask, attention_mask=mask, token_type_ids=np.zeros_like(mask))
    return path


def by_valid_tokens():
    """Batches padded to [ROWS, LONGEST]: one sentence as long as that, the others of one length."""
    for length in (8, 24, 48, 72, 96, 128):
        yield [LONGEST] + [length] * (ROWS - 1)


def by_padding():
    """Batches of VALID tokens in ROWS sentences, the longest of them ever longer."""
    mean = VALID // ROWS
    for longest in (mean, 48, 64, 96, 128, 192):
        rest = VALID - longest
        lengths = [longest] + [rest // (ROWS - 1)] * (ROWS - 1)
        for i in range(rest % (ROWS - 1)):
            lengths[1 + i] += 1
        yield lengths


def measure(options):
    """(sweep, lengths, milliseconds by variant) of every case."""
    artifacts = {}
    for variant, flags in (("with remove-padding", []), ("without", ["--disable=remove-padding"])):
        artifacts[variant] = WORK / f"padding-{'on' if not flags else 'off'}.transom"
        sizes = [f"--max-batch={ROWS}", "--max-seq=256", "--quiet"]
        run([options.transom, "compile", options.model, "-o", artifacts[variant], *sizes, *flags], "transom compile")
    cases = [("valid", lengths) for lengths in by_valid_tokens()] + [("padding", lengths) for lengths in by_padding()]
    times = [{variant: [] for variant in artifacts} for _ in cases]
    for number in range(options.rounds):
        for index, (sweep, lengths) in enumerate(cases):
            batch = write_batch(f"{sweep}-{index}", lengths)
            for variant, artifact in artifacts.items():
                command = [options.transom, "bench", artifact, "--tensors", batch, "--json"]
                command += ["--threads", options.threads, "--repeat", options.repeat]
                times[index][variant].append(1000 * json.loads(run(command, "transom bench"))["seconds"])
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    return [
        (sweep, lengths, {variant: statistics.median(values) for variant, values in found.items()})
        for (sweep, lengths), found in zip(cases, times)
    ]


def table(results):
    lines = ["| padded size | valid tokens | padding | with, ms | without, ms | ratio |", "|---|---:|---:|---:|---:|---:|"]
    for _, lengths, times in results:
        valid, size = sum(lengths), len(lengths) * max(lengths)
        on, off = times["with remove-padding"], times["without"]
        share = 1 - valid / size
        lines.append(f"| {len(lengths)} x {max(lengths)} | {valid} | {share:.0%} | {on:.1f} | {off:.1f} | {off / on:.2f}x |")
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


def plot(results, caption):
    grow = [(sum(lengths), times) for sweep, lengths, times in results if sweep == "valid"]
    pad = [
        (100 * (1 - sum(lengths) / len(lengths) / max(lengths)), times) for sweep, lengths, times in results if sweep == "padding"
    ]
    body = panel(70, f"Time (ms), padded to [{ROWS}, {LONGEST}]", "valid tokens", grow)
    body += panel(500, f"Time (ms), {VALID} valid tokens", "padding, % of the padded batch", pad)
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
        results = measure(options)
    except BenchError as failure:
        print(f"padding.py: {failure}", file=sys.stderr)
        return 1
    today, name = datetime.date.today().isoformat(), cpu_name()
    caption = f"MiniLM-L6 fp32, {name}, {options.threads} threads, {today}"
    print(table(results))
    print(f"\n{caption}; median of {options.rounds} rounds. {options.note}".rstrip())
    path = HERE / "results" / f"{today}-padding-{slug(name)}.svg"
    path.write_text(plot(results, caption + (f", {options.note}" if options.note else "")))
    print(f"plot: {path}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
