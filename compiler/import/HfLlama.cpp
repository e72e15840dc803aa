// Hugging Face's LlamaForCausalLM: config.json to LlamaConfig. Defaults are those of transformers'
// LlamaConfig.
#include "compiler/import/LlamaGraph.h"

#include <cmath>
#include <filesystem>
#include <numbers>

using namespace mlir;

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

/// Llama 3.1's scaling (transformers, modeling_rope_utils.py): frequencies of long wavelengths are divided by
/// `factor`, those of short ones stay, with a linear blend between. As divisors of the plain frequencies.
Result<std::vector<float>> llama3Factors(const JsonObject &scaling, const RopeConfig &rope) {
  TRANSOM_ASSIGN(double factor, scaling.number("factor"));
  TRANSOM_ASSIGN(double lowFactor, scaling.number("low_freq_factor"));
  TRANSOM_ASSIGN(double highFactor, scaling.number("high_freq_factor"));
  TRANSOM_ASSIGN(double original, scaling.number("original_max_position_embeddings"));
  if (!(factor > 0 && lowFactor > 0 && highFactor > lowFactor && original > 0) ||
      !std::isfinite(factor * original))
    return error(StatusCode::invalidFile,
                 "{}: expected factor > 0, 0 < low_freq_factor < high_freq_factor and "
                 "original_max_position_embeddings > 0",
                 scaling.where());
  std::vector<float> divisors;
  for (int64_t i = 0; i < rope.dims / 2; ++i) {
    double frequency = std::pow(rope.base, -2.0 * static_cast<double>(i) / static_cast<double>(rope.dims));
    double turns = original * frequency / (2 * std::numbers::pi); // over the original context
    double smooth = std::clamp((turns - lowFactor) / (highFactor - lowFactor), 0.0, 1.0);
    divisors.push_back(static_cast<float>(1 / ((1 - smooth) / factor + smooth)));
  }
  return divisors;
}

Status readScaling(const JsonObject &scaling, RopeConfig &rope) {
  TRANSOM_ASSIGN(std::string oldKey, scaling.stringOr("type", "default"));
  TRANSOM_ASSIGN(std::string type, scaling.stringOr("rope_type", oldKey));
  TRANSOM_ASSIGN(double partial, scaling.numberOr("partial_rotary_factor", 1));
  if (partial != 1)
    return error(StatusCode::unsupported, "{}: partial_rotary_factor {} is not supported; supported: 1",
                 scaling.where(), partial);
  if (type == "linear") {
    TRANSOM_ASSIGN(double factor, scaling.number("factor"));
    rope.scale = 1 / factor;
  } else if (type == "llama3") {
    TRANSOM_ASSIGN(rope.factors, llama3Factors(scaling, rope));
  } else if (type != "default") {
    return error(StatusCode::unsupported,
                 "{}: rope_type '{}' is not supported; supported: default, linear, llama3", scaling.where(),
                 printable(type));
  }
  return {};
}

Status readRope(const JsonObject &config, LlamaConfig &out) {
  out.rope.dims = out.headDim;
  TRANSOM_ASSIGN(out.rope.base, config.numberOr("rope_theta", 10000));
  // Newer files have everything in rope_parameters.
  for (const char *field : {"rope_scaling", "rope_parameters"})
    if (config.has(field)) {
      TRANSOM_ASSIGN(JsonObject scaling, config.object(field));
      TRANSOM_ASSIGN(out.rope.base, scaling.numberOr("rope_theta", out.rope.base));
      // The factors are computed from these two, which are checked with the rest only later.
      if (!(out.rope.base > 0) || out.rope.dims < 1 || out.rope.dims > (1 << 24))
        return error(StatusCode::invalidFile, "{}: rope_theta {} or head size {} is not positive",
                     config.where(), out.rope.base, out.rope.dims);
      TRANSOM_RETURN_IF_ERROR(readScaling(scaling, out.rope));
    }
  return {};
}

Status readSizes(const JsonObject &config, LlamaConfig &out) {
  TRANSOM_ASSIGN(out.layers, config.integer("num_hidden_layers"));
  TRANSOM_ASSIGN(out.hidden, config.integer("hidden_size"));
  TRANSOM_ASSIGN(out.feedForward, config.integer("intermediate_size"));
  TRANSOM_ASSIGN(out.vocab, config.integer("vocab_size"));
  TRANSOM_ASSIGN(out.contextLength, config.integerOr("max_position_embeddings", 2048));
  TRANSOM_ASSIGN(out.heads, config.integer("num_attention_heads"));
  TRANSOM_ASSIGN(out.kvHeads, config.integerOr("num_key_value_heads", out.heads));
  TRANSOM_ASSIGN(out.headDim, config.integerOr("head_dim", out.heads > 0 ? out.hidden / out.heads : 0));
  TRANSOM_ASSIGN(out.epsilon, config.numberOr("rms_norm_eps", 1e-6));
  TRANSOM_ASSIGN(out.activation, config.stringOr("hidden_act", "silu"));
  TRANSOM_ASSIGN(bool attentionBias, config.booleanOr("attention_bias", false));
  TRANSOM_ASSIGN(bool feedForwardBias, config.booleanOr("mlp_bias", false));
  out.attentionBias = attentionBias ? Bias::required : Bias::none;
  out.feedForwardBias = feedForwardBias ? Bias::required : Bias::none;
  TRANSOM_ASSIGN(out.tiedHead, config.booleanOr("tie_word_embeddings", false));
  return {};
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
    info.metadata["bos_token_id"] = std::to_string(id);
  }
  return {};
}

} // namespace

Result<OwningOpRef<ModuleOp>> importHfLlama(const HfFolder &folder, const ImportOptions &options,
                                            MLIRContext &context) {
  LlamaConfig config;
  config.where = folder.config.where();
  config.names = hfNames;
  TRANSOM_RETURN_IF_ERROR(readSizes(folder.config, config));
  TRANSOM_RETURN_IF_ERROR(readRope(folder.config, config));
  config.ignored = config.tiedHead ? isFrequenciesOrHead : isFrequencies;
  ModelInfo info;
  info.model = folder.name;
  info.architecture = "llama";
  info.metadata["source"] = "huggingface";
  TRANSOM_RETURN_IF_ERROR(readTokenIds(folder, info));
  return buildLlama(config, std::move(info), folder.tensors, options, context);
}

} // namespace transom
