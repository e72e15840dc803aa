#!/usr/bin/env python3
"""Bad model files and folders given to `transom compile`: refused in one line, no file left behind. Needs NumPy."""

import json
import os
import struct
import sys

import tiny_models
from damage import BadInput


def gguf_files(t):
    data = t.gguf.read_bytes()
    head = data.index(b"blk.0.attn_norm.weight") + 500
    for length in t.cuts(len(data), head):
        bad = t.folder / f"cut-{length}.gguf"
        bad.write_bytes(data[:length])
        t.refuses_model(f"gguf cut to {length} of {len(data)} bytes", bad)
    for i in range(t.options.mutations):
        bad = t.folder / f"flip-{i}.gguf"
        bad.write_bytes(t.flip(data, head))
        t.survives_model(f"gguf with bytes flipped, {i}", bad)

    def patched(name, at, value):
        bad = t.folder / f"{name}.gguf"
        bad.write_bytes(data[:at] + value + data[at + len(value) :])
        t.refuses_model(f"gguf: {name}", bad)

    huge = struct.pack("<Q", 1 << 60)
    patched("2^60 tensors", 8, huge)
    patched("2^60 metadata entries", 16, huge)
    patched("key of 2^60 bytes", 24, huge)
    patched("version 99", 4, struct.pack("<I", 99))
    patched("big-endian", 4, struct.pack(">I", 3))
    tokens = data.index(b"tokenizer.ggml.tokens") + len("tokenizer.ggml.tokens")
    patched("2^60 tokens", tokens + 8, huge)
    tensor = data.index(b"blk.0.attn_q.weight") + len("blk.0.attn_q.weight")
    patched("tensor of rank 2^31", tensor, struct.pack("<I", 1 << 31))
    patched("tensor of 2^62 columns", tensor + 4, struct.pack("<Q", 1 << 62))
    patched("tensor of another shape", tensor + 4, struct.pack("<QQ", 512, 128))
    patched("tensor of unknown type", tensor + 20, struct.pack("<I", 77))
    patched("tensor of a type without a decoder", tensor + 20, struct.pack("<I", 10))
    patched("tensor of integers", tensor + 20, struct.pack("<I", 24))
    patched("tensor beyond the end", tensor + 24, struct.pack("<Q", 1 << 40))
    patched("tensor at 2^64 - 32", tensor + 24, struct.pack("<Q", (1 << 64) - 32))


def gguf_metadata(t):
    changes = {
        "unknown architecture": {"general__architecture": "mamba\n\x1b[31m"},
        "no architecture": {"general__architecture": None},
        "architecture of another type": {"general__architecture": 7},
        "no layer count": {"llama__block_count": None},
        "one layer too many": {"llama__block_count": 3},
        "one layer too few": {"llama__block_count": 1},
        "2^32-1 layers": {"llama__block_count": (1 << 32) - 1},
        "0 heads": {"llama__attention__head_count": 0},
        "key heads that do not divide": {"llama__attention__head_count_kv": 3},
        "0 context": {"llama__context_length": 0},
        "2^32-1 context": {"llama__context_length": (1 << 32) - 1},
        "experts": {"llama__expert_count": 8},
        "unknown rope scaling": {"llama__rope__scaling__type": "wobble"},
        "odd rope": {"llama__rope__dimension_count": 15},
        "negative epsilon": {"llama__attention__layer_norm_rms_epsilon": -1.0},
        "epsilon that is no number": {"llama__attention__layer_norm_rms_epsilon": float("nan")},
        "infinite rope base": {"llama__rope__freq_base": float("inf")},
        "unknown tokenizer": {"tokenizer__ggml__model": "abacus"},
        "unknown pre-tokenizer": {"tokenizer__ggml__pre": "x y"},
        "merge of unknown tokens": {"tokenizer__ggml__merges": ["nope never"]},
        "merge of one token": {"tokenizer__ggml__merges": ["t"]},
        "no tokens": {"tokenizer__ggml__tokens": None},
        "token types that are too few": {"tokenizer__ggml__token_type": [1, 1]},
        "end of text outside the vocabulary": {"tokenizer__ggml__eos_token_id": 4000000},
        "alignment 0": {"general__alignment": 0},
        "alignment 48": {"general__alignment": 48},
    }
    for i, (what, fields) in enumerate(changes.items()):
        t.refuses_model(
            f"gguf metadata: {what}", tiny_models.llama_gguf(t.folder / f"meta-{i}.gguf", kind="Q4_0", **fields)
        )


