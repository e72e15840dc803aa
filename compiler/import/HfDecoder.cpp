// See HfDecoder.h.
#include "compiler/import/HfDecoder.h"

#include <filesystem>

namespace transom {

namespace {

const LlamaNames hfNames = {"model.embed_tokens",
                            "model.layers.{}.input_layernorm",
                            "model.layers.{}.self_attn.q_proj",
                            "model.layers.{}.self_attn.k_proj",
                            "model.layers.{}.self_attn.v_proj",
                            "model.layers.{}.self_attn.o_proj",
                            "model.layers.{}.post_attention_layernorm",
                            "model.layers.{}.mlp.gate_proj",
                            "model.layers.{}.mlp.up_proj",
                            "model.layers.{}.mlp.down_proj",
                            "model.norm",
                            "lm_head"};

/// Old checkpoints carry the rotary frequencies; they follow from the configuration.
bool isFrequencies(llvm::StringRef name) { return name.ends_with(".rotary_emb.inv_freq"); }
/// With a tied head a copy of the table under the head's name is not read, as in transformers.
bool isFrequenciesOrHead(llvm::StringRef name) { return isFrequencies(name) || name == "lm_head.weight"; }

/// A field that is null means `whenNull`, one that is missing the class's default.
Result<int64_t> sizeOr(const JsonObject &config, std::string_view field, int64_t whenMissing,
                       int64_t whenNull) {
  return config.integerOr(field, config.json().contains(field) || !whenMissing ? whenNull : whenMissing);
}

/// Token ids that end a text: one number or a list of them.
Status readEnds(const JsonObject &json, std::set<int64_t> &ends) {
  if (!json.has("eos_token_id"))
    return {};
  const nlohmann::json &value = json.json()["eos_token_id"];
  for (const nlohmann::json &id : value.is_array() ? value : nlohmann::json::array({value})) {
    if (!id.is_number_integer())
      return error(StatusCode::invalidFile, "{}: field eos_token_id: expected an integer or a list of them",
                   json.where());
    if (id.get<int64_t>() >= 0) // files write -1 for "none"
      ends.insert(id.get<int64_t>());
  }
  return {};
}

Status readTokenIds(const HfFolder &folder, ModelInfo &info) {
  std::set<int64_t> ends;
  TRANSOM_RETURN_IF_ERROR(readEnds(folder.config, ends));
  std::string path = (std::filesystem::path(folder.path) / "generation_config.json").string();
  if (isThere(path)) {
    TRANSOM_ASSIGN(JsonObject generation, JsonObject::open(path, maxConfigBytes));
    TRANSOM_RETURN_IF_ERROR(readEnds(generation, ends));
  }
  if (!ends.empty())
    info.metadata["eos_token_ids"] = fmt::format("{}", fmt::join(ends, ","));
  if (folder.config.has("bos_token_id")) {
    TRANSOM_ASSIGN(int64_t id, folder.config.integer("bos_token_id"));
    if (id >= 0)
      info.metadata["bos_token_id"] = std::to_string(id);
  }
  return {};
}

} // namespace

Status readHfLlama(const HfFolder &folder, const HfLlamaDefaults &defaults, LlamaConfig &out) {
  const JsonObject &config = folder.config;
  TRANSOM_RETURN_IF_ERROR(config.expect("is_causal", true));
  out.where = config.where();
  out.names = hfNames;
  TRANSOM_ASSIGN(out.layers, config.integer("num_hidden_layers"));
  TRANSOM_ASSIGN(out.hidden, config.integer("hidden_size"));
  TRANSOM_ASSIGN(out.feedForward, config.integer("intermediate_size"));
  TRANSOM_ASSIGN(out.vocab, config.integer("vocab_size"));
  TRANSOM_ASSIGN(out.contextLength, config.integerOr("max_position_embeddings", defaults.context));
  TRANSOM_ASSIGN(out.heads, config.integer("num_attention_heads"));
  int64_t evenSplit = out.heads > 0 ? out.hidden / out.heads : 0;
  TRANSOM_ASSIGN(out.kvHeads, sizeOr(config, "num_key_value_heads", defaults.kvHeads, out.heads));
  TRANSOM_ASSIGN(out.headDim, sizeOr(config, "head_dim", defaults.headDim, evenSplit));
  TRANSOM_ASSIGN(out.epsilon, config.numberOr("rms_norm_eps", defaults.epsilon));
  TRANSOM_ASSIGN(out.activation, config.stringOr("hidden_act", "silu"));
  TRANSOM_ASSIGN(out.tiedHead, config.booleanOr("tie_word_embeddings", false));
  out.ignored = out.tiedHead ? isFrequenciesOrHead : isFrequencies;
  return readHfRope(config, defaults, out);
}

Result<ModelInfo> readHfDecoderInfo(const HfFolder &folder, std::string architecture) {
  ModelInfo info;
  info.model = folder.name;
  info.architecture = std::move(architecture);
  info.metadata["source"] = "huggingface";
  TRANSOM_RETURN_IF_ERROR(readTokenIds(folder, info));
  return info;
}

} // namespace transom
