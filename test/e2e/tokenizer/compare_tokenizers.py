#!/usr/bin/env python3
"""Compares Transom's tokenizers with Hugging Face `tokenizers`: ids, type ids, spans and decoded text of 10,000 lines and more.

    python compare_tokenizers.py --build build/release --work /tmp/tok \\
        [--json minilm=.../tokenizer.json] [--gguf smollm2=.../model.gguf] [--lines 12000]

Needs the Python packages tokenizers, sentencepiece and numpy, for --gguf also gguf. Small tokenizers are trained on the spot, so that
the pre-tokenisers and normalisers of other model families are compared too. The lines are the same on every run.
Prints "tokenizer NAME: N lines, D differences" for each; exits 1 if any D is not 0 or if time is not linear.
"""
import argparse
import json
import pathlib
import random
import struct
import subprocess
import sys

import corpus
import sentencepieces
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def trainBpe(lines, preTokenizer, normalizer=None, ignoreMerges=False, size=3000, special=("<|end|>", "<|user|>")):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignoreMerges))
    tokenizer.pre_tokenizer = preTokenizer
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(special), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    return tokenizer


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), behavior, invert),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def trainWordPiece(lines, normalizer, preTokenizer, size=2500):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=40))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = preTokenizer
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(lines, trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=["[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
    return tokenizer


def trainedTokenizers(lines):
    """Name to tokenizer: the pre-tokenisers of the model families, and every component at least once."""
    P, N = pre_tokenizers, normalizers
    out = {}
    gpt2 = trainBpe(lines, P.ByteLevel(add_prefix_space=True))
    gpt2.post_processor = processors.RobertaProcessing(("<|end|>", 0), ("<|user|>", 1))
    gpt2.add_tokens([AddedToken("wordy", single_word=True), AddedToken("left", lstrip=True, normalized=False),
                     AddedToken("right", rstrip=True), AddedToken(" both", lstrip=True, rstrip=True)])
    out["gpt2-prefix-roberta"] = gpt2
    llama = trainBpe(lines, split(LLAMA3), ignoreMerges=True)
    llama.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
        single="<|user|> $A", pair="<|user|> $A <|user|>:1 $B:1", special_tokens=[("<|user|>", 1)])])
    out["llama3"] = llama
    out["qwen2"] = trainBpe(lines, split(QWEN2), N.NFC())
    out["gpt4o"] = trainBpe(lines, split(GPT4O))
    out["words-merged-previous"] = trainBpe(lines, split(r"[\s\d]+?", "merged_with_previous"), N.NFKD())
    out["words-merged-next"] = trainBpe(lines, split(r"\W", "merged_with_next"), N.NFD())
    out["words-contiguous"] = trainBpe(lines, split(r"[^a-zé\p{Lo}]", "contiguous"), N.NFKC())
    out["words-inverted"] = trainBpe(lines, split(r"\w+|[^\w\s]", "removed", True),
                                     N.Sequence([N.Strip(), N.Lowercase(), N.StripAccents(), N.Prepend("_")]))
    out["literal"] = trainBpe(lines, P.Sequence([P.Split("e", "merged_with_previous"), P.Digits(False), P.Punctuation("contiguous"),
                                                 P.ByteLevel(add_prefix_space=False, use_regex=False)]),
                              N.Sequence([N.Replace(Regex(r"\s{2,}"), " "), N.Replace("ß", "ss")]))
    tiny = models.BPE(vocab={"<unk>": 0, "a": 1, "b": 2, "ab": 3, "é": 4}, merges=[("a", "b")], unk_token="<unk>", fuse_unk=True)
    out["characters-fuse-unk"] = Tokenizer(tiny)
    out["characters-fuse-unk"].pre_tokenizer = P.WhitespaceSplit()
    bert = trainWordPiece(lines, N.BertNormalizer(lowercase=False, strip_accents=False), P.BertPreTokenizer())
    bert.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    out["bert-cased"] = bert
    out["bert-accents"] = trainWordPiece(lines, N.BertNormalizer(lowercase=True), P.BertPreTokenizer())
    out["wordpiece-whitespace"] = trainWordPiece(lines, N.Sequence([N.NFD(), N.StripAccents()]), P.Whitespace())
    out["wordpiece-whitespace"].add_tokens([AddedToken("Strasse", single_word=True), AddedToken("Ünï", normalized=True)])
    return out


