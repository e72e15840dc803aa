#!/usr/bin/env python3
"""Whole models compiled for a GPU, run on a machine without one: the CUDA runtime on the fake driver, kernels on the emulator
(test/emulator), against the same artifact on the CPU. Prompts of ragged lengths, read in chunks, then greedy steps along the CPU's
tokens; encoders on padded batches; whole generations by the command, greedy and sampled, and classification. Also bit for bit alike with
threads in the reverse order, and with work done as late as may be. Most are kernels of sm_80; those of sm_90a where they differ: attention by wgmma and
TMA, tokens chosen by clusters.

Products of 8 bits on devices of 9.0 and of 8.9. Some on a device of compute capability 7.5: bf16 and quantised products by FMA, fp16 ones by the tensor cores that it has, less shared
memory.

Needs libnvrtc for compiling; where there is none it says so and exits 77."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

import tiny_architectures
import tiny_classifiers
import tiny_models
from harness import ROOT, Suite

sys.path.insert(0, str(ROOT / "test/cuda"))
from capi import Inputs, Library, Model, Session, feed, find_library, step  # noqa: E402

# Relative error of the whole output against the CPU's, which computes in f32: a few roundings of the storage type for each layer.
BOUNDS = {"f32": 2e-5, "f16": 8e-3, "bf16": 6e-2}
FP8_BOUND = 4e-2  # beside BOUNDS: a number that 16 bits bring over a border between two of 8 bits moves by a sixteenth
BERT_INPUTS = ["input_ids", "attention_mask", "token_type_ids"]
MODES = {"plain": {}, "reverse": {"TRANSOM_EMULATED_REVERSE": "1"}, "lazy": {"TRANSOM_EMULATED_LAZY": "1"}}
LENGTHS, CHUNK, STEPS, VOCAB = (11, 1, 7, 2, 3), 8, 4, 90  # five rows: more than kernels of their own take


def decoder_outputs(session, tokens_of, scale):
    """Logits after the prompts and after each step; tokens_of(i, logits) are the next tokens."""
    rng = np.random.default_rng(7)
    rows = [rng.integers(0, VOCAB, length * scale).tolist() for length in LENGTHS]
    outputs = [feed(session, rows, CHUNK * scale)]
    past = [len(row) for row in rows]
    for i in range(STEPS):
        outputs.append(step(session, [[token] for token in tokens_of(i, outputs[-1])], past))
        past = [length + 1 for length in past]
    return outputs


def encoder_outputs(session, inputs, scale):
    rng = np.random.default_rng(8)
    ids = rng.integers(3, VOCAB, (3, 9 * scale)).astype("<i4")
    mask = np.repeat(np.array([[1] * 9, [1] * 4 + [0] * 5, [1] * 7 + [0] * 2], "<i4"), scale, axis=1)
    values = {"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": mask * 0}
    outputs = []
    for rows in (slice(None), slice(1, 2)):  # together, and one alone: few tokens, padded too
        found = session.run("main", {name: values[name][rows] for name in inputs})
        for _, value in sorted(found.items()):  # behind a sequence's end anything may stand
            tokens = value.ndim == 3 and value.shape[:2] == mask[rows].shape
            outputs.append(value * mask[rows][:, :, None] if tokens else value)
    return outputs


def work(library, artifact, inputs, scale, out):
    """In a process of its own, which finds the fake driver: outputs of both devices to a file. Sequences are `scale` times as long."""
    model = Model(Library(library), artifact)
    found = {}
    for device in ("cpu", "cuda:0"):
        session = Session(model, device)
        if inputs:
            found[device] = encoder_outputs(session, inputs, scale)
        else:
            kept = []  # both devices read the CPU's tokens
            def tokens_of(i, logits):
                if device == "cpu":
                    kept.append([int(row.argmax()) for row in logits])
                return kept[i]
            if device == "cuda:0":
                kept = cpu_tokens
            found[device] = decoder_outputs(session, tokens_of, scale)
            cpu_tokens = kept
    np.savez(out, **{f"{device} {i}": value for device, values in found.items() for i, value in enumerate(values)})


def wide_llama():
    """Heads of 128 numbers, and a product whose x fills what a block of 7.5 has: kernels that are for 7.5 alone."""
    sizes = dict(HEAD_DIM=128, HEADS=2, KV_HEADS=1, FEED_FORWARD=8192, LAYERS=1)
    return tiny_architectures.shaped(tiny_architectures.llama, sizes=sizes)


def problem_of(outputs, bound):
    worst = 0.0
    for name in (name for name in outputs if name.startswith("cpu")):
        reference, value = outputs[name].astype(np.float64), outputs[name.replace("cpu", "cuda:0")].astype(np.float64)
        if reference.shape != value.shape or not np.isfinite(value).all():
            return f"{name}: shape {value.shape} for {reference.shape}, or not finite"
        worst = max(worst, float(np.linalg.norm(value - reference) / max(np.linalg.norm(reference), 1e-30)))
    return f"relative error {worst:.1e}, more than {bound:.0e}" if worst > bound else None


def emulated(suite, artifact, architecture):
    """The environment in which the fake driver is found, and with it the artifact's kernels for a device of this architecture."""
    build = Path(suite.options.transom).resolve().parent.parent
    built = subprocess.run([build / "bin/emulate-kernels", artifact, architecture], capture_output=True, text=True)
    if built.returncode != 0:
        suite.check(f"{artifact.name} on the emulator", built.stderr.strip())
    driver = build / "fake-cuda"
    return {
        **os.environ,
        "TRANSOM_EMULATED_KERNELS": built.stdout.strip(),
        "LD_LIBRARY_PATH": str(driver),
        "TRANSOM_CUBLASLT": str(driver / "libcuda.so.1"),
    }


