// The graph of Llama-family decoders (Touvron et al., Llama 2, 2023), for every file format that holds one.
#pragma once

#include "compiler/import/GraphBuilder.h"
#include "compiler/import/Importers.h"

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
  std::string embedding, attentionNorm, query, key, value, attentionOutput, feedForwardNorm, gate, up, down,
      outputNorm, head;
  /// All of them, for messages.
  std::string list() const;
};

struct LlamaConfig {
  std::string where; ///< the file, opens errors
  int64_t layers = 0, hidden = 0, heads = 0, kvHeads = 0, headDim = 0, feedForward = 0, vocab = 0,
          contextLength = 0;
  double epsilon = 0;
  std::string activation = "silu";
  Bias attentionBias = Bias::none, feedForwardBias = Bias::none;
  bool tiedHead = false; ///< logits come from the embedding table
  RopeConfig rope;
  LlamaNames names;
  /// Accepts tensors that the graph has no use for.
  bool (*ignored)(llvm::StringRef name) = [](llvm::StringRef) { return false; };
};

/// The naive decoder: `main` with past and present keys and values joined by concat. `info` has model,
/// architecture and metadata of the file; bounds, task and context_length are filled in here.
Result<mlir::OwningOpRef<mlir::ModuleOp>> buildLlama(const LlamaConfig &config, ModelInfo info,
                                                     const TensorSource &tensors,
                                                     const ImportOptions &options,
                                                     mlir::MLIRContext &context);

} // namespace transom
