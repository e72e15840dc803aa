"""Writes tiny models with random weights in the formats that Transom reads: a Hugging Face folder of a Llama or a BERT
model, and a GGUF file with any of the block formats. For tests; needs NumPy.

Equal arguments give equal bytes. Quantised blocks are random bits with scales that keep activations near one, so every
bit of a block matters and no quantiser is needed.
"""

import base64
import json
import struct
from dataclasses import dataclass

import numpy as np

SAFETENSORS_DTYPES = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I32": "<i4", "BF16": None}
# GGML's number, elements and bytes of a block.
GGML_TYPES = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q4_1": (3, 32, 20), "Q5_0": (6, 32, 22),
              "Q5_1": (7, 32, 24), "Q8_0": (8, 32, 34), "Q4_K": (12, 256, 144), "Q5_K": (13, 256, 176),
              "Q6_K": (14, 256, 210), "BF16": (30, 1, 2)}
SENTENCE_TOKENS = 32  # of a sentence embedder
QUANTIZED = [name for name, (_, elements, _) in GGML_TYPES.items() if elements > 1]


@dataclass(frozen=True)
class Llama:
    hidden: int = 64
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 16
    feed_forward: int = 96
    layers: int = 2
    context: int = 64
    tied: bool = False


@dataclass(frozen=True)
class Bert:
    hidden: int = 64
    heads: int = 4
    feed_forward: int = 96
    layers: int = 2
    positions: int = 48
    pooling: str = "mean_tokens"  # of pooling_mode_*, or "" for an encoder alone


# Rows of 256 numbers, which K-quants need.
WIDE = Llama(hidden=256, heads=4, kv_heads=2, head_dim=64, feed_forward=256)


def byte_alphabet():
    """The printable character that stands for each byte in byte-level vocabularies (GPT-2)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def bpe_vocabulary():
    """(tokens, merges) of a small byte-level tokenizer; three control tokens first."""
    letters = byte_alphabet()
    space = letters[32]
    merges = [("t", "h"), ("th", "e"), ("i", "n"), (space, "the"), ("a", "n"), (space, "a")]
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + [letters[b] for b in range(256)]
    return tokens + [a + b for a, b in merges], merges


def bert_vocabulary():
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    return (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list(letters) + ["##" + c for c in letters] +
            list(".,!?'-") + ["the", "and", "##ing", "##ed"])


# -- numbers ------------------------------------------------------------------------------------------------------

def bf16(values):
    """The upper halves of floats, cut off."""
    return (np.asarray(values, "<f4").view("<u4") >> 16).astype("<u2")


def gaussian(rng, shape, scale):
    return (rng.standard_normal(shape) * scale).astype("<f4")


def random_blocks(rng, kind, count, scale):
    """`count` blocks of random bits whose numbers have a spread of about `scale`."""
    number_bytes = GGML_TYPES[kind][2]
    raw = rng.integers(0, 256, (count, number_bytes), dtype=np.uint8)

    def put(at, value):
        spread = value * rng.uniform(0.8, 1.2, count)
        raw[:, at:at + 2] = spread.astype("<f2").view(np.uint8).reshape(count, 2)

    if kind == "Q6_K":
        put(208, scale / 1367)
        return raw.tobytes()
    # The spread of the integers in the block, and for formats with a minimum what centres them.
    spread, centre = {"Q8_0": (74, None), "Q4_0": (4.6, None), "Q4_1": (4.6, -7.5), "Q5_0": (9.2, None),
                      "Q5_1": (9.2, -15.5), "Q4_K": (258, 7.5), "Q5_K": (527, 15.5)}[kind]
    put(0, scale / spread)
    if centre is not None:
        put(2, scale / spread * centre)
    return raw.tobytes()


# -- names and shapes ---------------------------------------------------------------------------------------------

def llama_shapes(c, vocab, names):
    """(name, shape) of every tensor; `names` are the format's."""
    q, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
    layer = {"norm1": [c.hidden], "q": [q, c.hidden], "k": [kv, c.hidden], "v": [kv, c.hidden], "o": [c.hidden, q],
             "norm2": [c.hidden], "gate": [c.feed_forward, c.hidden], "up": [c.feed_forward, c.hidden],
             "down": [c.hidden, c.feed_forward]}
    shapes = [(names["embed"], [vocab, c.hidden])]
    for i in range(c.layers):
        shapes += [(names["layer"].format(i) + names[key], shape) for key, shape in layer.items()]
    shapes.append((names["norm"], [c.hidden]))
    return shapes + ([] if c.tied else [(names["head"], [vocab, c.hidden])])