def has_nvrtc(suite):
    path = suite.folder / "probe"
    tiny_architectures.write(path, tiny_architectures.ALL["gpt2"])
    done = suite.transom("compile", path, "-o", suite.folder / "probe.transom", "--target=cuda:sm_80", "--no-tokenizer")
    return "NVRTC" not in done.stderr or done.returncode == 0


def compiled(suite, name, folder, dtype, architecture, scale=1, more=()):
    """The artifact, or None where it does not compile."""
    artifact = suite.folder / f"{name}.transom"
    sizes = ["--max-batch", "5", "--max-seq", str(16 * scale), *more]
    done = suite.transom("compile", folder, "-o", artifact, f"--target=cuda:{architecture},cpu", f"--dtype={dtype}", "--no-tokenizer", *sizes)
    if done.returncode != 0:
        suite.check(f"{name} {dtype} compiles", done.stderr.strip() or f"exit code {done.returncode}")
    return artifact if done.returncode == 0 else None


def outputs_of(suite, name, artifact, encoder, environment, scale=1):
    """What both devices make of the artifact, or None after a failed check."""
    out = suite.folder / f"{name}.npz"
    words = [sys.executable, __file__, "--work", str(find_library(suite.options.transom)), str(artifact), json.dumps(encoder), str(scale), str(out)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=600)
    if done.returncode != 0 or "fake CUDA driver" in done.stderr:
        suite.check(name, done.stderr.strip()[-2000:] or f"exit code {done.returncode}")
        return None
    return np.load(out)


def check_older(suite, name, folder, dtype):
    artifact = compiled(suite, name, folder, dtype, "sm_75")
    if artifact:
        environment = emulated(suite, artifact, "sm_75")
        outputs = outputs_of(suite, f"{name} {dtype} on 7.5", artifact, None, environment)
        if outputs:
            suite.check(f"{name} {dtype} on 7.5 against the CPU", problem_of(outputs, BOUNDS[dtype]))


def check(suite, name, folder, dtype, encoder, architecture="sm_80", more=()):
    artifact = compiled(suite, name, folder, dtype, architecture, more=more)
    if not artifact:
        return
    launches = suite.folder / f"{name}.launches"
    environment = {**emulated(suite, artifact, architecture), "TRANSOM_EMULATED_LAUNCHES": str(launches)}
    results = {}
    for mode, more in MODES.items():
        results[mode] = outputs_of(suite, f"{name} {dtype} {mode}", artifact, encoder, {**environment, **more})
        if not results[mode]:
            return
    suite.check(f"{name} {dtype} against the CPU", problem_of(results["plain"], BOUNDS[dtype]))
    for mode in ("reverse", "lazy"):
        differing = [key for key in results["plain"].files if results["plain"][key].tobytes() != results[mode][key].tobytes()]
        suite.check(f"{name} {dtype} {mode} gives the same bits", f"{differing} differ" if differing else None)
    ran = launches.read_text()
    if architecture == "sm_90a":
        # Few tokens: a layer's kernels, with a norm's own or not.
        kernel = rf"add_\d+_chain\b(.|\n)*norm_\d+_chain{'' if 'layers' in name else '_sum'}\b(.|\n)*gelu_\d+_chain\b" if encoder else "_sm90 "
        suite.check(f"{name} {dtype} ran attention by wgmma, or chains", None if re.search(kernel, ran) else f"it ran\n{ran}")
    skinny = re.search(r"_skinny_m|_parts_m|_chain\b", ran) is not None  # five rows, or more: products of 16-bit matrices
    suite.check(f"{name} {dtype} ran products of some rows", None if skinny == (dtype != "f32" and folder.is_dir()) else f"it ran\n{ran}")