def writeFields(path, get):
    """Writes GGUF metadata (`get(name, default)`) in the format that tokenize-lines reads."""
    tokens, types = get("tokenizer.ggml.tokens"), get("tokenizer.ggml.token_type")
    merges = get("tokenizer.ggml.merges", [])
    text = lambda s: struct.pack("<I", len(s.encode())) + s.encode()
    flag = lambda name: struct.pack("<B", 0 if get(name) is None else 1 + get(name))
    raw = text(get("tokenizer.ggml.model")) + text(get("tokenizer.ggml.pre", "")) + text(get("tokenizer.chat_template", ""))
    for name in ("bos", "eos", "unknown", "padding"):
        raw += struct.pack("<i", get(f"tokenizer.ggml.{name}_token_id", -1))
    raw += flag("tokenizer.ggml.add_bos_token") + flag("tokenizer.ggml.add_eos_token") + flag("tokenizer.ggml.add_space_prefix")
    raw += struct.pack("<I", len(tokens)) + b"".join(struct.pack("<i", k) + text(t) for t, k in zip(tokens, types))
    raw += struct.pack("<I", len(merges)) + b"".join(map(text, merges))
    path.write_bytes(raw)
    return path


def bertAsGguf(reference, path):
    """The vocabulary of an uncased BERT as GGUF files spell it: U+2581 before a word's start, no "##"."""
    vocab = sorted(reference.get_vocab().items(), key=lambda item: item[1])
    spell = lambda t: t[2:] if t.startswith("##") else t if t[0] + t[-1] == "[]" else "\u2581" + t
    special = {t for t in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")}
    fields = {"tokenizer.ggml.model": "bert", "tokenizer.ggml.tokens": [spell(t) for t, _ in vocab],
              "tokenizer.ggml.token_type": [3 if t in special else 1 for t, _ in vocab],
              "tokenizer.ggml.bos_token_id": reference.token_to_id("[CLS]"),
              "tokenizer.ggml.eos_token_id": reference.token_to_id("[SEP]")}
    return writeFields(path, lambda name, default=None: fields.get(name, default))


def ggufTokenizers(path, work):
    """The reference tokenizer that a GGUF file's metadata means, with the same metadata for tokenize-lines; and as tokenizer.json has it,
    with that file. Digits and the pattern of digits differ by versions of Unicode, which spans show where ids do not."""
    import gguf
    fields = gguf.GGUFReader(path).fields
    get = lambda name, default=None: fields[name].contents() if name in fields else default
    tokens, types = get("tokenizer.ggml.tokens"), get("tokenizer.ggml.token_type")
    merges = get("tokenizer.ggml.merges")
    assert get("tokenizer.ggml.model") == "gpt2" and get("tokenizer.ggml.pre") == "smollm", path

    def build(digits):
        reference = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=[tuple(m.split(" ")) for m in merges]))
        reference.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
        reference.decoder = decoders.ByteLevel()
        reference.add_special_tokens([t for t, k in zip(tokens, types) if k == 3])
        return reference

    byPattern, byClass = build(pre_tokenizers.Split(Regex(r"\p{N}"), "isolated")), build(pre_tokenizers.Digits(individual_digits=True))
    byClass.save(str(work / "gguf.json"))
    return (byPattern, writeFields(work / "gguf.fields", get)), (byClass, work / "gguf.json")


def record(line, pair=None):
    texts = [line] if pair is None else [line, pair]
    return (b"T" if pair is None else b"P") + b"".join(struct.pack("<I", len(t)) + t for t in texts)


def compare(name, reference, source, records, work, program):
    """The number of records whose ids, type ids or decoded text differ; prints the first few."""
    path = work / "records.bin"
    path.write_bytes(b"".join(record(*r) for r in records))
    reference.no_truncation()
    reference.no_padding()
    out = subprocess.run([program, str(source), str(path)], capture_output=True)
    if out.returncode != 0:
        print(f"tokenizer {name}: {out.stderr.decode(errors='replace').strip()}")
        return 1
    at, differences = 0, 0
    for texts in records:
        (n,) = struct.unpack_from("<I", out.stdout, at)
        ids = list(struct.unpack_from(f"<{n}i", out.stdout, at + 4))
        types, begins, ends = (list(struct.unpack_from(f"<{n}i", out.stdout, at + 4 + 4 * n * k)) for k in (1, 2, 3))
        at += 4 + 16 * n
        decoded = []
        for _ in range(2):
            (size,) = struct.unpack_from("<I", out.stdout, at)
            decoded.append(out.stdout[at + 4:at + 4 + size].decode())
            at += 4 + size
        expected = reference.encode(*[t.decode(errors="replace") for t in texts])
        found = (ids, types, list(zip(begins, ends)), decoded)
        want = (expected.ids, expected.type_ids, expected.offsets, [reference.decode(expected.ids, skip_special_tokens=s) for s in (True, False)])
        if want != found:
            differences += 1
            if differences <= 3:
                what = next(i for i, (a, b) in enumerate(zip(want, found)) if a != b)
                print(f"  {ascii(texts)[:300]}\n    {('ids', 'types', 'spans', 'text')[what]}: expected {ascii(want[what])[:300]}"
                      f"\n    found {ascii(found[what])[:300]}")
    print(f"tokenizer {name}: {len(records)} lines, {differences} differences", flush=True)
    return differences


