"""Writes tiny random encoders with a head and a tokenizer: tiny_architectures.py's models with WordPiece for BERT and DistilBERT,
byte-level BPE for RoBERTa and Unigram for XLM-R. And texts to give them. No test lives here. Needs NumPy.
"""

import json

import tiny_architectures
import tiny_models

HEADS = ("ForSequenceClassification", "ForTokenClassification", "ForMaskedLM")
FAMILIES = ("bert", "distilbert", "roberta", "xlm-roberta")
MAX_TOKENS = tiny_architectures.CONTEXT

# Empty, of one token and of the most; accents, unknown words, other scripts, white space; two of one length.
TEXTS = [
    "the end and the beginning",
    "a",
    "",
    "Walking, café 漢字!  Naïve\u00a0talking?",
    "and then, and then, and then - and then 'the' end.",
    "the " * (MAX_TOKENS - 2),
    "and " * (3 * MAX_TOKENS),
    " leading and trailing space ",
    "the other end of the thing",
    "\U0001f600 €uro",
]
PAIRS = [(a, b) for a, b in zip(TEXTS, TEXTS[1:] + TEXTS[:1])]


def roberta_tokenizer():
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    letters = list(tiny_models.byte_alphabet().values())
    tokens, merges = tiny_models.bpe_vocabulary()
    tokens = special + letters + [a + b for a, b in merges]
    added = tiny_models.added(enumerate(special))
    added[4]["lstrip"] = True
    post = {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": False}
    return tiny_models.byte_level_tokenizer(tokens, merges, added, post)


def tokenizer_of(family):
    """The tokenizer.json of a family."""
    if family == "roberta":
        return roberta_tokenizer()
    if family == "xlm-roberta":
        return tiny_models.unigram_tokenizer(tiny_models.unigram_vocabulary())
    return tiny_models.wordpiece_tokenizer(tiny_models.bert_vocabulary())


def mask_of(family):
    return "<mask>" if "roberta" in family else "[MASK]"


def masked(text, mask):
    """The text with masks: in place of each "the", and at its end."""
    return text.replace("the", mask) + f" {mask}"


def write(folder, family, head, labels=tiny_architectures.LABELS, **changes):
    """The folder of a model; `changes` override fields of config.json. Returns the folder."""
    architecture = tiny_architectures.ALL[family + head]
    tokenizer = tokenizer_of(family)
    shapes = {}
    if "roberta" in family:
        vocab = len(tokenizer["model"]["vocab"])
        changes = {"vocab_size": vocab, **changes}
        sizes = {"embeddings.word_embeddings.weight": [vocab, tiny_architectures.HIDDEN], "lm_head.bias": [vocab]}
        shapes = {name: shape for name, _ in architecture.shapes for end, shape in sizes.items() if name.endswith(end)}
    if labels != tiny_architectures.LABELS:
        changes["id2label"] = {str(i): label for i, label in enumerate(labels)}
        old = len(tiny_architectures.LABELS)
        shapes |= {name: [len(labels), *shape[1:]] for name, shape in architecture.shapes if shape[0] == old}
    tiny_architectures.write(folder, architecture, shapes=shapes, **changes)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


def difference(found, wanted, bound):
    """None where two results of `transom classify --json` are the same, but for numbers that are off by at most `bound`."""
    if isinstance(wanted, float) and isinstance(found, float):
        return None if abs(found - wanted) <= bound else f"expected {wanted}, found {found}"
    if isinstance(wanted, dict) and isinstance(found, dict) and wanted.keys() == found.keys():
        return next((problem for key in wanted if (problem := difference(found[key], wanted[key], bound))), None)
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return next((problem for pair in zip(found, wanted) if (problem := difference(*pair, bound))), None)
    return None if found == wanted else f"expected {wanted}, found {found}"
