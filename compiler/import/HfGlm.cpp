// transformers' GlmForCausalLM (GLM team, ChatGLM: A Family of Large Language Models, 2024): Llama with one
// weight for gate and up, biases on query, key and value, and rotary pairs that are neighbours in half of
// each head. Defaults are those of transformers' GlmConfig.
#include "compiler/import/HfDecoder.h"

using namespace mlir;

namespace transom {

Result<OwningOpRef<ModuleOp>> importHfGlm(const HfFolder &folder, const ImportOptions &options,
                                          MLIRContext &context) {
  LlamaConfig config;
  HfLlamaDefaults defaults = {.context = 131072,
                              .kvHeads = 2,
                              .headDim = 128,
                              .epsilon = 1.5625e-7,
                              .rotaryShare = 0.5,
                              .settableShare = true};
  TRANSOM_RETURN_IF_ERROR(readHfLlama(folder, defaults, config));
  config.names.gate = "model.layers.{}.mlp.gate_up_proj";
  config.names.up.clear();
  config.rope.interleaved = true;
  TRANSOM_ASSIGN(bool bias, folder.config.booleanOr("attention_bias", true));
  config.projectionBias = bias ? Bias::required : Bias::none;
  TRANSOM_ASSIGN(ModelInfo info, readHfDecoderInfo(folder, "glm"));
  return buildLlama(config, std::move(info), folder.tensors, options, context);
}

} // namespace transom