HF_LLAMA = {"embed": "model.embed_tokens.weight", "norm": "model.norm.weight", "head": "lm_head.weight",
            "layer": "model.layers.{}.", "norm1": "input_layernorm.weight", "norm2": "post_attention_layernorm.weight",
            "q": "self_attn.q_proj.weight", "k": "self_attn.k_proj.weight", "v": "self_attn.v_proj.weight",
            "o": "self_attn.o_proj.weight", "gate": "mlp.gate_proj.weight", "up": "mlp.up_proj.weight",
            "down": "mlp.down_proj.weight"}
GGUF_LLAMA = {"embed": "token_embd.weight", "norm": "output_norm.weight", "head": "output.weight", "layer": "blk.{}.",
              "norm1": "attn_norm.weight", "norm2": "ffn_norm.weight", "q": "attn_q.weight", "k": "attn_k.weight",
              "v": "attn_v.weight", "o": "attn_output.weight", "gate": "ffn_gate.weight", "up": "ffn_up.weight",
              "down": "ffn_down.weight"}


def bert_shapes(c, vocab):
    def linear(name, out, width):
        return [(name + ".weight", [out, width]), (name + ".bias", [out])]

    def norm(name):
        return [(name + ".weight", [c.hidden]), (name + ".bias", [c.hidden])]

    shapes = [("embeddings.word_embeddings.weight", [vocab, c.hidden]),
              ("embeddings.position_embeddings.weight", [c.positions, c.hidden]),
              ("embeddings.token_type_embeddings.weight", [2, c.hidden]), *norm("embeddings.LayerNorm")]
    for i in range(c.layers):
        at = f"encoder.layer.{i}."
        for name in ("query", "key", "value"):
            shapes += linear(f"{at}attention.self.{name}", c.hidden, c.hidden)
        shapes += linear(at + "attention.output.dense", c.hidden, c.hidden) + norm(at + "attention.output.LayerNorm")
        shapes += linear(at + "intermediate.dense", c.feed_forward, c.hidden)
        shapes += linear(at + "output.dense", c.hidden, c.feed_forward) + norm(at + "output.LayerNorm")
    return shapes


def random_tensor(rng, name, shape):
    """Norm scales near 1, biases near 0, tables near 1, matrices that keep the length of a vector."""
    if len(shape) == 1:
        return gaussian(rng, shape, 0.1) + np.float32("norm" in name.lower() and not name.endswith("bias"))
    return gaussian(rng, shape, 1.0 if "embed" in name or "token_embd" in name else shape[1] ** -0.5)


# -- safetensors --------------------------------------------------------------------------------------------------

def write_safetensors(path, tensors, dtype="F32"):
    """`tensors` maps names to arrays, stored as `dtype`; an array of integers stays I32."""
    header, data = {}, b""
    for name, values in tensors.items():
        kind = "I32" if values.dtype.kind == "i" else dtype
        raw = (bf16(values) if kind == "BF16" else values.astype(SAFETENSORS_DTYPES[kind])).tobytes()
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_weights(folder, tensors, dtype, shards):
    if shards == 1:
        write_safetensors(folder / "model.safetensors", tensors, dtype)
        return
    names, index = list(tensors), {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        write_safetensors(folder / file, {name: tensors[name] for name in names[shard::shards]}, dtype)
        index.update({name: file for name in names[shard::shards]})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


# -- models -------------------------------------------------------------------------------------------------------

def added(tokens):
    return [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
             "special": True} for i, t in tokens]


def byte_level_tokenizer(tokens, merges, added_tokens, post_processor=None):
    """A tokenizer.json of byte-level BPE."""
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added_tokens,
        "normalizer": None, "post_processor": post_processor,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {t: i for i, t in enumerate(tokens)}, "merges": [" ".join(pair) for pair in merges]}}


