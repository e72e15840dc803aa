// Folders and files of tiny models for importer tests: right in form, all weights zero.
#pragma once

#include "test/fuzz/SmallFiles.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

namespace transom::test {

/// A fresh folder that goes away with the object.
class ModelFolder {
public:
  ModelFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "transom-test-XXXXXX").string();
    path = ::mkdtemp(pattern.data());
  }
  ~ModelFolder() { std::filesystem::remove_all(path); }
  ModelFolder(const ModelFolder &) = delete;
  ModelFolder &operator=(const ModelFolder &) = delete;

  void write(std::string_view name, std::string_view text) const {
    std::filesystem::create_directories((path / name).parent_path());
    std::ofstream(path / name, std::ios::binary)
        .write(text.data(), static_cast<std::streamsize>(text.size()));
  }
  void write(std::string_view name, const Bytes &bytes) const {
    write(name, std::string_view(reinterpret_cast<const char *>(bytes.data()), bytes.size()));
  }
  /// `text` with the folder's random name as DIR.
  std::string masked(std::string text) const {
    for (size_t at; (at = text.find(path.string())) != std::string::npos;)
      text.replace(at, path.string().size(), "DIR");
    return text;
  }
  std::filesystem::path path;
};

using Shapes = std::map<std::string, std::vector<int64_t>>;

inline int64_t elements(const std::vector<int64_t> &shape) {
  int64_t count = 1;
  for (int64_t dim : shape)
    count *= dim;
  return count;
}

/// A safetensors file of zeros; `dtype` has `size` bytes an element.
inline Bytes zeroTensors(const Shapes &shapes, std::string_view dtype = "F32", int64_t size = 4) {
  std::string header;
  int64_t offset = 0;
  for (const auto &[name, shape] : shapes) {
    int64_t end = offset + elements(shape) * size;
    header += fmt::format(R"({}"{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", offset ? "," : "",
                          name, dtype, fmt::join(shape, ","), offset, end);
    offset = end;
  }
  return safetensors("{" + header + "}", static_cast<size_t>(offset));
}

/// A Llama of one layer: hidden 8, 4 heads of 4, 2 key/value heads, feed-forward 16, vocabulary 10.
inline Shapes llamaShapes() {
  return {{"model.embed_tokens.weight", {10, 8}},
          {"model.layers.0.input_layernorm.weight", {8}},
          {"model.layers.0.self_attn.q_proj.weight", {16, 8}},
          {"model.layers.0.self_attn.k_proj.weight", {8, 8}},
          {"model.layers.0.self_attn.v_proj.weight", {8, 8}},
          {"model.layers.0.self_attn.o_proj.weight", {8, 16}},
          {"model.layers.0.post_attention_layernorm.weight", {8}},
          {"model.layers.0.mlp.gate_proj.weight", {16, 8}},
          {"model.layers.0.mlp.up_proj.weight", {16, 8}},
          {"model.layers.0.mlp.down_proj.weight", {8, 16}},
          {"model.norm.weight", {8}},
          {"lm_head.weight", {10, 8}}};
}

/// Its config.json; `more` is added, ", \"field\": value".
inline std::string llamaConfig(std::string_view more = "") {
  return fmt::format(
      R"({{"architectures": ["LlamaForCausalLM"], "hidden_size": 8, "num_attention_heads": 4,)"
      R"( "num_key_value_heads": 2, "head_dim": 4, "intermediate_size": 16, "num_hidden_layers": 1,)"
      R"( "vocab_size": 10, "max_position_embeddings": 64, "eos_token_id": [7, 2]{}}})",
      more);
}

/// A BERT of one layer: hidden 8, 2 heads, feed-forward 16, vocabulary 10, 32 positions.
inline Shapes bertShapes() {
  Shapes shapes = {{"embeddings.word_embeddings.weight", {10, 8}},
                   {"embeddings.position_embeddings.weight", {32, 8}},
                   {"embeddings.token_type_embeddings.weight", {2, 8}},
                   {"embeddings.LayerNorm.weight", {8}},
                   {"embeddings.LayerNorm.bias", {8}},
                   {"pooler.dense.weight", {8, 8}},
                   {"pooler.dense.bias", {8}}};
  auto linear = [&](const std::string &name, int64_t in, int64_t out) {
    shapes["encoder.layer.0." + name + ".weight"] =
        in ? std::vector<int64_t>{out, in} : std::vector<int64_t>{out};
    shapes["encoder.layer.0." + name + ".bias"] = {out};
  };
  for (const char *name :
       {"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"})
    linear(name, 8, 8);
  linear("intermediate.dense", 8, 16);
  linear("output.dense", 16, 8);
  linear("attention.output.LayerNorm", 0, 8);
  linear("output.LayerNorm", 0, 8);
  return shapes;
}

inline std::string bertConfig(std::string_view more = "") {
  return fmt::format(R"({{"architectures": ["BertModel"], "hidden_size": 8, "num_attention_heads": 2,)"
                     R"( "intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 10,)"
                     R"( "max_position_embeddings": 32{}}})",
                     more);
}

