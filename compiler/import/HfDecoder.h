// What the importers of Hugging Face's decoders share: settings that Llama's relatives spell alike, and
// token ids.
#pragma once

#include "compiler/import/LlamaGraph.h"

namespace transom {

/// What a class of transformers assumes for fields that config.json leaves out.
struct HfLlamaDefaults {
  int64_t context = 2048;
  int64_t kvHeads = 0; ///< 0: as many as heads
  int64_t headDim = 0; ///< 0: hidden size / heads
  double epsilon = 1e-6;
  double rotaryShare = 1;     ///< of the numbers of a head, how many turn
  bool settableShare = false; ///< whether config.json may say another share
};

/// Names, sizes, activation, rotary settings and the tied head. Biases, windows and whatever differs from
/// Llama are the caller's.
Status readHfLlama(const HfFolder &folder, const HfLlamaDefaults &defaults, LlamaConfig &out);

/// Fills in `out.rope` from rope_theta, rope_scaling and rope_parameters; needs headDim.
Status readHfRope(const JsonObject &config, const HfLlamaDefaults &defaults, LlamaConfig &out);

/// The model's name, its token ids from config.json and generation_config.json.
Result<ModelInfo> readHfDecoderInfo(const HfFolder &folder, std::string architecture);

} // namespace transom