ADVERSARIAL = {
    "one word": b"a", "letters": None, "spaces": b" ", "line ends": b"\n", "space and letter": b"   a",
    "combining marks": "\u0301\u0316".encode(), "digits": b"1234567890", "symbols": b"<|", "accents": "é".encode(), "cjk": "漢字".encode(),
    "bad bytes": b"\xff\xe2\x82", "special tokens": b"<|im_end|>[SEP]",
}


def checkLinear(name, source, work, program):
    """Prints ns/byte at 10 kB, 100 kB and 1 MB. False if a byte costs over 5 times as much at 1 MB as at 10 kB."""
    ok = True
    rng = random.Random(1)
    for label, unit in ADVERSARIAL.items():
        path = work / "timing.bin"
        texts = []
        sizes = (10_000, 100_000, 1_000_000)
        for size in sizes * 3:  # the best of three, so that other load on the machine does not count
            text = bytes(rng.choices(b"abcdefghijklmnopqrstuvwxyz", k=size)) if unit is None else unit * (size // len(unit))
            texts.append(text)
        path.write_bytes(b"".join(record(t) for t in texts))
        out = subprocess.run([program, "--time", str(source), str(path)], capture_output=True, text=True, check=True).stdout
        every = [int(ns) / int(size) for size, ns in (l.split() for l in out.splitlines())]
        costs = [min(every[i::3]) for i in range(3)]
        gross = costs[2] > 5 * costs[0]
        ok = ok and not gross
        print(f"  {name}, {label}: " + ", ".join(f"{c:.0f}" for c in costs) + " ns/byte" + (" NOT LINEAR" if gross else ""))
    return ok


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--work", required=True, help="folder for temporary files")
    parser.add_argument("--json", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--gguf", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--lines", type=int, default=12000)
    parser.add_argument("--only", help="just the tokenizer of this name")
    args = parser.parse_args()
    work = pathlib.Path(args.work)
    work.mkdir(parents=True, exist_ok=True)
    program = str(pathlib.Path(args.build) / "test" / "tokenize-lines")
    lines = corpus.lines(args.lines)
    records = [(l,) for l in lines] + list(zip(lines[:2000:2], lines[1:2000:2]))
    trainingText = [l.decode(errors="replace") for l in lines[::4]]
    subjects = {}
    for spec in args.json:
        name, path = spec.split("=", 1)
        subjects[name] = (Tokenizer.from_file(path), path)
        model = json.loads(pathlib.Path(path).read_text())
        if model["model"].get("type") == "WordPiece" and model["normalizer"].get("lowercase"):
            subjects[name + "-as-gguf"] = (subjects[name][0], bertAsGguf(subjects[name][0], work / f"{name}.fields"))
    for spec in args.gguf:
        name, path = spec.split("=", 1)
        subjects[name], subjects[name + "-as-json"] = ggufTokenizers(path, work)
    for name, tokenizer in (trainedTokenizers(trainingText) | sentencepieces.sentencePieceTokenizers(trainingText)).items():
        saved = work / f"{name}.json"
        tokenizer.save(str(saved))
        subjects[name] = (tokenizer, saved)
    ok = True
    for name, (reference, source) in subjects.items():
        if args.only in (None, name):
            more = [(l,) for l in sentencepieces.clusters()] if name in sentencepieces.NORMALIZED else []
            ok = compare(name, reference, source, records + more, work, program) == 0 and ok
    for name, (_, source) in subjects.items():
        if args.only == name or (args.only is None and name in ("minilm", "smollm2", "llama3", "qwen2", "xlm-r", "t5")):
            ok = checkLinear(name, source, work, program) and ok
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
