// Hugging Face's LlamaForCausalLM. Defaults are those of transformers' LlamaConfig.
#include "compiler/import/HfDecoder.h"

using namespace mlir;

namespace transom {

Result<OwningOpRef<ModuleOp>> importHfLlama(const HfFolder &folder, const ImportOptions &options,
                                            MLIRContext &context) {
  LlamaConfig config;
  TRANSOM_RETURN_IF_ERROR(readHfLlama(folder, {}, config));
  TRANSOM_ASSIGN(bool attentionBias, folder.config.booleanOr("attention_bias", false));
  TRANSOM_ASSIGN(bool feedForwardBias, folder.config.booleanOr("mlp_bias", false));
  config.projectionBias = config.outputBias = attentionBias ? Bias::required : Bias::none;
  config.feedForwardBias = feedForwardBias ? Bias::required : Bias::none;
  TRANSOM_ASSIGN(ModelInfo info, readHfDecoderInfo(folder, "llama"));
  return buildLlama(config, std::move(info), folder.tensors, options, context);
}

} // namespace transom
