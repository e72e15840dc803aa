// Rotary settings of config.json, old and new spelling, to RopeConfig (transformers, modeling_rope_utils.py).
#include "compiler/import/HfDecoder.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace transom {

namespace {

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

/// How many numbers of a head turn.
Status readShare(const JsonObject &json, const HfLlamaDefaults &defaults, LlamaConfig &out) {
  if (!defaults.settableShare)
    return json.expect("partial_rotary_factor", 1);
  if (!json.has("partial_rotary_factor"))
    return {};
  TRANSOM_ASSIGN(double share, json.number("partial_rotary_factor"));
  if (!(share > 0 && share <= 1))
    return error(StatusCode::invalidFile,
                 "{}: field partial_rotary_factor: expected a number above 0 and up to 1, found {}",
                 json.where(), share);
  out.rope.dims = static_cast<int64_t>(static_cast<double>(out.headDim) * share);
  return {};
}

} // namespace

Status readHfRope(const JsonObject &config, const HfLlamaDefaults &defaults, LlamaConfig &out) {
  if (out.headDim < 1 || out.headDim > maxModelSize)
    return error(StatusCode::invalidFile, "{}: head dimension: expected 1 to {}, found {}", config.where(),
                 maxModelSize, out.headDim);
  out.rope.dims = static_cast<int64_t>(static_cast<double>(out.headDim) * defaults.rotaryShare);
  TRANSOM_ASSIGN(out.rope.base, config.numberOr("rope_theta", 10000));
  TRANSOM_RETURN_IF_ERROR(readShare(config, defaults, out));
  // Newer files have everything in rope_parameters.
  bool both = config.has("rope_scaling") && config.has("rope_parameters");
  if (both && config.json()["rope_scaling"] != config.json()["rope_parameters"])
    return error(StatusCode::unsupported, "{}: fields rope_scaling and rope_parameters: expected one of them, found two that differ", config.where());
  for (const char *field : {"rope_scaling", "rope_parameters"})
    if (config.has(field) && !(both && field == std::string_view("rope_scaling"))) {
      TRANSOM_ASSIGN(JsonObject scaling, config.object(field));
      for (auto &[key, value] : scaling.json().items())
        if (value.is_object())
          return error(StatusCode::unsupported, "{}: field {}: parameters for kinds of layers are not supported, found '{}'", config.where(), field,
                       printable(key));
      TRANSOM_ASSIGN(out.rope.base, scaling.numberOr("rope_theta", out.rope.base));
      TRANSOM_RETURN_IF_ERROR(readShare(scaling, defaults, out));
      // Scaling factors are computed from it, before the graph checks it with the rest.
      if (!(out.rope.base > 0))
        return error(StatusCode::invalidFile, "{}: field rope_theta: expected a positive number, found {}",
                     config.where(), out.rope.base);
      TRANSOM_RETURN_IF_ERROR(readScaling(scaling, out.rope));
    }
  return {};
}

} // namespace transom