def check_products(suite, name, folder, dtype, encoder):
    """Products of many rows by wgmma, with what follows them; sequences long enough for it."""
    artifact = compiled(suite, name, folder, dtype, "sm_90a", 8, ("--products=own",))
    if not artifact:
        return
    launches = suite.folder / f"{name}.launches"
    environment = {**emulated(suite, artifact, "sm_90a"), "TRANSOM_EMULATED_LAUNCHES": str(launches)}
    outputs = outputs_of(suite, f"{name} {dtype}", artifact, encoder, environment, 8)
    if outputs:
        suite.check(f"{name} {dtype} against the CPU", problem_of(outputs, BOUNDS[dtype]))
        ran = launches.read_text()
        suite.check(f"{name} {dtype} ran products by wgmma", None if "_product " in ran else f"it ran\n{ran}")
        if "norms" in name:
            suite.check(f"{name} {dtype} ran products with their norms", None if re.search("layer_norm_512_norm ", ran) else f"it ran\n{ran}")
        if encoder:  # in `check` its few tokens have chains
            suite.check(f"{name} {dtype} ran attention by wgmma", None if "_sm90 " in ran else f"it ran\n{ran}")


def check_fp8(suite, name, folder, dtype, encoder, calibrated, architecture, flags=()):
    """Products of 8 bits, by scales of each token or from a sample, against the CPU's form of the same arithmetic."""
    more = ["--quantise=fp8", *flags]
    if calibrated:
        sample = suite.folder / "sample"
        rng = np.random.default_rng(6)
        sample.write_text("".join(" ".join(map(str, rng.integers(3, VOCAB, length))) + "\n" for length in (5, 60, 33, 12)))
        more.append(f"--calibrate={sample}")
    artifact = compiled(suite, name, folder, dtype, architecture, 8, more)
    if not artifact:
        return
    launches = suite.folder / f"{name}.launches"
    environment = {**emulated(suite, artifact, architecture), "TRANSOM_EMULATED_LAUNCHES": str(launches)}
    results = {mode: outputs_of(suite, f"{name} {dtype} {mode}", artifact, encoder, {**environment, **MODES[mode]}, 8) for mode in MODES}
    if not all(results.values()):
        return
    suite.check(f"{name} {dtype} against the CPU", problem_of(results["plain"], BOUNDS[dtype] + FP8_BOUND))
    for mode in ("reverse", "lazy"):
        differing = [key for key in results["plain"].files if results["plain"][key].tobytes() != results[mode][key].tobytes()]
        suite.check(f"{name} {dtype} {mode} gives the same bits", f"{differing} differ" if differing else None)
    ran = [line.split()[1] for line in launches.read_text().splitlines()]
    products = {"mma" if "_product_mma" in kernel else "wgmma" for kernel in ran if "_product" in kernel}
    suite.check(f"{name} {dtype} ran products of {architecture}", None if products == {"wgmma" if architecture == "sm_90a" else "mma"} else f"it ran {ran}")
    if flags:
        suite.check(f"{name} {dtype} ran products with their norms", None if any("layer_norm_round_e4m3_512_norm" in kernel for kernel in ran) else f"it ran {ran}")
    rounding = {kernel.split("_")[0] for kernel in ran if kernel.startswith("round_e4m3") or (kernel.startswith("attention") and "_round_e4m3" in kernel)}
    done = suite.transom("bench", artifact, "--device=cuda:0", environment=emulated(suite, artifact, "sm_80"))
    refused = done.returncode == 1 and "products of 8 bits (fp8) need compute capability 8.9 or more, found 8.0" in done.stderr
    suite.check(f"{name} {dtype} is refused on 8.0", None if refused else done.stderr or "it ran")
    suite.check(f"{name} {dtype} rounds what attention makes", None if rounding == {"attention" if calibrated else "round"} else f"it ran {ran}")


