// What the graphs of all decoders share: inputs, caches that grow by concat, results and bounds. What lies
// between embedding and logits is the architecture's, in a subclass.
#pragma once

#include "compiler/import/GraphBuilder.h"
#include "compiler/import/Importers.h"

namespace transom {

/// The order of a cache's dimensions.
enum class CacheOrder {
  batchHeadsPast, ///< [batch, kv_heads, past, head_dim]
  pastBatchHeads  ///< [past, batch, kv_heads, head_dim]
};

struct DecoderSizes {
  std::string where; ///< the file, opens errors
  int64_t layers = 0, hidden = 0, heads = 0, kvHeads = 0, headDim = 0, feedForward = 0, vocab = 0,
          contextLength = 0;
  double epsilon = 0; ///< of its norms
  CacheOrder caches = CacheOrder::batchHeadsPast;
};

/// Whether the sizes are fit to build from: to be asked before any graph is made.
Status checkSizes(const DecoderSizes &sizes);

/// The naive decoder: `main` with past and present keys and values joined by concat.
class DecoderGraph {
public:
  /// `sizes` have been checked and outlive the graph.
  DecoderGraph(const DecoderSizes &sizes, const TensorSource &tensors, mlir::MLIRContext &context);
  virtual ~DecoderGraph() = default;

  /// `info` has model, architecture and metadata of the file; bounds, task and context_length are filled in.
  Result<mlir::OwningOpRef<mlir::ModuleOp>> build(ModelInfo info, const ImportOptions &options);

protected:
  enum class Part { key, value };

  // The model, in order. Hidden states have any layout that the subclass likes.
  virtual Result<mlir::Value> embed() = 0;
  virtual Result<mlir::Value> layer(mlir::Value x, int64_t layer) = 0;
  virtual Result<mlir::Value> logits(mlir::Value x) = 0; ///< [batch, seq, vocab]
  /// An error for tensors of the file that belong to no such model.
  virtual Status checkTensors() const = 0;

  mlir::Value ids() { return g_.input(0); }       ///< [batch, seq] i32
  mlir::Value mask() { return g_.input(1); }      ///< [batch, past + seq] i32
  mlir::Value positions() { return g_.input(2); } ///< [batch, seq] i32
  /// The layer's past with new keys or values behind it: also its `present` result.
  mlir::Value extend(int64_t layer, Part part, mlir::Value tokens);
  /// Causal attention of heads [batch, heads, seq, head_dim]; a `window` of 0 is none.
  mlir::Value attend(mlir::Value query, mlir::Value key, mlir::Value value, double scale, int64_t window = 0);
  /// 1 / sqrt(head_dim)
  double usualScale() const;

  GraphBuilder g_;

private:
  Status fill();

  const DecoderSizes &sizes_;
  std::vector<std::pair<Port, mlir::Value>> presents_;
};

/// "model.layers.{}.x" with the layer's number.
inline std::string layerName(const std::string &pattern, int64_t layer) {
  return fmt::format(fmt::runtime(pattern), layer);
}

} // namespace transom
