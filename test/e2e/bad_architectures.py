#!/usr/bin/env python3
"""Settings and tensors that the importers of Hugging Face folders do not take: refused in one line that names the field or
tensor, what was expected and what was found. Needs NumPy.
"""

import sys

import tiny_architectures
from damage import BadInput

FIELD = "field {}: expected {}, found {}"

# architecture: (field, value, what the reason says)
SETTINGS = {
    "llama": [
        ("partial_rotary_factor", 0.5, FIELD.format("partial_rotary_factor", 1, 0.5)),
        ("hidden_act", "mish", "activation 'mish' is not supported"),
        ("is_causal", False, FIELD.format("is_causal", "true", "false")),
        ("rope_parameters", {"rope_type": "linear", "factor": 2}, "rope_scaling and rope_parameters: expected one of them"),
        ("rope_scaling", {"rope_type": "yarn"}, "rope_type 'yarn' is not supported"),
    ],
    "mistral": [
        ("rope_parameters", {"full_attention": {"rope_theta": 1e6}}, "parameters for kinds of layers are not supported"),
        ("sliding_window", 0, FIELD.format("sliding_window", "a positive number", 0)),
        ("sliding_window", 1 << 40, "sliding window: expected 1 to 16777216, found 1099511627776"),
        ("sliding_window", "wide", "field sliding_window: expected an integer"),
        ("layer_types", ["full_attention"] * 2, "field layer_types: expected null"),
        ("num_hidden_layers", 1 << 40, "layers: expected 1 to 4096"),
    ],
    "qwen2": [
        ("use_mrope", True, FIELD.format("use_mrope", "false", "true")),
        ("layer_types", ["sliding_attention"] * 2, "layer 0 slides, but use_sliding_window is off"),
        ("layer_types", ["full_attention"], "field layer_types: expected a list of 2 names"),
        ("layer_types", ["full_attention", "wide"], "layer 1: expected full_attention or sliding_attention"),
    ],
    "qwen2-window": [("sliding_window", -4, FIELD.format("sliding_window", "a positive number", -4))],
    "glm": [
        ("partial_rotary_factor", 1.5, "partial_rotary_factor: expected a number above 0 and up to 1, found 1.5"),
        ("head_dim", 18, "rotary dimensions: expected an even number up to 18, found 9"),
        ("attention_bias", False, "q_proj.bias: not part of the architecture"),
    ],
    "gpt2": [
        ("is_causal", False, FIELD.format("is_causal", "true", "false")),
        ("add_cross_attention", True, FIELD.format("add_cross_attention", "false", "true")),
        ("activation_function", "swishish", "activation 'swishish' is not supported"),
        ("n_head", 5, "5 heads do not divide the hidden size 64"),
        ("n_inner", 95, "h.0.mlp.c_fc.weight: expected shape [64, 95], found [64, 96]"),
        ("tie_word_embeddings", False, "tensor lm_head.weight: missing"),
    ],
    "chatglm": [
        ("original_rope", False, FIELD.format("original_rope", "true", "false")),
        ("rope_ratio", 50, FIELD.format("rope_ratio", 1, 50)),
        ("pre_seq_len", 128, FIELD.format("pre_seq_len", "null", 128)),
        ("quantization_bit", 4, FIELD.format("quantization_bit", 0, 4)),
        ("multi_query_attention", False, "field multi_query_attention: expected true, found false"),
        ("multi_query_group_num", 3, "3 key/value heads do not divide 4 heads"),
        ("kv_channels", 18, "field kv_channels: expected a multiple of 4"),
        ("add_bias_linear", True, "self_attention.dense.bias: missing"),
        ("add_qkv_bias", False, "query_key_value.bias: not part of the architecture"),
        ("rmsnorm", False, "input_layernorm.bias: missing"),
        ("post_layer_norm", False, "final_layernorm.weight: not part of the architecture"),
    ],
    "bertModel": [
        ("position_embedding_type", "relative_key", 'expected "absolute", found "relative_key"'),
        ("is_decoder", True, FIELD.format("is_decoder", "false", "true")),
        ("type_vocab_size", 0, "token types: expected 1 to 16777216, found 0"),
    ],
    "bertForSequenceClassification": [
        ("id2label", {"0": "a", "1": "b"}, "classifier.weight: expected shape [2, 64], found [3, 64]"),
        ("id2label", {"0": "a", "2": "b"}, "id2label: field 1 is missing"),
        ("id2label", {}, "id2label: expected a label, found none"),
        ("problem_type", "guess", "field problem_type: expected regression, single_label_classification or multi_label_classification, found guess"),
        ("problem_type", 3, "field problem_type: expected a string"),
    ],
    "bertForMaskedLM": [("tie_word_embeddings", False, "tensor cls.predictions.decoder.weight: missing")],
    "robertaModel": [
        ("pad_token_id", 66, "field pad_token_id: expected 0 to 65, found 66"),
        ("pad_token_id", 65, "positions: expected 1 to 16777216, found 0"),
        ("type_vocab_size", 2, "token_type_embeddings.weight: expected shape [2, 64], found [1, 64]"),
    ],
    "robertaForTokenClassification": [
        ("architectures", ["RobertaForMaskedLM"], "tensor lm_head.dense.weight: missing"),
        ("architectures", ["RobertaForQuestionAnswering"], "architecture 'RobertaForQuestionAnswering' is not"),
    ],
    "distilbertModel": [
        ("n_heads", 3, "3 heads do not divide the hidden size 64"),
        ("hidden_dim", 95, "ffn.lin1.weight: expected shape [95, 64], found [96, 64]"),
    ],
}


def settings(t):
    for name, changes in SETTINGS.items():
        for i, (field, value, says) in enumerate(changes):
            folder = t.folder / f"{name}-{i}"
            tiny_architectures.write(folder, tiny_architectures.ALL[name], **{field: value})
            t.refuses_model(f"{name} with {field} = {value!r}", folder, says=says)


def tensors(t):
    for name, architecture in tiny_architectures.ALL.items():
        tensor, shape = architecture.shapes[len(architecture.shapes) // 2]
        wrong = [shape[0] + 1, *shape[1:]]
        folder = tiny_architectures.write(t.folder / f"{name}-missing", architecture, without=[tensor])
        t.refuses_model(f"{name} without {tensor}", folder, says=f"tensor {tensor}: missing")
        folder = tiny_architectures.write(t.folder / f"{name}-wrong", architecture, shapes={tensor: wrong})
        t.refuses_model(f"{name} with another {tensor}", folder, says=f"tensor {tensor}: expected shape {shape}, found")
        folder = tiny_architectures.write(t.folder / f"{name}-extra", architecture, shapes={"extra.weight": [4]})
        t.refuses_model(f"{name} with one more", folder, says="tensor extra.weight: not part of the architecture")


def tokenizers(t):
    folder = tiny_architectures.write(t.folder / "sentencepiece", tiny_architectures.ALL["chatglm"])
    (folder / "tokenizer.model").write_bytes(b"\n\x0e\n\x05<unk>")
    t.refuses_model("a SentencePiece model", folder, says="expected tokenizer.json beside it, which transformers' save_pretrained writes; --no-tokenizer leaves it out")
    t.ok("a SentencePiece model left out", "compile", folder, "--no-tokenizer", "-o", t.folder / "x.transom", "--quiet")


def main():
    test = BadInput("bad-architectures")
    for part in (settings, tensors, tokenizers):
        part(test)
        test.run_jobs()
    return test.finish()


if __name__ == "__main__":
    sys.exit(main())
