// Hugging Face's Qwen2ForCausalLM (Yang et al., Qwen2 Technical Report, 2024): Llama with biases on query,
// key and value, and where the file says so a sliding window in some layers. Defaults are those of
// transformers' Qwen2Config.
#include "compiler/import/HfDecoder.h"

using namespace mlir;

namespace transom {

namespace {

/// Of each layer, by name, where the file has a list of them.
Status readLayerTypes(const JsonObject &json, int64_t window, LlamaConfig &config) {
  const nlohmann::json &types = json.json()["layer_types"];
  if (!types.is_array() || std::ssize(types) != config.layers)
    return error(StatusCode::invalidFile, "{}: field layer_types: expected a list of {} names", json.where(),
                 config.layers);
  for (size_t layer = 0; layer < types.size(); ++layer) {
    bool slides = types[layer] == "sliding_attention";
    if (!slides && types[layer] != "full_attention")
      return error(StatusCode::unsupported,
                   "{}: field layer_types: layer {}: expected full_attention or sliding_attention, found {}",
                   json.where(), layer, printable(types[layer].dump()));
    if (slides && window == 0)
      return error(StatusCode::invalidFile,
                   "{}: field layer_types: layer {} slides, but use_sliding_window is off", json.where(),
                   layer);
    config.windows[layer] = slides ? window : 0;
  }
  return {};
}

Status readWindows(const JsonObject &json, LlamaConfig &config) {
  TRANSOM_ASSIGN(bool slides, json.booleanOr("use_sliding_window", false));
  TRANSOM_ASSIGN(int64_t window, json.integerOr("sliding_window", 4096));
  TRANSOM_ASSIGN(int64_t first, json.integerOr("max_window_layers", 28));
  if (slides && window < 1)
    return error(StatusCode::invalidFile, "{}: field sliding_window: expected a positive number, found {}",
                 json.where(), window);
  config.windows.assign(static_cast<size_t>(config.layers), 0);
  if (json.has("layer_types"))
    return readLayerTypes(json, slides ? window : 0, config);
  // Despite its name, transformers reads the field as the first layer that has a window.
  for (int64_t layer = std::max<int64_t>(first, 0); slides && layer < config.layers; ++layer)
    config.windows[static_cast<size_t>(layer)] = window;
  return {};
}

} // namespace

Result<OwningOpRef<ModuleOp>> importHfQwen2(const HfFolder &folder, const ImportOptions &options,
                                            MLIRContext &context) {
  LlamaConfig config;
  TRANSOM_RETURN_IF_ERROR(readHfLlama(folder, {.context = 32768}, config));
  TRANSOM_RETURN_IF_ERROR(checkSizes(config));
  TRANSOM_RETURN_IF_ERROR(folder.config.expect("use_mrope", false));
  TRANSOM_RETURN_IF_ERROR(readWindows(folder.config, config));
  config.projectionBias = Bias::required;
  TRANSOM_ASSIGN(ModelInfo info, readHfDecoderInfo(folder, "qwen2"));
  return buildLlama(config, std::move(info), folder.tensors, options, context);
}

} // namespace transom
