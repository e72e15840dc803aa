"""Tokenizers as converters of SentencePiece models write them (XLM-R, T5, ALBERT, Llama 2), trained on given lines. Unigram's
normalisation is SentencePiece's own: the table that its trainer puts into a model."""
import io
import json

import corpus
import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers


def field(message, number):
    """The last length-delimited field of this number in a serialised protocol buffer, or None."""
    at, found = 0, None

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        kind = key & 7
        if kind == 0:
            varint()
            continue
        size = {1: 8, 5: 4}[kind] if kind != 2 else varint()
        if kind == 2 and key >> 3 == number:
            found = message[at:at + size]
        at += size
    return found


def charsmap(rule):
    """The normalisation table of this name: ModelProto.normalizer_spec.precompiled_charsmap."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(["a b c d e f g"]), model_writer=model, vocab_size=11,
                                             normalization_rule_name=rule, minloglevel=2)
    return field(field(model.getvalue(), 3), 2)


def train(lines, normalizer, preTokenizer, decoder, special, unknown, size=3000):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = normalizer, preTokenizer, decoder
    tokenizer.train_from_iterator(lines, trainers.UnigramTrainer(
        vocab_size=size, special_tokens=special, unk_token=unknown, shrinking_factor=0.5, show_progress=False))
    return tokenizer


def withBytes(tokenizer):
    """The same with byte fallback."""
    spec = json.loads(tokenizer.to_str())
    vocab, names = spec["model"]["vocab"], [f"<0x{byte:02X}>" for byte in range(256)]
    if isinstance(vocab, list):
        vocab += [[name, 0.0] for name in names]
    else:
        vocab |= {name: len(vocab) + byte for byte, name in enumerate(names)}
    spec["model"]["byte_fallback"] = True
    return Tokenizer.from_str(json.dumps(spec))


NORMALIZED = ("xlm-r", "t5", "albert")  # by the trainer's table


def clusters():
    """Lines with every code point of Unicode's first planes behind a character that the table replaces: where both make one
    user-perceived character, it replaces both."""
    codepoints = [c for c in (*range(0x33500), *range(0xE0000, 0xE0200)) if not 0xD800 <= c <= 0xDFFF]
    return ["".join(f"²{chr(c)} A{chr(c)}" for c in codepoints[i:i + 32]).encode() for i in range(0, len(codepoints), 32)]


def sentencePieceTokenizers(lines):
    """Name to tokenizer. A vocabulary has all characters of what it is trained on, so that lines of rare ones stay unknown here."""
    lines = corpus.SENTENCES + [line for line in lines if line.isascii()]
    D, N, P = decoders, normalizers, pre_tokenizers
    out = {}
    multilingual = N.Precompiled(charsmap("nmt_nfkc"))
    xlmr = train(lines, multilingual, P.Sequence([P.WhitespaceSplit(), P.Metaspace()]), D.Metaspace(),
                 ["<s>", "<pad>", "</s>", "<unk>"], "<unk>")
    xlmr.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    xlmr.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", [("<s>", 0), ("</s>", 2)])
    out["xlm-r"] = xlmr
    t5 = train(lines, N.Sequence([multilingual, N.Strip(left=False), N.Replace(Regex(" {2,}"), "▁")]),
               P.Metaspace(prepend_scheme="first"), D.Metaspace(), ["<pad>", "</s>", "<unk>"], "<unk>")
    t5.add_special_tokens(["<extra_id_0>"])
    t5.post_processor = processors.TemplateProcessing("$A </s>", "$A </s> $B </s>", [("</s>", 1)])
    out["t5"] = t5
    albert = train(lines, N.Sequence([N.Replace("``", '"'), N.Replace("''", '"'), N.NFKD(), N.StripAccents(), N.Lowercase(),
                                      N.Precompiled(charsmap("nmt_nfkc_cf")), N.Replace(Regex(" {2,}"), " ")]),
                   P.Metaspace(), D.Metaspace(), ["<pad>", "<unk>", "[CLS]", "[SEP]"], "<unk>")
    albert.add_special_tokens([AddedToken("[MASK]", lstrip=True)])
    albert.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)])
    out["albert"] = albert
    out["unigram-bytes"] = withBytes(train(lines, N.Sequence([N.Nmt(), N.NFKC()]), P.Metaspace(prepend_scheme="never", split=False),
                                           D.Sequence([D.ByteFallback(), D.Metaspace(prepend_scheme="never"), D.Fuse()]),
                                           ["<unk>"], "<unk>", size=600))
    llama = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    llama.pre_tokenizer = P.Metaspace()
    llama.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=1500, limit_alphabet=60, special_tokens=["<unk>", "<s>", "</s>"],
                                                         show_progress=False))
    llama.normalizer, llama.pre_tokenizer = N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")]), P.Sequence([])
    llama.decoder = D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])
    llama.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s>:1 $B:1", [("<s>", 1)])
    out["llama2"] = withBytes(llama)
    out["unigram-first-unsplit"] = train(lines, None, P.Sequence([P.Digits(True), P.Metaspace("_", "first", False)]),
                                         D.Metaspace("_", "first"), ["<unk>"], "<unk>", size=800)
    out["unigram-first-unsplit"].add_tokens([AddedToken("the", normalized=True)])
    return out