def wordpiece_tokenizer(tokens):
    """A tokenizer.json of BERT; the first five tokens are its special ones."""
    special = {name: {"id": name, "ids": [tokens.index(name)], "tokens": [name]} for name in ("[CLS]", "[SEP]")}
    piece = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
             {"SpecialToken": {"id": "[SEP]", "type_id": 0}}]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added(enumerate(tokens[:5])),
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "single": piece, "pair": piece + [
            {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
            "special_tokens": special},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": {t: i for i, t in enumerate(tokens)}}}


def charsmap(key, replacement):
    """SentencePiece's precompiled normalisation, in Base64, with this one entry. Each level of the double array has 256 units."""
    units, at = [0] * 256 * (len(key) + 2), 0
    for level, byte in enumerate([*key, 0], 1):
        units[at] |= (at ^ 256 * level) << 10 | (byte == 0) << 8
        at = 256 * level + byte
        units[at] = byte or 1 << 31
    raw = struct.pack(f"<{len(units) + 1}I", 4 * len(units), *units) + replacement + b"\0"
    return base64.b64encode(raw).decode()


def unigram_vocabulary():
    """(token, score) of an XLM-R; the first four and the last are its special ones."""
    space = "\u2581"
    pieces = [space, *"abcdefghijklmnopqrstuvwxyz,.-'!?\u00e9", "th", space + "the", space + "and", "ing", "end", space + "wal"]
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    return [(t, 0.0) for t in special] + [(t, -3.0 - i / 8) for i, t in enumerate(pieces)] + [("<mask>", 0.0)]


def unigram_tokenizer(vocabulary):
    """A tokenizer.json of XLM-R, with a table that has the no-break space alone."""
    special = [(i, t) for i, (t, _) in enumerate(vocabulary) if t[0] == "<"]
    added_tokens = added(special)
    added_tokens[-1]["lstrip"] = True
    part = lambda name: {"Sequence": {"id": name, "type_id": 0}}
    begin, end = ({"SpecialToken": {"id": t, "type_id": 0}} for t in ("<s>", "</s>"))
    space = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added_tokens,
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": charsmap(b"\xc2\xa0", b" ")},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, space]},
        "post_processor": {"type": "TemplateProcessing", "single": [begin, part("A"), end],
                           "pair": [begin, part("A"), end, end, part("B"), end],
                           "special_tokens": {t: {"id": t, "ids": [i], "tokens": [t]} for i, t in special if t in ("<s>", "</s>")}},
        "decoder": space,
        "model": {"type": "Unigram", "unk_id": 3, "vocab": vocabulary, "byte_fallback": False}}


def llama_folder(folder, config=Llama(), seed=1, dtype="F32", shards=1, **changes):
    """A LlamaForCausalLM folder with a tokenizer; `changes` override fields of config.json. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens, merges = bpe_vocabulary()
    fields = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": config.hidden,
              "intermediate_size": config.feed_forward, "num_hidden_layers": config.layers,
              "num_attention_heads": config.heads, "num_key_value_heads": config.kv_heads, "head_dim": config.head_dim,
              "hidden_act": "silu", "max_position_embeddings": config.context, "rms_norm_eps": 1e-5,
              "rope_theta": 10000.0, "tie_word_embeddings": config.tied, "vocab_size": len(tokens),
              "bos_token_id": 1, "eos_token_id": 2, **changes}
    (folder / "config.json").write_text(json.dumps(fields, indent=1))
    rng = np.random.default_rng(seed)
    shapes = llama_shapes(config, len(tokens), HF_LLAMA)
    write_weights(folder, {name: random_tensor(rng, name, shape) for name, shape in shapes}, dtype, shards)
    (folder / "tokenizer.json").write_text(json.dumps(byte_level_tokenizer(tokens, merges, added(enumerate(tokens[:3])))))
    return folder


def bert_folder(folder, config=Bert(), seed=2, dtype="F32", shards=1, **changes):
    """A BertModel folder; with `pooling` the files of sentence-transformers too. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = bert_vocabulary()
    fields = {"architectures": ["BertModel"], "model_type": "bert", "hidden_size": config.hidden,
              "intermediate_size": config.feed_forward, "num_hidden_layers": config.layers,
              "num_attention_heads": config.heads, "hidden_act": "gelu", "max_position_embeddings": config.positions,
              "layer_norm_eps": 1e-12, "type_vocab_size": 2, "vocab_size": len(tokens), **changes}
    (folder / "config.json").write_text(json.dumps(fields, indent=1))
    rng = np.random.default_rng(seed)
    tensors = {name: random_tensor(rng, name, shape) for name, shape in bert_shapes(config, len(tokens))}
    write_weights(folder, tensors, dtype, shards)
    (folder / "tokenizer.json").write_text(json.dumps(wordpiece_tokenizer(tokens)))
    if config.pooling:
        write_pooling(folder, config.pooling, config.hidden)
    return folder