def safetensors_files(t):
    data = (t.llama / "model.safetensors").read_bytes()
    head = 8 + struct.unpack_from("<Q", data)[0]
    for length in t.cuts(len(data), head)[::2]:
        t.refuses_model(f"safetensors cut to {length}", t.folder_with(t.llama, "model.safetensors", data[:length]))
    for i in range(t.options.mutations):
        t.survives_model(
            f"safetensors with bytes flipped, {i}", t.folder_with(t.llama, "model.safetensors", t.flip(data, head))
        )
    header = json.loads(data[8:head])
    q = "model.layers.0.self_attn.q_proj.weight"

    def rewritten(what, change):
        edited = json.loads(json.dumps(header))
        change(edited)
        text = json.dumps(edited).encode()
        t.refuses_model(
            f"safetensors: {what}",
            t.folder_with(t.llama, "model.safetensors", struct.pack("<Q", len(text)) + text + data[head:]),
        )

    rewritten("missing tensor", lambda h: h.update({"x": h.pop(q)}))
    rewritten("unknown dtype", lambda h: h[q].update(dtype="F3"))
    rewritten("integer weights", lambda h: h[q].update(dtype="I32"))
    rewritten("another shape", lambda h: h[q].update(shape=[32, 128]))
    rewritten("shape of 2^62", lambda h: h[q].update(shape=[1 << 62, 1 << 62]))
    rewritten("negative shape", lambda h: h[q].update(shape=[-64, -64]))
    rewritten("shape nested", lambda h: h[q].update(shape=[[64], 64]))
    rewritten("offsets beyond the end", lambda h: h[q].update(data_offsets=[1 << 60, 1 << 61]))
    rewritten("offsets backwards", lambda h: h[q].update(data_offsets=h[q]["data_offsets"][::-1]))
    rewritten("overlap", lambda h: h[q].update(data_offsets=h["model.norm.weight"]["data_offsets"]))
    rewritten("unknown field", lambda h: h[q].update(color="red"))
    for what, number in (("2^63", 1 << 63), ("2^64-1", (1 << 64) - 1), ("1", 1), ("0", 0)):
        t.refuses_model(
            f"safetensors: header of {what} bytes",
            t.folder_with(t.llama, "model.safetensors", struct.pack("<Q", number) + data[8:]),
        )


def sharded_folders(t):
    sharded = tiny_models.llama_folder(t.folder / "sharded", shards=2)
    index = "model.safetensors.index.json"
    first = "model-00001-of-00002.safetensors"
    t.refuses_model("shard is missing", t.folder_with(sharded, first, None))
    t.refuses_model("shard is empty", t.folder_with(sharded, first, b""))
    t.refuses_model(
        "index names a tensor that no shard has",
        t.folder_with(sharded, index, lambda v: v["weight_map"].update(ghost=first)),
    )
    for shard in (
        "../llama/model.safetensors",
        "/etc/passwd",
        "a/../../x",
        "",
        ".",
        "..",
        "x\u0000y",
        "..\\x",
        7,
        None,
        [first],
    ):
        t.refuses_model(
            f"shard {shard!r}", t.folder_with(sharded, index, lambda v, s=shard: v["weight_map"].update(ghost=s))
        )
    for text in (b"", b"{", b"[]", b"{}", b'{"weight_map":{}}', b'{"weight_map":' + b"[" * 100000, b"\xff\xfe{"):
        t.refuses_model(f"index {text[:20]!r}", t.folder_with(sharded, index, text))


def configurations(t):
    for i in range(0, 400, 50):
        t.refuses_model(
            f"config.json cut to {i} bytes",
            t.folder_with(t.llama, "config.json", (t.llama / "config.json").read_bytes()[:i]),
        )
    t.refuses_model("no config.json", t.folder_with(t.llama, "config.json", None))
    t.refuses_model("config.json nested 200,000 deep", t.folder_with(t.llama, "config.json", b"[" * 200000))
    t.refuses_model("config.json is another kind of file", t.folder_with(t.llama, "config.json", t.gguf.read_bytes()))
    llama = {
        "architectures": ["GPT9ForCausalLM\n"],
        "hidden_size": 0,
        "num_hidden_layers": 1 << 40,
        "num_attention_heads": -1,
        "num_key_value_heads": 3,
        "head_dim": 15,
        "intermediate_size": "96",
        "vocab_size": 1e99,
        "rms_norm_eps": -1,
        "hidden_act": "swishish",
        "max_position_embeddings": 0,
        "rope_theta": -1,
        "attention_bias": True,
        "rope_scaling": {"rope_type": "yarnish", "factor": 2},
        "quantization_config": {"bits": 4},
        "eos_token_id": ["a"],
    }
    bert = {
        "architectures": [],
        "position_embedding_type": "relative_key",
        "is_decoder": True,
        "num_attention_heads": 5,
        "max_position_embeddings": 1000,
        "hidden_act": "swishish",
        "layer_norm_eps": 0,
        "type_vocab_size": 3,
    }
    for folder, changes in ((t.llama, llama), (t.bert, bert)):
        for field, value in changes.items():
            t.refuses_model(
                f"{folder.name} {field} = {value!r}",
                t.folder_with(folder, "config.json", lambda v, f=field, x=value: v.update({f: x})),
            )
    for path in ("../bert", "/etc", "1_Pooling/../../bert", "nowhere"):
        t.refuses_model(
            f"module path {path}", t.folder_with(t.bert, "modules.json", lambda v, p=path: v[1].update(path=p))
        )
    t.refuses_model(
        "unknown module",
        t.folder_with(t.bert, "modules.json", lambda v: v[2].update(type="sentence_transformers.models.Dream")),
    )
    t.refuses_model(
        "two poolings", t.folder_with(t.bert, "1_Pooling/config.json", lambda v: v.update(pooling_mode_cls_token=True))
    )
    t.refuses_model(
        "unknown pooling", t.folder_with(t.bert, "1_Pooling/config.json", lambda v: v.update(pooling_mode_median=True))
    )
    t.refuses_model("max_seq_length -1", t.folder_with(t.bert, "sentence_bert_config.json", b'{"max_seq_length": -1}'))


