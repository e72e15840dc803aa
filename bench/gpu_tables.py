"""The figures of bench/gpu.py as tables in Markdown, beside floors, peers and targets. Measures nothing."""

import math

from gpu_models import SHAPES

# Figure and floor on the H100 of the targets: ms a token; for D4 tokens/s, larger is better.
TARGETS = {"d1": (0.90, 0.80), "d2": (4.25, 3.85), "d3": (0.20, 0.08), "d4": (45e3, 51e3)}
MAIN = ["", "measured", "Transom", "floor", "ratio to floor", "peer, eager", "peer, compiled", "target's ratio to its floor", "met", "target on H100"]


def number(value):
    """Three significant digits; whole numbers from 1000 on."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{max(0, 2 - math.floor(math.log10(abs(value) or 1)))}f}"


def verdict(own, limit):
    """`own` and `limit` as times: smaller is better."""
    return "yes" if own <= limit else f"no, {100 * (own / limit - 1):.0f}% over"


def line(*cells):
    return f"| {' | '.join(map(str, cells))} |"


def table(heads, rows, texts=1):
    """Lines of a table, of which the first columns are text; none without rows."""
    return [line(*heads), "|" + "---|" * texts + "---:|" * (len(heads) - texts), *rows] if rows else []


def times(peer, ratio):
    return f"{number(peer)} ({ratio:.1f}x)"


def main_table(figures, prompts):
    rows = []
    for key in ("d1", "d2", "d3"):
        row = figures.get(key)
        if not row:
            continue
        target, floor = TARGETS[key]
        own, peers, what = row["ms"] / row["floor_ms"], row.get("peers", {}), f"{SHAPES[key].what} {SHAPES[key].dtype}"
        cells = [times(peers[name], peers[name] / row["ms"]) if name in peers else "–" for name in ("eager_ms", "compiled_ms")]
        rows.append(line(key.upper(), f"{what}, decode after {prompts[key][0]}, ms/token", number(row["ms"]), number(row["floor_ms"]), f"{own:.2f}",
                         *cells, f"{target / floor:.2f}", verdict(own, target / floor), f"≤ {target:.2f}"))  # fmt: skip
    if row := figures.get("d4"):
        target, floor = TARGETS["d4"]
        own, eager = row["floor_tokens_per_s"] / row["tokens_per_s"], row.get("peers", {}).get("eager_prefill_tokens_per_s")
        rows.append(line("D4", f"{SHAPES['d4'].what} bf16, prefill of {prompts['d4'][0]}, tokens/s", number(row["tokens_per_s"]),
                         number(row["floor_tokens_per_s"]), f"{own:.2f}", times(eager, row["tokens_per_s"] / eager) if eager else "–", "–",
                         f"{floor / target:.2f}", verdict(own, floor / target), f"≥ {number(target)}"))  # fmt: skip
    return table(MAIN, rows, 2)


def growth_tables(figures):
    def cells(one, head):
        return [one[head], number(one["ms"]), number(one["floor_ms"]), f"{one['ms'] / one['floor_ms']:.2f}"]

    found, lines = figures.get("d1", {}), []
    rows = [line(*cells(one, "batch"), number(1e3 * one["batch"] / one["ms"])) for one in found.get("batches", [])]
    if rows:
        lines += ["", "Llama-3.2-1B bf16, several rows, caches of 128 to 192 tokens each:", ""]
        lines += table(["batch", "ms/step", "floor", "ratio to floor", "tokens/s"], rows, 0)
    rows = [line(*cells(one, "cache")) for one in found.get("lengths", [])]
    if rows:
        lines += ["", "Llama-3.2-1B bf16, batch 1, one artifact with a context of 16384:", ""]
        lines += table(["cache", "ms/step", "floor", "ratio to floor"], rows, 0)
    return lines


def attention_table(figures):
    rows = []
    for shape, by in figures.get("a1", {}).get("shapes", {}).items():
        own, cudnn = by.get("own"), by.get("cudnn")
        ratio = f"{own / cudnn:.2f}" if own and cudnn else "–"
        rows.append(line(shape, number(own), number(cudnn), number(by.get("flash2")), ratio))
    head = ["", "A1, attention forward, bf16, TFLOP/s (kernel lab; target: at least cuDNN):", ""]
    return head + table(["", "own", "cuDNN", "FlashAttention-2", "own / cuDNN"], rows) if rows else []


def compile_table(figures):
    row = figures.get("c")
    if not row:
        return []
    measured = [
        ("C1", "compile of Llama-3.2-1B with its weights, no cache, s", row["cold_seconds"], 10),
        ("C1", "the same with other weights, s", row["other_weights_seconds"], 2),
        ("C2", "process start to first token, artifact in page cache, s", row["first_token_seconds"], 1),
    ]
    if "library_bytes" in row:
        measured.append(("C3", "libtransom.so, stripped, MB", row["library_bytes"] / 1e6, 5))
    rows = [line(name, what, number(value), f"≤ {target}", verdict(value, target)) for name, what, value, target in measured]
    return ["", *table(["", "measured", "Transom", "target", "met"], rows, 2)]


def missed_text(notes):
    """What failed, or ran out of its time; empty where nothing did."""
    return "\nNot measured, or not whole:\n\n" + "".join(f"- {note}\n" for note in notes) if notes else ""


def profile_text(figures, keys=TARGETS):
    """The longest kernels of each of these workloads; empty where nothing was profiled."""
    lines = []
    for key in keys:
        steps = figures.get(key, {}).get("profile") or []
        rows = [line(one.get("program", ""), one.get("kernel", ""), one.get("steps", ""), number(1e3 * one.get("seconds", 0))) for one in steps]
        if rows:
            lines += ["", f"{key.upper()}, kernels that take longest (timed one by one, not as a graph):", ""]
            lines += table(["program", "kernel", "steps", "ms"], rows, 2)
    return "\n".join(lines) + "\n" if lines else ""


def tables(figures, machine, prompts):
    found = figures["ceilings"]
    lines = main_table(figures, prompts) + growth_tables(figures) + attention_table(figures) + compile_table(figures)
    lines += [
        "",
        f"{machine['gpu']}, driver {machine['driver']}, {machine['date']}, commit {machine['commit']}. Ceilings of the run: "
        f"read {found['read_bytes_per_s'] / 1e12:.2f} TB/s (by {found['read_by']}), copy {found['copy_bytes_per_s'] / 1e12:.2f} TB/s, "
        f"bf16 product {found['matmul_4096_flops_per_s'] / 1e12:.0f} (4096³) and {found['matmul_8192_flops_per_s'] / 1e12:.0f} (8192³) TFLOP/s. "
        "Eager: transformers (for ChatGLM2 its GLM of that shape); compiled: a minimal decoder under torch.compile with a static cache and "
        "CUDA Graphs. A target is met where the ratio to this run's floor is at most the target's to its own.",
    ]
    return "\n".join(lines).strip() + "\n"
