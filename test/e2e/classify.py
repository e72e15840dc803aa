#!/usr/bin/env python3
"""`transom classify` on tiny random models: every family of encoders with every head, against NumPy over the logits that `transom run`
gives for each text alone, and against Hugging Face `tokenizers` for ids and offsets. Ragged texts from none to more tokens than the model
takes, in several orders and batches; pairs; token ids; score functions; bad input. And `transom embed` of an XLM-R. Needs
NumPy and tokenizers.
"""

import json
import sys

import numpy as np
from tokenizers import Tokenizer

import tiny_classifiers
import tiny_models
from agreement import BOUND, Agreement, outcome
from tiny_architectures import HIDDEN, LABELS
from tiny_classifiers import HEADS, MAX_TOKENS, PAIRS, TEXTS, difference

TOP = 4  # words for a mask
SIZES = ("--max-batch=4", f"--max-seq={MAX_TOKENS}")


def softmax(logits):
    powers = np.exp(np.float64(logits) - np.max(logits, axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-np.float64(logits)))


class Row:
    """A text, a pair or token ids: a line of input, and what the reference tokenizer makes of it."""

    def __init__(self, tokenizer, given):
        if isinstance(given, list):
            self.line = " ".join(map(str, given))
            self.ids, self.types, self.offsets, self.parts, self.pair = given, [0] * len(given), None, [0] * len(given), False
            return
        texts = (given,) if isinstance(given, str) else given
        encoded = tokenizer.encode(*texts)
        self.line = "\t".join(texts)
        self.ids, self.types, self.offsets, self.parts = encoded.ids, encoded.type_ids, encoded.offsets, encoded.sequence_ids
        self.pair = len(texts) > 1