def tokenizers(t):
    data = (t.bert / "tokenizer.json").read_bytes()
    for length in t.cuts(len(data), len(data) - 2)[::3]:
        t.refuses_model(f"tokenizer.json cut to {length}", t.folder_with(t.bert, "tokenizer.json", data[:length]))
    for i in range(t.options.mutations // 2):
        t.survives_model(
            f"tokenizer.json with bytes flipped, {i}", t.folder_with(t.bert, "tokenizer.json", t.flip(data, len(data)))
        )
    edits = {
        "unknown model": lambda v: v["model"].update(type="Oracle"),
        "unknown normalizer": lambda v: v["normalizer"].update(type="Shout"),
        "unknown pre-tokenizer": lambda v: v["pre_tokenizer"].update(type="Blender"),
        "ids twice": lambda v: v["model"]["vocab"].update(the=3),
        "negative id": lambda v: v["model"]["vocab"].update(the=-3),
        "id of 2^40": lambda v: v["model"]["vocab"].update(the=1 << 40),
        "no vocabulary": lambda v: v["model"].pop("vocab"),
        "unknown token that is not there": lambda v: v["model"].update(unk_token="<?>"),
        "a split that does not compile": lambda v: v.update(
            pre_tokenizer={"type": "Split", "pattern": {"Regex": "(("}, "behavior": "Isolated", "invert": False}
        ),
    }
    for what, change in edits.items():
        t.refuses_model(
            f"tokenizer.json: {what}", t.folder_with(t.bert, "tokenizer.json", lambda v, c=change: c(v) and None)
        )


def graphs(t):
    texts = {
        "empty": b"",
        "binary": bytes(range(256)),
        "words": b"hello there\n",
        "unknown op": b'module { "transom.dance"() : () -> () }',
        "cut": b"func.func @main(%x: tensor<?x4xf32",
        "nested": b"module {" * 5000,
        "no function": b"module {}",
        "other dialect": b"func.func @main() { gpu.barrier return }",
    }
    for what, text in texts.items():
        file = t.folder / f"{what.replace(' ', '-')}.mlir"
        file.write_bytes(text)
        t.refuses_model(f"mlir: {what}", file)


def paths(t):
    loop = t.folder / "loop"
    loop.symlink_to(loop)
    t.refuses_model("a link to itself", loop)
    empty = t.folder / "nothing"
    empty.mkdir()
    t.refuses_model("an empty folder", empty)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        folder = t.copy_folder(t.llama)
        (folder / name).unlink()
        (folder / name).symlink_to(folder / name)
        t.refuses_model(f"{name} is a link to itself", folder)
        other = t.copy_folder(t.llama)
        (other / name).unlink()
        (other / name).mkdir()
        t.refuses_model(f"{name} is a folder", other)
        pipe = t.copy_folder(t.llama)
        (pipe / name).unlink()
        os.mkfifo(pipe / name)
        t.refuses_model(f"{name} is a pipe", pipe)
    t.refuses_model(
        "a folder called .gguf", t.folder_with(t.llama, "config.json", None).rename(t.folder / "folder.gguf")
    )
    for name in ("model.bin", "model.onnx", "weights.safetensors"):
        (t.folder / name).write_bytes(b"PK\x03\x04 something else")
        t.refuses_model(f"unknown kind of file {name}", t.folder / name)


def main():
    test = BadInput("bad-models")
    if not test.make_good():
        return test.finish()
    for part in (
        gguf_files,
        gguf_metadata,
        safetensors_files,
        sharded_folders,
        configurations,
        tokenizers,
        graphs,
        paths,
    ):
        part(test)
        test.run_jobs()
    return test.finish()


if __name__ == "__main__":
    sys.exit(main())