def check_rows(suite):
    """Norms of so many rows that a block takes several, in number no multiple: as on the CPU, and each row to the bits that it has among few."""
    artifact, launches = suite.folder / "many-rows.transom", suite.folder / "many-rows.launches"
    done = suite.transom("compile", ROOT / "test/e2e/graphs/many_rows.mlir", "-o", artifact, "--target=cuda:sm_90a,cpu", "--dtype=f16", "--no-tokenizer")
    if done.returncode != 0:
        suite.check("many rows compile", done.stderr.strip())
        return
    environment = {**emulated(suite, artifact, "sm_90a"), "TRANSOM_EMULATED_LAUNCHES": str(launches)}
    rng = np.random.default_rng(4)
    inputs = {name: rng.standard_normal((2051, 80)).astype("<f4") for name in ("x", "r")}
    found = {}
    for rows, device in ((5, "cuda:0"), (2051, "cpu"), (2051, "cuda:0")):
        given, out = suite.folder / "many-rows-in.npz", suite.folder / "many-rows-out.npz"
        np.savez(given, **{name: value[:rows] for name, value in inputs.items()})
        done = suite.transom("run", artifact, f"--device={device}", "--input", given, "--output", out, environment=environment)
        if done.returncode != 0 or "fake CUDA driver" in done.stderr:
            suite.check(f"{rows} rows on {device}", done.stderr.strip() or f"exit code {done.returncode}")
            return
        found[device, rows] = dict(np.load(out))
    many, few = found["cuda:0", 2051], found["cuda:0", 5]
    suite.check("many rows against the CPU", problem_of({f"{device} {name}": found[device, 2051][name] for device in ("cpu", "cuda:0") for name in many}, BOUNDS["f16"] + FP8_BOUND))
    differing = [name for name in many if many[name][:5].tobytes() != few[name].tobytes()]
    suite.check("rows among many have the bits that they have among few", f"{differing} differ" if differing else None)
    suite.check("many rows ran several to a block", None if "_many " in launches.read_text() else launches.read_text())


def check_generation(suite, name, folder, architecture="sm_80"):
    """Tokens chosen on the device (program step), greedy and sampled, are those that the CPU chooses; in f32, where no tie is near."""
    artifact = suite.folder / f"{name}-generate.transom"
    done = suite.transom("compile", folder, "-o", artifact, f"--target=cuda:{architecture},cpu", "--dtype=f32", "--no-tokenizer", "--max-batch", "4", "--max-seq", "16")
    if done.returncode != 0:
        suite.check(f"{name} f32 compiles", done.stderr.strip())
        return
    prompts = suite.folder / "prompts"
    rng = np.random.default_rng(9)
    prompts.write_text("".join(" ".join(map(str, rng.integers(0, VOCAB, length))) + "\n" for length in (*LENGTHS, 20, 3, 2)))
    environment = emulated(suite, artifact, architecture)
    sampled = ("--temperature", "0.9", "--top-k", "20", "--top-p", "0.9", "--seed", "5")
    cases = (("greedy", ()), ("sampled", sampled), ("until the model ends", sampled), ("to the end of the context", ("-n", "100")))
    if architecture == "sm_90a":  # clusters are slow here
        cases = (("sampled by clusters", (*sampled, "-n", "4")),)
    for what, options in cases:
        if what != "until the model ends":
            options = (*options, "--ignore-eos")
        if "-n" not in options:
            options = (*options, "-n", "13")
        words = ("generate", artifact, "--tokens-file", prompts, "--batch", "4", "--print-tokens", *options)
        wanted = suite.transom(*words, "--device=cpu")
        for mode, more in MODES.items():
            found = suite.transom(*words, "--device=cuda:0", environment={**environment, **more})
            same = found.returncode == wanted.returncode and found.stdout == wanted.stdout and wanted.stdout and "fake CUDA driver" not in found.stderr
            problem = None if same else f"expected\n{wanted.stdout}{wanted.stderr}found\n{found.stdout}{found.stderr}"
            suite.check(f"{name} generates {what}, {mode}", problem)


