// The graph of Llama-family decoders (Touvron et al., Llama 2, 2023), for every architecture and file format
// that is one with other names or settings.
#pragma once

#include "compiler/import/DecoderGraph.h"

namespace transom {

struct RopeConfig {
  int64_t dims = 0; ///< how many numbers of a head turn
  double base = 10000;
  double scale = 1;           ///< of positions: 1 / factor of linear scaling
  bool interleaved = false;   ///< pairs are neighbours, not halves
  std::vector<float> factors; ///< divisors of the frequencies [dims / 2], or empty
  std::string factorsTensor;  ///< or the tensor that holds them, or empty
};

/// Names of tensors in the file. "{}" stands for the layer's number; ".weight" and ".bias" are added.
struct LlamaNames {
  std::string embedding, attentionNorm, query, key, value, attentionOutput, feedForwardNorm, gate;
  std::string up; ///< empty: `gate` holds both, the gate first
  std::string down, outputNorm, head;
  /// All of them, for messages.
  std::string list() const;
};

struct LlamaConfig : DecoderSizes {
  std::string activation = "silu";
  Bias projectionBias = Bias::none, outputBias = Bias::none, feedForwardBias = Bias::none;
  bool tiedHead = false;        ///< logits come from the embedding table
  std::vector<int64_t> windows; ///< of each layer's attention, 0 for none; or empty
  RopeConfig rope;
  LlamaNames names;
  /// Accepts tensors that the graph has no use for.
  bool (*ignored)(llvm::StringRef name) = [](llvm::StringRef) { return false; };
};

/// `info` has model, architecture and metadata of the file.
Result<mlir::OwningOpRef<mlir::ModuleOp>> buildLlama(const LlamaConfig &config, ModelInfo info,
                                                     const TensorSource &tensors,
                                                     const ImportOptions &options,
                                                     mlir::MLIRContext &context);

} // namespace transom
