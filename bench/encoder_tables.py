#!/usr/bin/env python3
"""The figures of bench/encoders.py as tables in Markdown, beside floors, peers and targets. Measures nothing.

As a command: encoder_tables.py <figures.json> [--readme], tables of a run that was saved.
"""

import argparse
import json

import padding
from gpu_tables import line, missed_text, number, profile_text, table, times, verdict
from peers import write_readme

MARKERS = ("<!-- encoders:begin -->", "<!-- encoders:end -->")

# Figure and floor on the H100 of the targets: ms a batch; for E3 sequences/s, larger is better.
TARGETS = {"e1": (18.5, 17), "e2": (0.40, 0.20), "e3": (24e3, 29e3)}
FP8_MS = 11.5  # E1's target with products of 8 bits, on the H100 of the targets
PEERS = {"eager_ms": "sdpa, eager", "compiled_ms": "sdpa, torch.compile", "native_nested_ms": "fast path, nested", "native_padded_ms": "fast path, padded"}
PROFILED = ("e1", "e2", "e3", "heads")


def main_table(figures):
    rows = []
    for key, (target, floor) in TARGETS.items():
        row = figures.get(key)
        if not row:
            continue
        rate, peers = key == "e3", row.get("peers", {})
        limit, own = max(target / floor, floor / target), row["ms"] / row["floor_ms"]

        def shown(ms, rate=rate, row=row):
            return 1e3 * row["rows"] / ms if rate else ms

        cells = [times(shown(peers[name]), peers[name] / row["ms"]) if name in peers else "–" for name in PEERS]
        reached = shown(row["ms"]) >= target if rate else row["ms"] <= target
        rows.append(line(key.upper(), f"{row['what']}, {'sequences/s' if rate else 'ms'}", number(shown(row["ms"])),
                         number(shown(row["late_ms"])) if "late_ms" in row else "–", number(shown(row["floor_ms"])), f"{own:.2f}", *cells, f"{limit:.2f}",
                         verdict(own, limit), f"{'≥' if rate else '≤'} {number(target)}", "yes" if reached else "no"))  # fmt: skip
    heads = ["", "measured", "Transom", "all tokens in the last layer", "floor", "ratio to floor", *PEERS.values(), "target's ratio to its floor", "met",
             "target on H100", "reached here"]  # fmt: skip
    return table(heads, rows, 2)


def fp8_table(figures):
    found = figures.get("fp8")
    if not found:
        return []
    fp16, rows = found["forms"]["fp16"]["ms"], []
    for how, form in found["forms"].items():
        cells = [f"{form['error']:.1e}", f"{form['cosine_mean']:.5f} ({form['cosine_least']:.5f})", f"{100 * form['agree']:.1f}%"] if "error" in form else ["–"] * 3
        target = ["–", "–"] if how == "fp16" else [f"≤ {number(FP8_MS)}", "yes" if form["ms"] <= FP8_MS else f"no, {100 * (form['ms'] / FP8_MS - 1):.0f}% over"]
        rows.append(line(how if how == "fp16" else f"fp8, {how}", number(form["ms"]), f"{fp16 / form['ms']:.2f}x", *target, *cells))
    head = ["", f"{found['what']}: products of 8 bits (fp8, e4m3), logits against those in fp16:", ""]
    return head + table(["", "ms", "to fp16", "target on H100", "met", "error", "cosine (least)", "best label agrees"], rows, 1)


def heads_table(figures):
    found = figures.get("heads")
    if not found:
        return []
    rows = [line(row["batch"], " ".join(map(str, row["lengths"])), number(row["ms"]), times(row["naive_ms"], row["naive_ms"] / row["ms"]),
                 f"{row['error']:.1e}", f"{row['naive_error']:.1e}") for row in found["batches"]]  # fmt: skip
    head = ["", f"{found['what']}: the naive path (transformers, eager attention) and Transom, logits against the naive path in fp32:", ""]
    return head + table(["batch", "tokens of its rows", "Transom, ms", "naive, ms", "Transom's error", "naive fp16's error"], rows, 2)


def padding_table(figures):
    found = figures.get("padding")
    return ["", f"{found['what']}, with remove-padding and without:", "", padding.table(found["cases"])] if found else []


def invariant_table(figures):
    found = figures.get("invariant")
    if not found:
        return []
    rows = [line(row["batch"], number(row["ms"]), number(row["plain_ms"]), f"{row['ms'] / row['plain_ms']:.2f}") for row in found["batches"]]
    return ["", f"{found['what']}, what --batch-invariant costs:", ""] + table(["batch", "--batch-invariant, ms", "without, ms", "ratio"], rows)


def tables(figures, machine):
    found = figures["ceilings"]
    lines = main_table(figures) + fp8_table(figures) + heads_table(figures) + padding_table(figures) + invariant_table(figures)
    lines += [
        "",
        f"{machine['gpu']}, driver {machine['driver']}, {machine['date']}, commit {machine['commit']}. Ceilings of the run: "
        f"read {found['read_bytes_per_s'] / 1e12:.3g} TB/s (by {found['read_by']}), fp16 product {found['layer_flops_per_s'] / 1e12:.3g} TFLOP/s "
        f"({found['layer_flops_by']}: floors are over this one, as those of the targets), largest bf16 product of a square "
        f"{found['matmul_flops_per_s'] / 1e12:.3g} TFLOP/s. Floors count valid tokens alone, and of the last layer, behind keys and values, a row's "
        "first token: every model has a head for two classes, which reads that one, and gives back logits only. The peers compute all tokens, as does "
        "Transom with --disable=choose-tokens-early. Transom's times hold copying ids and mask to the device and logits back, and are medians of three rounds in which a workload's forms take turns; the peers' inputs lie on the device. Fast "
        "path: torch.nn.TransformerEncoder with src_key_padding_mask, enable_nested_tensor on and off. Errors: ‖a − b‖ / ‖b‖. A target is met "
        "where the ratio to this run's floor is at most the target's to its own.",
    ]
    return "\n".join(lines).strip() + "\n"


def main():
    parser = argparse.ArgumentParser(description="The tables of a saved run of bench/encoders.py.")
    parser.add_argument("figures", help="the .json that it wrote")
    parser.add_argument("--readme", action="store_true", help="put the tables into README.md")
    options = parser.parse_args()
    with open(options.figures, encoding="utf-8") as file:
        saved = json.load(file)
    text = tables(saved["figures"], saved["machine"]) + missed_text(saved["notes"])
    if options.readme:
        write_readme(text, MARKERS)
    print(text + profile_text(saved["figures"], PROFILED), end="")


if __name__ == "__main__":
    main()