def check_classification(suite, family, head, dtype, batch, flags=(), alike=None):
    """Labels and scores of texts, or tokens for masks, as the CPU gives them; in several batches. Single rows are not packed. Returns the CPU's, which are those of `alike`."""
    name = f"{family}{head} by {batch}{' '.join(('', *flags))}"
    artifact = suite.folder / f"{family}{head}-{batch}-{len(flags)}-classify.transom"
    folder = tiny_classifiers.write(suite.folder / f"{family}{head}-{batch}-classify", family, head)
    lengths = suite.folder / "lengths"
    lengths.write_text("".join(f"{length}\n" for length in (3, 5, 5, 8, 20)))
    words = ("compile", folder, "-o", artifact, "--target=cuda:sm_80,cpu", f"--dtype={dtype}", "--max-batch", str(batch), "--max-seq", "32", *flags)
    words += ("--lengths", lengths) if batch > 1 else ()
    done = suite.transom(*words)
    if done.returncode != 0:
        suite.check(f"{name} {dtype} compiles", done.stderr.strip())
        return
    if batch > 1:
        suite.check(f"{name} {dtype} says what its graphs waste", None if re.search(r"graphs for \d+ numbers of tokens up to 128: .*% without", done.stdout) else done.stdout)
    texts = [tiny_classifiers.masked(text[:60], tiny_classifiers.mask_of(family)) for text in tiny_classifiers.TEXTS]
    file = suite.folder / "texts"
    file.write_text("".join(text + "\n" for text in texts))
    environment = emulated(suite, artifact, "sm_80")
    found = {}
    for device in ("cpu", "cuda:0"):
        done = suite.transom("classify", artifact, "--input", file, "--json", f"--device={device}", environment=environment)
        if done.returncode != 0 or "fake CUDA driver" in done.stderr:
            suite.check(f"{name} {dtype} classifies on {device}", done.stderr.strip() or f"exit code {done.returncode}")
            return
        found[device] = [json.loads(line) for line in done.stdout.splitlines()]
    suite.check(f"{name} {dtype} classifies as the CPU", None if len(found["cpu"]) == len(texts) else f"{len(found['cpu'])} lines")
    for i, (wanted, value) in enumerate(zip(found["cpu"], found["cuda:0"])):
        suite.check(f"{name} {dtype} classifies as the CPU, row {i}", tiny_classifiers.difference(value, wanted, BOUNDS[dtype]))
        if alike:
            suite.check(f"{name} {dtype} classifies as others do, row {i}", tiny_classifiers.difference(wanted, alike[i], BOUNDS[dtype]))
    return found["cpu"]