class Classify(Agreement):
    def __init__(self):
        super().__init__("classify", lambda parser: parser)
        self.inputs = {}  # of each artifact's program

    def model(self, name, folder):
        """The artifact, or None after a failed check."""
        artifact = self.compiled(name, folder, SIZES)
        if artifact:
            self.inputs[artifact] = [value["name"] for value in self.inspect(artifact)["programs"][0]["inputs"]]
        return artifact

    def classify(self, what, artifact, rows, *flags):
        """The objects that the command prints, or None after a failed check."""
        file = self.folder / "rows.txt"
        file.write_text("".join(row.line + "\n" for row in rows))
        source = "--tokens-file" if rows[0].offsets is None else "--input"
        pairs = ("--pairs",) if rows[0].offsets is not None and rows[0].pair else ()
        done = self.transom("classify", artifact, source, file, "--json", *pairs, *flags)
        found = [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else []
        problem = outcome(done) if done.returncode else f"{len(found)} lines" if len(found) != len(rows) else None
        self.check(f"{what}: classify", problem)
        return None if problem else found

    def logits(self, what, artifact, row):
        """Of a row alone."""
        values = {"input_ids": row.ids, "attention_mask": [1] * len(row.ids), "token_type_ids": row.types}
        outputs = self.run(what, artifact, {name: np.array([values[name]], "<i4") for name in self.inputs[artifact]})
        return outputs and outputs["logits"][0]

    def near(self, what, found, wanted):
        found, wanted = np.float64(found), np.float64(wanted)
        worst = np.max(np.abs(found - wanted), initial=0) if found.shape == wanted.shape else np.inf
        self.check(what, None if worst <= 1e-5 else f"expected {wanted}, found {found}")

    def same(self, what, found, wanted):
        self.check(what, None if found == wanted else f"expected {wanted}, found {found}")

    # -- one row of each head ------------------------------------------------------------------------------------

    def check_labels(self, what, found, logits, labels, scores=softmax):
        order = np.argsort(-logits, kind="stable")
        self.same(f"{what}: labels", [entry["label"] for entry in found["labels"]], [labels[i] for i in order])
        self.compare(f"{what}: logits", np.array([entry["logit"] for entry in found["labels"]]), logits[order])
        self.near(f"{what}: scores", [entry["score"] for entry in found["labels"]], scores(logits)[order])

    def check_place(self, what, entry, row, position):
        wanted = {"position": position}
        if row.offsets:
            wanted |= {"part": row.parts[position]} if row.pair else {}
            wanted |= dict(zip(("start", "end"), row.offsets[position]))
        self.same(what, {key: entry[key] for key in ("position", "part", "start", "end") if key in entry}, wanted)

    def check_tokens(self, what, found, row, logits, labels):
        positions = [i for i, part in enumerate(row.parts) if part is not None]
        self.same(f"{what}: ids", [entry["id"] for entry in found["tokens"]], [row.ids[i] for i in positions])
        for entry, position in zip(found["tokens"], positions):
            self.check_place(f"{what}: token {position}", entry, row, position)
            scores = softmax(logits[position])
            self.near(f"{what}: score of token {position}", entry["score"], scores.max())
            self.near(f"{what}: label of token {position}", scores[labels.index(entry["label"])], scores.max())

    def check_masks(self, what, found, row, logits, mask, tokenizer):
        positions = [i for i, token in enumerate(row.ids) if token == mask]
        self.same(f"{what}: masks", len(found["masks"]), len(positions))
        for entry, position in zip(found["masks"], positions):
            self.check_place(f"{what}: mask {position}", entry, row, position)
            scores = softmax(logits[position])
            ids = [token["id"] for token in entry["tokens"]]
            self.near(f"{what}: scores of mask {position}", [token["score"] for token in entry["tokens"]], -np.sort(-scores)[:TOP])
            self.near(f"{what}: tokens of mask {position}", scores[ids], -np.sort(-scores)[:TOP])
            wanted = [tokenizer.decode([token], skip_special_tokens=False) for token in ids]
            self.same(f"{what}: words of mask {position}", [token["token"] for token in entry["tokens"]], wanted)

    def check_row(self, what, found, row, logits, head, mask, tokenizer):
        if head == "ForSequenceClassification":
            self.check_labels(what, found, logits, LABELS)
        elif head == "ForTokenClassification":
            self.check_tokens(what, found, row, logits, LABELS)
        else:
            self.check_masks(what, found, row, logits, mask, tokenizer)

    # -- models --------------------------------------------------------------------------------------------------

    def check_orders(self, what, artifact, rows, found, flags):
        """Other orders and batches give the same, but for rounding."""
        order = np.random.default_rng(3).permutation(len(rows))
        for batch in (0, 1, 3):
            again = self.classify(f"{what}, batches of {batch}", artifact, [rows[i] for i in order], "--batch", batch, *flags)
            for place, i in enumerate(order if again else ()):
                self.check(f"{what}, batches of {batch}: row {i}", difference(again[place], found[i], BOUND))

    def check_model(self, family, head):
        name = f"{family} {head}"
        tokenizer = Tokenizer.from_str(json.dumps(tiny_classifiers.tokenizer_of(family)))
        tokenizer.enable_truncation(MAX_TOKENS)
        artifact = self.model(name, tiny_classifiers.write(self.folder / name.replace(" ", "-"), family, head))
        if artifact is None:
            return
        mask = tokenizer.token_to_id(tiny_classifiers.mask_of(family))
        masked = [tiny_classifiers.masked(text[:60], tiny_classifiers.mask_of(family)) for text in TEXTS]
        given = {
            "token ids": [[5], [5, 6, 7], [5 + i % 40 for i in range(MAX_TOKENS)], [9, 5, 5, 8, 30]],
            "texts": masked if head == "ForMaskedLM" else TEXTS,
            "pairs": [(text, "and") for text in masked[:3]] if head == "ForMaskedLM" else PAIRS,
        }
        for kind, entries in given.items():
            rows = [Row(tokenizer, entry) for entry in entries]
            flags = ("--top-k", TOP) if head == "ForMaskedLM" else ()
            flags += ("--mask-token", 5) if head == "ForMaskedLM" and kind == "token ids" else ()
            found = self.classify(f"{name}, {kind}", artifact, rows, *flags)
            for i, row in enumerate(rows if found else ()):
                what = f"{name}, {kind}, row {i}"
                logits = self.logits(what, artifact, row)
                if logits is not None:
                    self.check_row(what, found[i], row, logits, head, mask if row.offsets else 5, tokenizer)
            if found:
                self.check_orders(f"{name}, {kind}", artifact, rows, found, flags)

    def check_masked(self, family):
        """The program for chosen tokens gives their rows of all logits: any tokens of padded rows, in any order, again and again."""
        folder = self.folder / f"{family}-ForMaskedLM"
        rng = np.random.default_rng(8)
        lengths, seq = [7, 3, 12], 12
        mask = (np.arange(seq) < np.array(lengths)[:, None]).astype("<i4")
        given = {"input_ids": rng.integers(5, 40, mask.shape).astype("<i4"), "attention_mask": mask, "token_type_ids": np.zeros_like(mask)}
        places = rng.choice(np.flatnonzero(mask), 9).astype("<i4")
        for variant, flags in (("optimised", ()), ("naive", ("-O0",)), ("padded", ("--disable=remove-padding",))):
            what = f"{family}, chosen tokens, {variant}"
            artifact = self.compiled(what, folder, (*SIZES, *flags))
            if artifact is None:
                continue
            inputs = {value["name"]: given[value["name"]] for value in self.inspect(artifact)["programs"][0]["inputs"]}
            whole = self.run(what, artifact, inputs)
            chosen = self.run(what, artifact, inputs | {"masked_positions": places}, "--program=masked")
            if whole and chosen:
                wanted = whole["logits"].reshape(-1, whole["logits"].shape[-1])[places]
                self.compare(what, chosen["logits"], wanted)

    def check_embedder(self):
        """`transom embed`: vectors of texts are those of the reference tokenizer's ids, for an XLM-R with mean pooling."""
        folder = tiny_classifiers.write(self.folder / "embedder", "xlm-roberta", "Model")
        tiny_models.write_pooling(folder, "mean_tokens", HIDDEN)
        artifact = self.compiled("embedder", folder, ("--max-batch=4",))
        texts, out = self.folder / "texts.txt", self.folder / "vectors.npy"
        texts.write_text("".join(text + "\n" for text in TEXTS))
        if artifact is None or not self.ok("embed", "embed", artifact, "--input", texts, "--output", out):
            return
        tokenizer = Tokenizer.from_str(json.dumps(tiny_classifiers.tokenizer_of("xlm-roberta")))
        tokenizer.enable_truncation(tiny_models.SENTENCE_TOKENS)
        for i, vector in enumerate(np.load(out)):
            row = Row(tokenizer, TEXTS[i])
            found = self.run(f"embedder, row {i}", artifact, {"input_ids": np.array([row.ids], "<i4"), "attention_mask": np.ones((1, len(row.ids)), "<i4")})
            if found:
                self.compare(f"embedder, row {i}", vector, found["sentence_embedding"][0])

    def check_score_functions(self):
        """How config.json makes scores of logits; the same weights each time."""
        identity = {"activation_fn": "torch.nn.modules.linear.Identity"}
        cases = [
            ("one label", ["yes"], {}, sigmoid),
            ("a cross-encoder", ["yes"], {"sentence_transformers": identity}, np.float64),
            ("an older cross-encoder", ["yes"], {"sbert_ce_default_activation_function": "torch.nn.Sigmoid"}, sigmoid),
            ("regression", ["much", "more"], {"problem_type": "regression"}, np.float64),
            ("several labels that hold", ["a", "b", "c"], {"problem_type": "multi_label_classification"}, sigmoid),
            ("one label that holds", ["a", "b"], {"problem_type": "single_label_classification"}, softmax),
        ]
        tokenizer = Tokenizer.from_str(json.dumps(tiny_classifiers.tokenizer_of("bert")))
        rows = [Row(tokenizer, text) for text in TEXTS[:3]]
        for i, (name, labels, changes, scores) in enumerate(cases):
            folder = tiny_classifiers.write(self.folder / f"scores-{i}", "bert", HEADS[0], labels, **changes)
            artifact = self.model(name, folder)
            if artifact is None:
                continue
            found = self.classify(name, artifact, rows)
            for row, entry in zip(rows, found or ()):
                self.check_labels(name, entry, self.logits(name, artifact, row), labels, scores)

    def check_output(self):
        """What people see, files, and --top-k."""
        artifact = self.folder / "bert-forsequenceclassification.transom"
        texts, out = self.folder / "texts.txt", self.folder / "out.jsonl"
        texts.write_text("the end\nand\n")
        done = self.transom("classify", artifact, "--input", texts, "--top-k", 1, "--output", out)
        lines = [json.loads(line) for line in out.read_text().splitlines()] if done.returncode == 0 else []
        self.same("a file has a line for each text", [len(line["labels"]) for line in lines], [1, 1])
        self.check("the summary", None if done.stdout.startswith("2 texts, ") else done.stdout + done.stderr)
        shown = self.transom("classify", artifact, "--input", texts, "--top-k", 1).stdout
        wanted = "".join(f"{line['labels'][0]['label']} {line['labels'][0]['score']:.4f}\n" for line in lines)
        self.same("what is printed", shown, wanted)


def main():
    suite = Classify()
    for family in tiny_classifiers.FAMILIES:
        for head in HEADS:
            suite.check_model(family, head)
        suite.check_masked(family)
    suite.check_embedder()
    suite.check_score_functions()
    suite.check_output()
    return suite.finish()


if __name__ == "__main__":
    sys.exit(main())