/// A GGUF file: metadata entries as they are, then f32 tensors of zeros with row-major shapes.
inline Bytes ggufModel(const std::vector<ByteWriter> &metadata, const Shapes &shapes) {
  ByteWriter w;
  w.raw("GGUF").put<uint32_t>(3).put<uint64_t>(shapes.size()).put<uint64_t>(metadata.size());
  for (const ByteWriter &entry : metadata)
    w.bytes.insert(w.bytes.end(), entry.bytes.begin(), entry.bytes.end());
  uint64_t offset = 0;
  for (const auto &[name, shape] : shapes) {
    w.text(name).put(static_cast<uint32_t>(shape.size()));
    for (size_t axis = shape.size(); axis > 0; --axis)
      w.put(static_cast<uint64_t>(shape[axis - 1]));
    w.put<uint32_t>(0).put(offset);
    offset += (static_cast<uint64_t>(elements(shape)) * 4 + 31) / 32 * 32;
  }
  w.alignTo(32).zeros(offset);
  return w.bytes;
}

inline ByteWriter metadata(std::string_view key, std::string_view value) {
  ByteWriter w;
  w.text(key).put<uint32_t>(8).text(value);
  return w;
}
inline ByteWriter metadata(std::string_view key, uint32_t value) {
  ByteWriter w;
  w.text(key).put<uint32_t>(4).put(value);
  return w;
}
inline ByteWriter metadata(std::string_view key, float value) {
  ByteWriter w;
  w.text(key).put<uint32_t>(6).put(value);
  return w;
}

/// The Llama from above as GGUF names it, with a tied head.
inline Shapes ggufShapes() {
  return {{"token_embd.weight", {10, 8}},        {"output_norm.weight", {8}},
          {"blk.0.attn_norm.weight", {8}},       {"blk.0.attn_q.weight", {16, 8}},
          {"blk.0.attn_k.weight", {8, 8}},       {"blk.0.attn_v.weight", {8, 8}},
          {"blk.0.attn_output.weight", {8, 16}}, {"blk.0.ffn_norm.weight", {8}},
          {"blk.0.ffn_gate.weight", {16, 8}},    {"blk.0.ffn_up.weight", {16, 8}},
          {"blk.0.ffn_down.weight", {8, 16}}};
}

inline std::vector<ByteWriter> ggufMetadata() {
  return {metadata("general.architecture", "llama"),
          metadata("llama.block_count", 1u),
          metadata("llama.context_length", 64u),
          metadata("llama.embedding_length", 8u),
          metadata("llama.feed_forward_length", 16u),
          metadata("llama.attention.head_count", 4u),
          metadata("llama.attention.head_count_kv", 2u),
          metadata("llama.attention.key_length", 4u),
          metadata("llama.attention.value_length", 4u),
          metadata("llama.attention.layer_norm_rms_epsilon", 1e-5f),
          metadata("tokenizer.ggml.eos_token_id", 2u)};
}

} // namespace transom::test
