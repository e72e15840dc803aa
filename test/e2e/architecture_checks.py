"""What the two comparisons with transformers share: inputs for the tiny models of tiny_architectures.py, and the checks of
the interpreter and of compiled code against reference outputs, wherever those come from. No test lives here. Needs NumPy.

A reference of a decoder holds "right" and "left", logits of the valid tokens of ragged rows padded on that side; "tokens",
greedy ones after each prompt; "gaps", how far each of them was ahead of the next best, relative to the norm of the logits.
One of an encoder holds "<side>.<output>"; outputs with tokens are those of valid ones.
"""

import numpy as np

from agreement import Agreement, outcome
from tiny_architectures import ALL, LAYERS, VOCAB

LENGTHS = [9, 1, 4]
LONG = 20  # a prompt longer than --max-seq, for generation in chunks
GREEDY = 8
SPLIT = 3  # columns of the first of two runs, the second of which has a past
BOUNDS = ("--max-batch=4", "--max-seq=16")


def masks():
    """The mask of rows padded on each side."""
    seq = max(LENGTHS)
    right = (np.arange(seq)[None, :] < np.array(LENGTHS)[:, None]).astype("<i4")
    return {"right": right, "left": right[:, ::-1].copy()}


def padded(prompts, mask, padding):
    ids = np.full(mask.shape, padding, "<i4")
    ids[mask != 0] = np.concatenate(prompts)
    return ids


def decoder_inputs(seed):
    """For each side (ids, mask, positions) [batch, seq]; "prompts" are the rows and a long one."""
    rng = np.random.default_rng(seed)
    prompts = [rng.integers(3, VOCAB, length).astype("<i4") for length in (*LENGTHS, LONG)]
    inputs = {"prompts": prompts}
    for side, mask in masks().items():
        positions = np.maximum(np.cumsum(mask, axis=1) - 1, 0).astype("<i4")
        inputs[side] = (padded(prompts[:-1], mask, 0), mask, positions)
    return inputs