def main():
    suite = Suite("emulated", lambda parser: parser.add_argument("--only", default="", help="models whose name contains this") and parser)
    if not has_nvrtc(suite):
        print("emulated: skipped, libnvrtc was not found (TRANSOM_NVRTC names one)")
        return 77
    llama = tiny_models.llama_gguf
    cases = []  # (name, writes the folder or file, dtype, inputs of an encoder)
    dtypes = ("bf16", "f32", "f16")
    for i, architecture in enumerate(tiny_architectures.DECODERS):
        cases.append((architecture.name, lambda path, a=architecture: tiny_architectures.write(path, a), dtypes[i % 3], None))
    for i, (name, inputs) in enumerate((("bertModel", ["input_ids", "attention_mask", "token_type_ids"]), ("distilbertModel", ["input_ids", "attention_mask"]))):
        cases.append((name, lambda path, n=name: tiny_architectures.write(path, tiny_architectures.ALL[n]), dtypes[i], inputs))
    for kind in ("Q4_1", "Q8_0", "Q6_K"):
        cases.append((f"llama-{kind}", lambda path, k=kind: llama(path.with_suffix(".gguf"), kind=k), "f16", None))
    for name, write, dtype, encoder in cases:
        if suite.options.only not in name:
            continue
        path = suite.folder / name
        write(path)
        check(suite, name, path if path.exists() else path.with_suffix(".gguf"), dtype, encoder)
    # Heads of 64, which wgmma takes; the other models' are of 16.
    for name, architecture, changes, dtype, inputs in (
        ("llama-64", tiny_architectures.llama(head_dim=64), {}, "bf16", None),
        ("gpt2-64", tiny_architectures.ALL["gpt2"], {"n_head": 1}, "f16", None),
        ("bertModel-64", tiny_architectures.shaped(tiny_architectures.bert, sizes={"HEADS": 1, "FEED_FORWARD": 128}), {}, "bf16", BERT_INPUTS),
        ("bert-layers", tiny_architectures.shaped(tiny_architectures.bert, sizes={"HIDDEN": 256, "FEED_FORWARD": 384}), {}, "f16", BERT_INPUTS),
        ("bert-layers-32", tiny_architectures.shaped(tiny_architectures.bert, sizes={"HIDDEN": 128, "FEED_FORWARD": 256, "LAYERS": 3}), {}, "bf16", BERT_INPUTS),
    ):
        if suite.options.only in name:
            tiny_architectures.write(suite.folder / name, architecture, **changes)
            check(suite, name, suite.folder / name, dtype, inputs, "sm_90a")
    for name, dtype in (("bertModel-64", "f16"), ("bert-layers", "bf16")):
        if suite.options.only in f"{name}, padded":
            check(suite, f"{name}, padded", suite.folder / name, dtype, BERT_INPUTS, "sm_90a", ("--disable=remove-padding",))
    gpt2 = tiny_architectures.ALL["gpt2"]
    for name, make, sizes, dtype, inputs in (("llama", tiny_architectures.llama, {"HEAD_DIM": 64}, "bf16", None),
                                             ("gpt2", tiny_architectures.gpt2, {}, "f16", None),
                                             ("bert", tiny_architectures.bert, {"HEADS": 1}, "f16", BERT_INPUTS),
                                             ("bert-norms", tiny_architectures.bert, {"HIDDEN": 512, "HEADS": 8, "LAYERS": 1}, "bf16", BERT_INPUTS),
                                             ("bert-32", tiny_architectures.bert, {"HEADS": 2}, "bf16", BERT_INPUTS)):  # two heads to a row
        if suite.options.only in f"{name}-products":
            architecture = tiny_architectures.shaped(make, sizes={"CONTEXT": 256, **sizes})
            tiny_architectures.write(suite.folder / f"{name}-products", architecture)
            check_products(suite, f"{name}-products", suite.folder / f"{name}-products", dtype, inputs)
    if suite.options.only in "many rows":
        check_rows(suite)
    pairs, wide, norms = {"HEADS": 2}, {"HIDDEN": 704, "HEADS": 11, "LAYERS": 1}, {"HIDDEN": 512, "HEADS": 8, "LAYERS": 2}  # heads of 32, which attention by wgmma takes; K of six steps
    for family, calibrated, dtype, architecture, sizes in (("bert", False, "f16", "sm_90a", {}), ("xlm-roberta", True, "bf16", "sm_90a", pairs), ("bert", True, "f16", "sm_90a", wide), ("bert", True, "f16", "sm_90a", norms),
                                                           ("bert", True, "f16", "sm_89", {})):  # fmt: skip
        name = f"{family}-fp8-{architecture}{'-wide' if sizes is wide else '-norms' if sizes is norms else ''}"
        if suite.options.only in name:
            make = tiny_architectures.bert if family == "bert" else tiny_architectures.xlm_roberta
            tiny_architectures.write(suite.folder / name, tiny_architectures.shaped(make, sizes={"CONTEXT": 256, **sizes}))
            check_fp8(suite, name, suite.folder / name, dtype, BERT_INPUTS if family == "bert" else ["input_ids", "attention_mask"], calibrated, architecture,
                      ("--products=own",) if sizes is norms else ())  # fmt: skip
    for name, architecture, dtype in (("wide", wide_llama(), "bf16"), ("wide", wide_llama(), "f32"), ("gpt2", gpt2, "f16"), ("Q4_1", None, "f16")):
        if suite.options.only not in f"{name} {dtype} on 7.5":
            continue
        path = suite.folder / f"{name}-{dtype}-75{'' if architecture else '.gguf'}"
        if architecture:
            tiny_architectures.write(path, architecture)
        else:
            llama(path, kind="Q4_1")
        check_older(suite, f"{name}-{dtype}-75", path, dtype)
    for name, architecture in (("llama", "sm_80"), ("gpt2", "sm_80"), ("llama", "sm_90a")):
        if suite.options.only in f"{name} generates":
            path = suite.folder / f"{name}-generate"
            tiny_architectures.write(path, tiny_architectures.ALL[name])
            check_generation(suite, name, path, architecture)
    for family, head in (("bert", "ForSequenceClassification"), ("roberta", "ForTokenClassification"), ("xlm-roberta", "ForMaskedLM")):
        if suite.options.only in f"{family}{head} classifies":
            batches = check_classification(suite, family, head, "f32", 4)
            for flags in ((), ("--disable=fuse-epilogue",)):  # readers of a row's first token, which is no copy, with products and without
                check_classification(suite, family, head, "f32", 1, flags, batches)
    return suite.finish()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], sys.argv[3], json.loads(sys.argv[4]), int(sys.argv[5]), sys.argv[6])
    else:
        sys.exit(main())