def write_pooling(folder, pooling, hidden):
    """The files that make a sentence embedder of an encoder's folder; texts are cut at SENTENCE_TOKENS."""
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    (folder / "modules.json").write_text(json.dumps([
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(modules)]))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": hidden, f"pooling_mode_{pooling}": True}))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": SENTENCE_TOKENS, "do_lower_case": False}))


# -- GGUF ---------------------------------------------------------------------------------------------------------

def gguf_text(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def gguf_value(value):
    """The type and bytes of a metadata value: text, bool, int (u32), float (f32), or a list of texts or ints."""
    if isinstance(value, str):
        return struct.pack("<I", 8) + gguf_text(value)
    if isinstance(value, bool):
        return struct.pack("<IB", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(gguf_text, value))
    return struct.pack("<IIQ", 9, 5, len(value)) + np.asarray(value, "<i4").tobytes()


def gguf_metadata(config, tokens, merges):
    return {"general.architecture": "llama", "general.name": "tiny", "llama.block_count": config.layers,
            "llama.embedding_length": config.hidden, "llama.feed_forward_length": config.feed_forward,
            "llama.context_length": config.context, "llama.attention.head_count": config.heads,
            "llama.attention.head_count_kv": config.kv_heads, "llama.attention.key_length": config.head_dim,
            "llama.attention.value_length": config.head_dim, "llama.rope.dimension_count": config.head_dim,
            "llama.rope.freq_base": 10000.0, "llama.attention.layer_norm_rms_epsilon": 1e-5,
            "llama.vocab_size": len(tokens), "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm",
            "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": [3] * 3 + [1] * (len(tokens) - 3),
            "tokenizer.ggml.merges": [" ".join(pair) for pair in merges], "tokenizer.ggml.bos_token_id": 1,
            "tokenizer.ggml.eos_token_id": 2, "tokenizer.ggml.add_bos_token": False}


def gguf_tensor(rng, name, shape, kind):
    """(type number, bytes); vectors are F32 in every file."""
    if len(shape) == 1:
        return 0, random_tensor(rng, name, shape).tobytes()
    number, elements, _ = GGML_TYPES[kind]
    if elements > 1:
        scale = 1.0 if name == "token_embd.weight" else shape[1] ** -0.5
        return number, random_blocks(rng, kind, shape[0] * shape[1] // elements, scale)
    values = random_tensor(rng, name, shape)
    return number, {"F32": values, "F16": values.astype("<f2"), "BF16": bf16(values)}[kind].tobytes()


def llama_gguf(path, config=WIDE, kind="Q4_1", seed=3, version=3, tensor_types=None, **metadata):
    """A GGUF file; `metadata` (with "__" for ".") overrides or, where None, removes keys; `tensor_types` overrides the
    type of single tensors. Returns the path."""
    tokens, merges = bpe_vocabulary()
    fields = {**gguf_metadata(config, tokens, merges), **{k.replace("__", "."): v for k, v in metadata.items()}}
    fields = {key: value for key, value in fields.items() if value is not None}
    rng = np.random.default_rng(seed)
    table, data = b"", b""
    shapes = llama_shapes(config, len(tokens), GGUF_LLAMA)
    for name, shape in shapes:
        number, raw = gguf_tensor(rng, name, shape, (tensor_types or {}).get(name, kind))
        dims = struct.pack(f"<{len(shape)}Q", *reversed(shape))
        table += gguf_text(name) + struct.pack("<I", len(shape)) + dims + struct.pack("<IQ", number, len(data))
        data += raw + bytes(-len(raw) % 32)
    head = b"GGUF" + struct.pack("<IQQ", version, len(shapes), len(fields))
    head += b"".join(gguf_text(key) + gguf_value(value) for key, value in fields.items()) + table
    path.write_bytes(head + bytes(-len(head) % 32) + data)
    return path