def encoder_inputs(seed, architecture):
    """For each side the model's inputs by name."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(3, VOCAB, length).astype("<i4") for length in LENGTHS]
    kinds = [rng.integers(0, 2, length).astype("<i4") for length in LENGTHS]
    inputs = {}
    for side, mask in masks().items():
        inputs[side] = {"input_ids": padded(rows, mask, architecture.padding), "attention_mask": mask}
        if architecture.types:
            inputs[side]["token_type_ids"] = padded(kinds, mask, 0)
    return inputs


def inputs_of(architecture, seed):
    return decoder_inputs(seed) if architecture.decoder else encoder_inputs(seed, architecture)


def with_names(parser):
    parser.add_argument("--only", nargs="*", choices=ALL, default=list(ALL), metavar="NAME", help="these architectures")
    return parser


class ArchitectureSuite(Agreement):
    """Checks models, each given as (architecture, folder, inputs, reference)."""

    def __init__(self, name, arguments=with_names):
        super().__init__(name, arguments)
        self.near_ties = []

    def check_model(self, what, architecture, folder, inputs, reference, variants):
        check = self.check_decoder if architecture.decoder else self.check_encoder
        check(f"{what}, interpreter", architecture, folder, inputs, reference, ("--device=interpreter",))
        for variant, flags in variants:
            name = f"{what}, {variant}"
            bounds = (*BOUNDS, "--max-context=48") if architecture.decoder else BOUNDS
            artifact = self.compiled(name, folder, (*flags, *bounds))
            if artifact is None:
                continue
            if architecture.decoder:
                programs = [program["name"] for program in self.inspect(artifact).get("programs", [])]
                if programs == ["main"]:
                    self.check_decoder(name, architecture, artifact, inputs, reference)
                else:
                    self.check_prefill(name, artifact, inputs, reference)
                self.check_tokens(name, artifact, inputs["prompts"], reference)
            else:
                self.check_encoder(name, architecture, artifact, inputs, reference)
            artifact.unlink()

    # -- decoders ------------------------------------------------------------------------------------------------

    def step(self, what, architecture, model, part, pasts, flags):
        """Outputs of one run of the naive graph over a past."""
        ids, mask, positions = part
        given = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
        for layer in range(LAYERS):
            for kind in ("key", "value"):
                empty = np.zeros(architecture.cache_shape(len(ids), 0), "<f4")
                given[f"past.{layer}.{kind}"] = pasts.get(f"present.{layer}.{kind}", empty)
        return self.run(what, model, given, *flags)

    def check_decoder(self, what, architecture, model, inputs, reference, flags=()):
        for side in ("right", "left"):
            ids, mask, positions = inputs[side]
            whole = self.step(f"{what}, padded {side}", architecture, model, inputs[side], {}, flags)
            if whole is None:
                return
            self.compare(f"{what}, padded {side}: logits", whole["logits"][mask != 0], reference[side])
            first = (ids[:, :SPLIT], mask[:, :SPLIT], positions[:, :SPLIT])
            begun = self.step(f"{what}, padded {side}, begun", architecture, model, first, {}, flags)
            rest = (ids[:, SPLIT:], mask, positions[:, SPLIT:])
            ended = begun and self.step(f"{what}, padded {side}, ended", architecture, model, rest, begun, flags)
            if not ended:
                return
            both = np.concatenate([begun["logits"], ended["logits"]], axis=1)
            self.compare(f"{what}, padded {side}, in two runs: logits", both[mask != 0], reference[side])

    def check_prefill(self, what, artifact, inputs, reference):
        ids, mask, _ = inputs["right"]
        lengths = mask.sum(axis=1).astype("<i4")
        given = {"input_ids": ids, "lengths": lengths, "past_lengths": np.zeros(len(ids), "<i4")}
        got = self.run(what, artifact, given, "--program", "prefill")
        if got is not None:
            self.compare(f"{what}: logits", got["logits"], reference["right"][np.cumsum(lengths) - 1])

    def check_tokens(self, what, artifact, prompts, reference):
        file = self.folder / "prompts.txt"
        file.write_text("".join(",".join(map(str, prompt)) + "\n" for prompt in prompts))
        flags = ("--ignore-eos", "--print-tokens", "--max-new-tokens", GREEDY, "--batch", len(prompts))
        done = self.transom("generate", artifact, "--tokens-file", file, *flags)
        rows = [[int(word) for word in line.split()] for line in done.stdout.splitlines() if line.strip()]
        if done.returncode != 0 or len(rows) != len(prompts):
            self.check(f"{what}: generate", outcome(done))
            return
        for row, (tokens, wanted, gaps) in enumerate(zip(rows, reference["tokens"].tolist(), reference["gaps"])):
            differs = next((i for i, pair in enumerate(zip(tokens, wanted)) if pair[0] != pair[1]), None)
            if differs is not None and gaps[differs] <= self.bound:
                self.near_ties.append(f"{what}: row {row}, step {differs}, relative gap {gaps[differs]:.1e}")
                differs = None
            equal = len(tokens) == len(wanted) and differs is None
            self.check(f"{what}: tokens of row {row}", None if equal else f"expected {wanted}, found {tokens}")

    # -- encoders ------------------------------------------------------------------------------------------------

    def check_encoder(self, what, architecture, model, inputs, reference, flags=()):
        for side in ("right", "left"):
            given = inputs[side]
            got = self.run(f"{what}, padded {side}", model, given, *flags)
            if got is None:
                return
            for name, value in got.items():
                by_token = value.ndim == 3
                # The first place of a row padded on the left holds padding, of which a model may compute anything.
                if by_token or side == "right":
                    found = value[given["attention_mask"] != 0] if by_token else value
                    self.compare(f"{what}, padded {side}: {name}", found, reference[f"{side}.{name}"])
            expected = {key.split(".")[1] for key in reference}
            self.check(f"{what}: outputs", None if set(got) == expected else f"expected {expected}, found {set(got)}")
