// Hugging Face's MistralForCausalLM (Jiang et al., Mistral 7B, 2023): Llama with grouped heads and a sliding
// window in every layer. Defaults are those of transformers' MistralConfig.
#include "compiler/import/HfDecoder.h"

using namespace mlir;

namespace transom {

namespace {

/// No window is written as null; a file that says nothing has the paper's.
Status readWindow(const JsonObject &json, LlamaConfig &config) {
  TRANSOM_RETURN_IF_ERROR(json.expect("layer_types", nullptr));
  if (json.json().contains("sliding_window") && !json.has("sliding_window"))
    return {};
  TRANSOM_ASSIGN(int64_t window, json.integerOr("sliding_window", 4096));
  if (window < 1)
    return error(StatusCode::invalidFile, "{}: field sliding_window: expected a positive number, found {}",
                 json.where(), window);
  config.windows.assign(static_cast<size_t>(config.layers), window);
  return {};
}

} // namespace

Result<OwningOpRef<ModuleOp>> importHfMistral(const HfFolder &folder, const ImportOptions &options,
                                              MLIRContext &context) {
  LlamaConfig config;
  TRANSOM_RETURN_IF_ERROR(readHfLlama(folder, {.context = 131072, .kvHeads = 8}, config));
  TRANSOM_RETURN_IF_ERROR(checkSizes(config));
  TRANSOM_RETURN_IF_ERROR(readWindow(folder.config, config));
  TRANSOM_ASSIGN(ModelInfo info, readHfDecoderInfo(folder, "mistral"));
  return buildLlama(config, std::move(info), folder.tensors, options, context);
}

} // namespace transom
